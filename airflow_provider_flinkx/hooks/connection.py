"""The `flink` connection type: where jobs run. Imports no Airflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airflow_provider_flinkx.clusters.settings import (
    MODES,
    RECONNECT_SECONDS,
    SLOT_SECONDS,
    ClusterSettings,
    KerberosLogin,
    Tls,
)
from airflow_provider_flinkx.exceptions import JobFileError
from airflow_provider_flinkx.plugins.connection import ConnectionType, ConnectionValues, Field

CONNECTION = ConnectionType(
    conn_type="flink",
    name="Flink",
    hook_class="airflow_provider_flinkx.hooks.flink.FlinkClusterHook",
    fields=(
        Field(
            "mode",
            "Mode",
            default="local",
            choices=MODES,
            description="local: a Flink of its own for each job, on the Airflow worker; standalone: a cluster that "
            "is there, over REST; yarn: a Flink session on YARN.",
        ),
        Field("flink_conf", "flinkconf folder", description="Folder with the cluster's config.yaml; for standalone."),
        Field("yarn_conf", "yarnconf folder", description="Folder with yarn-site.xml and core-site.xml; for yarn."),
        Field("application_id", "YARN application id", description="The session; empty: looked for by its name."),
        Field(
            "application_name",
            "YARN application name",
            description="The session's name; empty: the largest one whose name begins with `Flink session`.",
        ),
        Field("queue", "YARN queue", description="Only sessions in this queue."),
        Field(
            "python",
            "Python executable",
            description="Interpreter that has apache-flink; empty means the one that Airflow runs on.",
        ),
        Field(
            "worker_python",
            "Python on the nodes",
            description="Interpreter on the cluster's nodes, or its path in the archive; empty: the same path as here.",
        ),
        Field(
            "worker_archive",
            "Python archive",
            description="A .tgz that `flinkx pack` made, with the nodes' Python; it travels with each job.",
        ),
        Field("tls_ca", "TLS: CA file", description="PEM file; empty means the system's authorities."),
        Field("tls_certificate", "TLS: client certificate", description="PEM file, if the cluster asks for one."),
        Field("tls_key", "TLS: client key file", description="PEM file; empty if the certificate's file holds it."),
        Field("kerberos_principal", "Kerberos principal", description="For YARN; empty: that of the ticket cache."),
        Field("kerberos_keytab", "Kerberos keytab", description="Path of the keytab; empty: the ticket cache."),
        Field(
            "reconnect_timeout",
            "Reconnect timeout",
            "integer",
            default=round(RECONNECT_SECONDS),
            description="Seconds for which a cluster that does not answer is waited for.",
        ),
        Field(
            "slot_timeout",
            "Slot timeout",
            "integer",
            default=round(SLOT_SECONDS),
            description="Seconds for which a job waits for free slots.",
        ),
        Field(
            "settings",
            "Flink settings",
            "json",
            description='JSON object of Flink settings, for instance {"taskmanager.memory.process.size": "2g"}.',
        ),
    ),
    hidden=("login", "password", "schema"),
    relabel={"host": "REST address", "port": "REST port"},
    placeholders={"host": "https://jobmanager (several for HA, separated by commas; for standalone)", "port": "8081"},
)

_DEFAULT_REST_PORT = 8081


def cluster_settings(values: ConnectionValues, mode: str | None = None) -> ClusterSettings:
    """What a `flink` connection says.

    Args:
        values: the stored connection.
        mode: overrides its mode.

    Raises:
        JobFileError: when it names something that there is not.
    """
    extra = values.extra
    mode = mode or extra.get("mode") or "local"
    if mode not in MODES:
        raise JobFileError(f"mode {mode!r} is unknown; allowed: {', '.join(MODES)}")
    return ClusterSettings(
        mode=mode,
        rest_addresses=_addresses(values),
        flink_conf=_path(extra.get("flink_conf")),
        yarn_conf=_path(extra.get("yarn_conf")),
        application_id=extra.get("application_id"),
        application_name=extra.get("application_name"),
        queue=extra.get("queue"),
        python=extra.get("python"),
        worker_python=extra.get("worker_python"),
        worker_archive=_path(extra.get("worker_archive")),
        tls=_tls(extra),
        kerberos=_kerberos(extra),
        flink={name: _setting(value) for name, value in values.json_object("settings").items()},
        reconnect_timeout=float(extra.get("reconnect_timeout", RECONNECT_SECONDS)),
        slot_timeout=float(extra.get("slot_timeout", SLOT_SECONDS)),
    )


def _addresses(values: ConnectionValues) -> tuple[str, ...]:
    """`host` may be several, each with or without scheme and port."""
    return tuple(
        _address(host.strip().rstrip("/"), values.port or _DEFAULT_REST_PORT)
        for host in (values.host or "").split(",")
        if host.strip()
    )


def _address(host: str, port: int) -> str:
    scheme, separator, place = host.rpartition("://")
    has_port = place.rpartition(":")[2].isdigit() and not place.endswith("]")
    return f"{scheme if separator else 'http'}://{place if has_port else f'{place}:{port}'}"


def _tls(extra: Any) -> Tls | None:
    ca, certificate, key = (_path(extra.get(name)) for name in ("tls_ca", "tls_certificate", "tls_key"))
    return Tls(ca, certificate, key) if ca or certificate else None


def _kerberos(extra: Any) -> KerberosLogin | None:
    principal, keytab = extra.get("kerberos_principal"), _path(extra.get("kerberos_keytab"))
    return KerberosLogin(principal, keytab) if principal or keytab else None


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _setting(value: Any) -> str:
    """A Flink setting as text; `true` stays `true`."""
    return value if isinstance(value, str) else json.dumps(value)
