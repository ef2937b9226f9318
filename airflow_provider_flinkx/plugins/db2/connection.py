"""The connection type of the db2 plugin; Airflow has none of its own for DB2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_flinkx.plugins.connection import ConnectionType, ConnectionValues, Field
from airflow_provider_flinkx.plugins.registry import Side
from airflow_provider_flinkx.plugins.relational.connection import login_parameters, servers_of

_CURRENT_SCHEMA = "current_schema"
_SSL = "ssl"
_CERTIFICATE = "ssl_certificate"
_URL_PARAMETERS = "url_parameters"


def _parameters(side: Side, values: ConnectionValues) -> Mapping[str, Any]:
    first, *others = servers_of(values, default_port=50000)
    given = {
        "clientRerouteAlternateServerName": ",".join(host for host, _ in others),
        "clientRerouteAlternatePortNumber": ",".join(str(port) for _, port in others),
        "currentSchema": values.extra.get(_CURRENT_SCHEMA),
        "sslConnection": "true" if values.extra.get(_SSL) else None,
        "sslCertLocation": values.extra.get(_CERTIFICATE),
    }
    properties = "".join(f"{name}={value};" for name, value in given.items() if value)
    typed = str(values.extra.get(_URL_PARAMETERS) or "").strip(":;")
    properties += f"{typed};" if typed else ""
    host = f"[{first[0]}]" if ":" in first[0] else first[0]
    url = f"jdbc:db2://{host}:{first[1]}/{values.required('schema', 'Database')}"
    return login_parameters(side, values, f"{url}:{properties}" if properties else url)


CONNECTION = ConnectionType(
    conn_type="flinkx_db2",
    name="FlinkX: DB2",
    hook_class="airflow_provider_flinkx.plugins.db2.hook.FlinkXDB2Hook",
    fields=(
        Field(_CURRENT_SCHEMA, "Current schema", description="Schema of tables that are named without one."),
        Field(_SSL, "TLS", kind="boolean", description="Whether the connection is encrypted.", default=False),
        Field(_CERTIFICATE, "CA file", description="Path of the CA certificate, the same on every node."),
        Field(
            _URL_PARAMETERS,
            "URL properties",
            description="What stands behind the database in the JDBC URL: name=value;name=value;",
        ),
    ),
    relabel={"schema": "Database"},
    placeholders={"host": "db.example.com", "port": "50000", "schema": "mydb"},
    to_parameters=_parameters,
)
