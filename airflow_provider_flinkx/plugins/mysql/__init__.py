"""The mysql plugin: its declaration; nothing here imports a driver."""

from __future__ import annotations

from airflow_provider_flinkx.plugins.registry import Plugin

PLUGIN = Plugin(
    name="mysql",
    package=__name__,
    reader=f"{__name__}.reader:MySQLReader",
    writer=f"{__name__}.writer:MySQLWriter",
    extra="mysql",
    connection="airflow_provider_flinkx.plugins.mysql.connection:CONNECTION",
    remarks=f"{__name__}.url:remarks",
)
