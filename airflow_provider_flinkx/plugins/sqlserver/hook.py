"""Airflow's hook of the `flinkx_sqlserver` connection type."""

from __future__ import annotations

from airflow_provider_flinkx.plugins.relational.hook import DatabaseHook
from airflow_provider_flinkx.plugins.sqlserver.connection import CONNECTION


class FlinkXSQLServerHook(DatabaseHook, connection=CONNECTION):
    """A SQL Server database that a job reads or writes."""

    database = "airflow_provider_flinkx.plugins.sqlserver.database:SQLServer"
    extra = "sqlserver"
