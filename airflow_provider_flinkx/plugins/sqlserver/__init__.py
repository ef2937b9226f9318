"""The sqlserver plugin: its declaration; nothing here imports a driver."""

from __future__ import annotations

from airflow_provider_flinkx.plugins.registry import Plugin

PLUGIN = Plugin(
    name="sqlserver",
    package=__name__,
    reader=f"{__name__}.reader:SQLServerReader",
    writer=f"{__name__}.writer:SQLServerWriter",
    extra="sqlserver",
    connection="airflow_provider_flinkx.plugins.sqlserver.connection:CONNECTION",
    remarks=f"{__name__}.url:remarks",
)
