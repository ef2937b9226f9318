"""The connection types of the oracle plugin: its own, and Airflow's `oracle`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_flinkx.plugins.connection import ConnectionType, ConnectionValues, Field
from airflow_provider_flinkx.plugins.registry import Side
from airflow_provider_flinkx.plugins.relational.connection import login_parameters, refuse_extras, servers_of

_DEFAULT_PORT = 1521
_SERVICE = "service_name"
_SID = "sid"
_DSN = "dsn"
_WALLET = "wallet_location"
_WALLET_PASSWORD = "wallet_password"  # noqa: S105  # the name of a field
_CONFIG = "config_dir"
_PROPERTIES = {
    _WALLET: "oracle.net.wallet_location",
    _WALLET_PASSWORD: "oracle.net.wallet_password",
    _CONFIG: "oracle.net.tns_admin",
}


def _parameters(side: Side, values: ConnectionValues) -> Mapping[str, Any]:
    refuse_extras(values, ("thick_mode", "thick_mode_lib_dir", "mode", "purity", "events"))
    parameters = dict(login_parameters(side, values, f"jdbc:oracle:thin:@{_target(values)}"))
    if values.schema and _is_set(values, _SERVICE, _SID, _DSN):
        # Airflow's own connection has the schema of tables in this field when the service stands elsewhere.
        connection = {**parameters["connection"][0], "schema": values.schema}
        parameters["connection"] = [connection]
    properties = {name: str(values.extra[field]) for field, name in _PROPERTIES.items() if values.extra.get(field)}
    return {**parameters, "properties": properties} if properties else parameters


def _target(values: ConnectionValues) -> str:
    """What stands behind the `@` of the URL."""
    if values.extra.get(_DSN):
        return str(values.extra[_DSN])
    host, port = servers_of(values, _DEFAULT_PORT)[0]
    host = f"[{host}]" if ":" in host else host
    if values.extra.get(_SID):
        return f"{host}:{port}:{values.extra[_SID]}"
    service = values.extra.get(_SERVICE) or values.required("schema", "Service name")
    return f"//{host}:{port}/{service}"


def _is_set(values: ConnectionValues, *names: str) -> bool:
    return any(values.extra.get(name) for name in names)


CONNECTION = ConnectionType(
    conn_type="flinkx_oracle",
    name="FlinkX: Oracle",
    hook_class="airflow_provider_flinkx.plugins.oracle.hook.FlinkXOracleHook",
    fields=(
        Field(_SERVICE, "Service", description="Service name; then the field above is the schema of the tables."),
        Field(_SID, "SID", description="In place of a service name, for old databases."),
        Field(_DSN, "Connect descriptor", description="In place of host and service: (DESCRIPTION=…) or a TNS alias."),
        Field(_CONFIG, "Folder of tnsnames.ora", description="The same on every node."),
        Field(_WALLET, "Folder of the wallet", description="With ewallet.pem, the same on every node."),
        Field(_WALLET_PASSWORD, "Password of the wallet", secret=True),
    ),
    relabel={"schema": "Service name"},
    placeholders={"host": "db.example.com", "port": "1521", "schema": "ORCLPDB1"},
    accepts=("oracle",),
    to_parameters=_parameters,
)
