"""Airflow's hook of the `flinkx_mysql` connection type."""

from __future__ import annotations

from airflow_provider_flinkx.plugins.mysql.connection import CONNECTION
from airflow_provider_flinkx.plugins.relational.hook import DatabaseHook


class FlinkXMySQLHook(DatabaseHook, connection=CONNECTION):
    """A MySQL or MariaDB database that a job reads or writes."""

    database = "airflow_provider_flinkx.plugins.mysql.database:MySQL"
    extra = "mysql"
