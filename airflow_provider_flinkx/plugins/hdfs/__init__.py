"""The hdfs plugin: its declaration; nothing here imports a driver."""

from __future__ import annotations

from airflow_provider_flinkx.plugins.registry import Plugin

PLUGIN = Plugin(
    name="hdfs",
    package=__name__,
    reader=f"{__name__}.reader:HDFSReader",
    writer=f"{__name__}.writer:HDFSWriter",
    extra="hdfs",
    connection="airflow_provider_flinkx.plugins.hdfs.connection:CONNECTION",
)
