"""Airflow's hook of the `flinkx_oracle` connection type."""

from __future__ import annotations

from airflow_provider_flinkx.plugins.oracle.connection import CONNECTION
from airflow_provider_flinkx.plugins.relational.hook import DatabaseHook


class FlinkXOracleHook(DatabaseHook, connection=CONNECTION):
    """An Oracle database that a job reads or writes."""

    database = "airflow_provider_flinkx.plugins.oracle.database:Oracle"
    extra = "oracle"
