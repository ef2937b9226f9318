"""The connection types of the sqlserver plugin: its own, and Airflow's `mssql`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_flinkx.plugins.connection import ConnectionType, ConnectionValues, Field
from airflow_provider_flinkx.plugins.registry import Side
from airflow_provider_flinkx.plugins.relational.connection import login_parameters
from airflow_provider_flinkx.plugins.sqlserver.url import DEFAULT_PORT

_INSTANCE = "instance"
_ENCRYPT = "encrypt"
_TRUST = "trust_server_certificate"
_HOST_NAME = "host_name_in_certificate"
_URL_PARAMETERS = "url_parameters"


def _parameters(side: Side, values: ConnectionValues) -> Mapping[str, Any]:
    host = values.required("host", "Host").strip()
    if host.count(":") > 1 and not host.startswith("["):
        host = f"[{host}]"
    instance = values.extra.get(_INSTANCE)
    place = f"{host}\\{instance}" if instance else host
    if values.port or not instance:
        place += f":{values.port or DEFAULT_PORT}"
    given = {
        "databaseName": values.schema,
        "encrypt": values.extra.get(_ENCRYPT),
        "trustServerCertificate": "true" if values.extra.get(_TRUST) else None,
        "hostNameInCertificate": values.extra.get(_HOST_NAME),
    }
    properties = [f"{name}={_in_braces(str(value))}" for name, value in given.items() if value]
    typed = str(values.extra.get(_URL_PARAMETERS) or "").strip("; ")
    url = ";".join([f"jdbc:sqlserver://{place}", *properties, *([typed] if typed else [])])
    return login_parameters(side, values, url)


def _in_braces(value: str) -> str:
    return "{" + value.replace("}", "}}") + "}" if any(mark in value for mark in ";{}") else value


CONNECTION = ConnectionType(
    conn_type="flinkx_sqlserver",
    name="FlinkX: SQL Server",
    hook_class="airflow_provider_flinkx.plugins.sqlserver.hook.FlinkXSQLServerHook",
    fields=(
        Field(_INSTANCE, "Instance", description="A named instance, looked up at the host; a port wins over it."),
        Field(
            _ENCRYPT,
            "Encryption",
            choices=("true", "false", "strict"),
            description="How the connection is encrypted; empty encrypts it.",
        ),
        Field(
            _TRUST,
            "Trust any certificate",
            kind="boolean",
            default=False,
            description="Accept the server's certificate unchecked, as self-signed ones need.",
        ),
        Field(_HOST_NAME, "Name in certificate", description="Name that the certificate must bear, if not the host's."),
        Field(
            _URL_PARAMETERS,
            "URL parameters",
            description="What stands behind the database in the JDBC URL: name=value;name=value.",
        ),
    ),
    relabel={"schema": "Database"},
    placeholders={"host": "db.example.com", "port": "1433", "schema": "mydb"},
    accepts=("mssql",),
    to_parameters=_parameters,
)
