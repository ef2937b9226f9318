"""The db2 plugin: its declaration; nothing here imports a driver."""

from __future__ import annotations

from airflow_provider_flinkx.plugins.registry import Plugin

PLUGIN = Plugin(
    name="db2",
    package=__name__,
    reader=f"{__name__}.reader:DB2Reader",
    writer=f"{__name__}.writer:DB2Writer",
    extra="db2",
    connection="airflow_provider_flinkx.plugins.db2.connection:CONNECTION",
    remarks=f"{__name__}.url:remarks",
)
