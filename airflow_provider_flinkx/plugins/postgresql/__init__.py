"""The postgresql plugin: its declaration; nothing here imports a driver."""

from __future__ import annotations

from airflow_provider_flinkx.plugins.registry import Plugin

PLUGIN = Plugin(
    name="postgresql",
    package=__name__,
    reader=f"{__name__}.reader:PostgreSQLReader",
    writer=f"{__name__}.writer:PostgreSQLWriter",
    extra="postgresql",
    connection="airflow_provider_flinkx.plugins.postgresql.connection:CONNECTION",
    remarks=f"{__name__}.url:remarks",
)
