"""The connection types of the mysql plugin: its own, and Airflow's `mysql`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_flinkx.exceptions import JobFileError
from airflow_provider_flinkx.plugins.connection import ConnectionType, ConnectionValues, Field
from airflow_provider_flinkx.plugins.registry import Side
from airflow_provider_flinkx.plugins.relational.connection import (
    URL_PARAMETERS,
    database_parameters,
    refuse_extras,
    text_extras,
)

#: Extra of the connection -> parameter of the JDBC URL.
_URL_NAMES = {"ssl_mode": "sslMode", "ssl_ca": "serverSslCert"}


def _parameters(side: Side, values: ConnectionValues) -> Mapping[str, Any]:
    refuse_extras(values, ("iam", "unix_socket"))
    extras = {**text_extras(values, _URL_NAMES), **_airflow_ssl(values)}
    # Java's driver knows the modes by these names; Airflow's connection may have them in lower case.
    if "ssl_mode" in extras:
        extras["ssl_mode"] = extras["ssl_mode"].upper()
    url_parameters = {_URL_NAMES[name]: value for name, value in extras.items()}
    return database_parameters(side, values, scheme="mysql", url_parameters=url_parameters)


def _airflow_ssl(values: ConnectionValues) -> dict[str, str]:
    """The `ssl` extra of Airflow's own mysql connection: an object with the paths of certificates."""
    ssl = values.json_object("ssl")
    unknown = sorted(set(ssl) - {"ca"})
    if unknown:
        raise JobFileError(f"connection {values.connection_id!r}: ssl {', '.join(unknown)} is not supported; remove it")
    return {"ssl_ca": str(ssl["ca"])} if ssl.get("ca") else {}


CONNECTION = ConnectionType(
    conn_type="flinkx_mysql",
    name="FlinkX: MySQL or MariaDB",
    hook_class="airflow_provider_flinkx.plugins.mysql.hook.FlinkXMySQLHook",
    fields=(
        Field(
            "ssl_mode",
            "TLS mode",
            choices=("DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"),
            description="How the connection is encrypted; empty leaves it to the driver.",
        ),
        Field("ssl_ca", "CA file", description="Path of the CA certificate, the same on every node."),
        URL_PARAMETERS,
    ),
    relabel={"schema": "Database"},
    placeholders={"host": "db.example.com", "port": "3306", "schema": "mydb"},
    accepts=("mysql",),
    to_parameters=_parameters,
)
