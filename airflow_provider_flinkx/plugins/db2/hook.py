"""Airflow's hook of the `flinkx_db2` connection type."""

from __future__ import annotations

from airflow_provider_flinkx.plugins.db2.connection import CONNECTION
from airflow_provider_flinkx.plugins.relational.hook import DatabaseHook


class FlinkXDB2Hook(DatabaseHook, connection=CONNECTION):
    """A DB2 database that a job reads or writes."""

    database = "airflow_provider_flinkx.plugins.db2.database:DB2"
    extra = "db2"
