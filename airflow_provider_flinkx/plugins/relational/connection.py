"""How a database connection becomes job parameters: user, password and a JDBC URL (job.md §13, §14)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from airflow_provider_flinkx.exceptions import JobFileError
from airflow_provider_flinkx.plugins.connection import ConnectionValues, Field
from airflow_provider_flinkx.plugins.registry import Side

#: Extra of every database connection: what stands after the `?` of its JDBC URL.
URL_PARAMETERS = Field(
    "url_parameters",
    "URL parameters",
    description="What stands after the ? in the JDBC URL: name=value&name=value.",
)


def database_parameters(
    side: Side, values: ConnectionValues, *, scheme: str, url_parameters: Mapping[str, str]
) -> Mapping[str, Any]:
    """User, password and JDBC URL of a connection.

    Args:
        side: a reader's `jdbcUrl` is a list, a writer's a text (job.md §2).
        values: the connection; host may name several servers, separated by commas, each with its own `:port`.
        scheme: `mysql` or `postgresql`.
        url_parameters: beside those that the connection's own `url_parameters` field holds.
    """
    url = f"jdbc:{scheme}://{_servers(values)}/{quote(values.schema or '', safe='')}"
    query = "&".join(part for part in (urlencode(url_parameters), _typed_parameters(values)) if part)
    if query:
        url += f"?{query}"
    return login_parameters(side, values, url)


def login_parameters(side: Side, values: ConnectionValues, url: str) -> Mapping[str, Any]:
    """User and password of a connection, and its JDBC URL; a reader's is a list, a writer's a text (job.md §2)."""
    parameters: dict[str, Any] = {"connection": [{"jdbcUrl": [url] if side == "reader" else url}]}
    if values.login is not None:
        parameters["username"] = values.login
    # A job needs a password key, be it empty: a server may trust a login without one.
    parameters["password"] = values.password or ""
    return parameters


def text_extras(values: ConnectionValues, names: Iterable[str]) -> dict[str, str]:
    """The extras of these names that are set, as text."""
    return {name: str(values.extra[name]) for name in names if values.extra.get(name) not in (None, "")}


def refuse_extras(values: ConnectionValues, names: Iterable[str]) -> None:
    """Refuse a connection that asks for something that would otherwise be left out without a word.

    Raises:
        JobFileError: when one of these extras is set.
    """
    for name in names:
        if values.extra.get(name):
            raise JobFileError(f"connection {values.connection_id!r}: extra {name!r} is not supported; remove it")


def _typed_parameters(values: ConnectionValues) -> str:
    return str(values.extra.get(URL_PARAMETERS.name) or "").lstrip("?&")


def servers_of(values: ConnectionValues, default_port: int) -> list[tuple[str, int]]:
    """Host and port of each server of the host field, for URLs that do not list them as `host:port,host:port`."""
    names = [server.strip() for server in values.required("host", "Host").split(",")]
    parts = [_with_port(name, values.port or default_port).rpartition(":") for name in names]
    return [(host.strip("[]"), int(port)) for host, _, port in parts]


def _servers(values: ConnectionValues) -> str:
    """`host:port` of each server of the host field; a port of its own wins over the port field."""
    servers = [server.strip() for server in values.required("host", "Host").split(",")]
    return ",".join(_with_port(server, values.port) for server in servers)


def _with_port(server: str, port: int | None) -> str:
    if server.count(":") > 1 and not server.startswith("["):
        server = f"[{server}]"  # an IPv6 address; in a URL it stands in brackets
    has_port = ":" in server.rpartition("]")[2]
    return server if has_port or port is None else f"{server}:{port}"
