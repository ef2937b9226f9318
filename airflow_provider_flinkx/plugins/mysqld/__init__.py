"""The mysqld plugin, a reader of many MySQL servers: its declaration; nothing here imports a driver."""

from __future__ import annotations

from airflow_provider_flinkx.plugins.registry import Plugin

PLUGIN = Plugin(
    name="mysqld",
    package=__name__,
    reader=f"{__name__}.reader:MySQLDReader",
    extra="mysql",
    connection="airflow_provider_flinkx.plugins.mysql.connection:CONNECTION",
)
