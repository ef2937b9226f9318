"""The connection types of the postgresql plugin: its own, and Airflow's `postgres`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_flinkx.plugins.connection import ConnectionType, ConnectionValues, Field
from airflow_provider_flinkx.plugins.registry import Side
from airflow_provider_flinkx.plugins.relational.connection import (
    URL_PARAMETERS,
    database_parameters,
    refuse_extras,
    text_extras,
)

SSL_EXTRAS = ("sslmode", "sslrootcert", "sslcert", "sslkey")


def _parameters(side: Side, values: ConnectionValues) -> Mapping[str, Any]:
    refuse_extras(values, ("iam",))
    return database_parameters(side, values, scheme="postgresql", url_parameters=text_extras(values, SSL_EXTRAS))


CONNECTION = ConnectionType(
    conn_type="flinkx_postgresql",
    name="FlinkX: PostgreSQL",
    hook_class="airflow_provider_flinkx.plugins.postgresql.hook.FlinkXPostgreSQLHook",
    fields=(
        Field(
            "sslmode",
            "TLS mode",
            choices=("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
            description="How the connection is encrypted; empty leaves it to the driver.",
        ),
        Field("sslrootcert", "CA file", description="Path of the CA certificate, the same on every node."),
        Field("sslcert", "Client certificate", description="Path of the client's certificate."),
        Field("sslkey", "Client key", description="Path of the client's private key."),
        URL_PARAMETERS,
    ),
    relabel={"schema": "Database"},
    placeholders={"host": "db.example.com", "port": "5432", "schema": "mydb"},
    accepts=("postgres",),
    to_parameters=_parameters,
)
