"""What Airflow asks of a provider. Read in every Airflow process, so it imports neither Airflow nor a driver."""

from __future__ import annotations

from typing import Any

from airflow_provider_flinkx import __version__
from airflow_provider_flinkx.hooks.connection import CONNECTION as FLINK
from airflow_provider_flinkx.plugins.connection import connection_types

_INTEGRATION = "FlinkX"


def get_provider_info() -> dict[str, Any]:
    """The provider metadata, with the keys of Airflow 2.11 and 3.x; each version ignores those it does not know."""
    types = (FLINK, *connection_types())
    hook_modules = sorted({declared.hook_class.rpartition(".")[0] for declared in types})
    return {
        "package-name": "airflow-provider-flinkx",
        "name": _INTEGRATION,
        "description": "Declarative batch data sync between databases, files and stores on Apache Flink.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://nightlies.apache.org/flink/flink-docs-stable/",
                "tags": ["service"],
            }
        ],
        "operators": [_modules("airflow_provider_flinkx.operators.sync")],
        "hooks": [_modules(*hook_modules)],
        "triggers": [_modules("airflow_provider_flinkx.triggers.sync")],
        "extra-links": ["airflow_provider_flinkx.links.FlinkJobLink"],
        "connection-types": [declared.provider_info() for declared in types],
    }


def _modules(*names: str) -> dict[str, Any]:
    return {"integration-name": _INTEGRATION, "python-modules": list(names)}
