"""Airflow's hook of the `flinkx_postgresql` connection type."""

from __future__ import annotations

from airflow_provider_flinkx.plugins.postgresql.connection import CONNECTION
from airflow_provider_flinkx.plugins.relational.hook import DatabaseHook


class FlinkXPostgreSQLHook(DatabaseHook, connection=CONNECTION):
    """A PostgreSQL database that a job reads or writes."""

    database = "airflow_provider_flinkx.plugins.postgresql.database:PostgreSQL"
    extra = "postgresql"
