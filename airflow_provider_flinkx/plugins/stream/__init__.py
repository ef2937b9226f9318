"""The stream plugin: its declaration; nothing here imports a driver."""

from __future__ import annotations

from airflow_provider_flinkx.plugins.registry import Plugin

PLUGIN = Plugin(
    name="stream",
    package=__name__,
    reader=f"{__name__}.reader:StreamReader",
    writer=f"{__name__}.writer:StreamWriter",
    extra=None,
    connection=None,
)
