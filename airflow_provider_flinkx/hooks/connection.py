"""The `flink` connection type: where jobs run. Imports no Airflow."""

from __future__ import annotations

from airflow_provider_flinkx.plugins.connection import ConnectionType, Field

MODE = "mode"
PYTHON = "python"
SETTINGS = "settings"
MODES = ("local",)

CONNECTION = ConnectionType(
    conn_type="flink",
    name="Flink",
    hook_class="airflow_provider_flinkx.hooks.flink.FlinkClusterHook",
    fields=(
        Field(
            MODE,
            "Mode",
            default="local",
            choices=MODES,
            description="local: a Flink of its own for each job, on the Airflow worker.",
        ),
        Field(
            PYTHON,
            "Python executable",
            description="Interpreter that has apache-flink; empty means the one that Airflow runs on.",
        ),
        Field(
            SETTINGS,
            "Flink settings",
            "json",
            description='JSON object of Flink settings, for instance {"taskmanager.memory.process.size": "2g"}.',
        ),
    ),
    hidden=("host", "port", "login", "password", "schema"),
)
