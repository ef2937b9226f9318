"""The oracle plugin: its declaration; nothing here imports a driver."""

from __future__ import annotations

from airflow_provider_flinkx.plugins.registry import Plugin

PLUGIN = Plugin(
    name="oracle",
    package=__name__,
    reader=f"{__name__}.reader:OracleReader",
    writer=f"{__name__}.writer:OracleWriter",
    extra="oracle",
    connection="airflow_provider_flinkx.plugins.oracle.connection:CONNECTION",
    remarks=f"{__name__}.url:remarks",
)
