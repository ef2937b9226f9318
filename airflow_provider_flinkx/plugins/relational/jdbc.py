"""Reads a JDBC URL: servers, database and parameters (job.md §13, §14).

The servers may be several, with a login in front of them (`user:password@host`), and in the forms of MySQL's driver:
`address=(host=h)(port=p)`, `(host=h,port=p)`, a list of these in brackets.

Nothing of a login is kept in what this module prints: `str(address)` is `host:port/database`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from airflow_provider_flinkx.exceptions import JobInvalidError

_URL = re.compile(
    r"jdbc:(?P<scheme>[a-z0-9]+)(?::(?:loadbalance|load-balance-read|replication|sequential|failover|aurora))?:"
    r"(?://(?P<servers>[^/?]*)/?)?(?P<database>[^?]*)(?:\?(?P<query>.*))?",
    re.IGNORECASE | re.DOTALL,
)
_LOGIN = re.compile(r"(?:([^()]*)@)?(.*)", re.DOTALL)
_COMMA = re.compile(r",(?![^(]*\))")
_PAIR = re.compile(r"(\w+)\s*=\s*([^(),]+)")


@dataclass(frozen=True)
class Server:
    """One server of a JDBC URL."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Address:
    """Where a database is, and who logs in. Servers are tried in their order."""

    servers: tuple[Server, ...]
    database: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"{','.join(map(str, self.servers))}/{self.database}"

    def parameter(self, *names: str) -> str | None:
        """The first of these URL parameters that is set; names are compared without case."""
        lowered = {name.lower(): value for name, value in self.parameters.items()}
        return next((lowered[name.lower()] for name in names if lowered.get(name.lower())), None)

    def conceal(self, text: str) -> str:
        """`text` as one line, without the password."""
        line = " ".join(text.split())
        return line.replace(self.password, "***") if self.password else line


def address_of(parameter: Mapping[str, Any], *, schemes: Collection[str], default_port: int) -> Address:
    """The address in a reader's or writer's parameter: `connection[0].jdbcUrl`, `username`, `password`.

    Args:
        parameter: validated parameters; `jdbcUrl` may be a text or a list (element 0 counts, job.md §2).
        schemes: accepted words after `jdbc:`.
        default_port: for servers without a port.

    Raises:
        JobInvalidError: when there is no URL or it cannot be read.
    """
    match = _URL.fullmatch(jdbc_url(parameter))
    if match is None or match["scheme"].lower() not in schemes:
        expected = f"jdbc:{min(schemes)}://host:{default_port}/database"
        raise JobInvalidError([f"connection[0].jdbcUrl: not of the form {expected}"])
    login, hosts = _LOGIN.fullmatch(match["servers"] or "").groups("")  # type: ignore[union-attr]  # takes any text
    parameters = {
        name: unquote(part) for name, part in zip(("user", "password"), login.split(":", 1), strict=False) if part
    }
    servers = tuple(_server(text, default_port, parameters) for text in _COMMA.split(_without_brackets(hosts)))
    parameters |= dict(parse_qsl(match["query"] or "", keep_blank_values=True))
    user, password = given_login(parameter, parameters)
    return Address(servers, unquote(match["database"]), user, password, parameters)


def connection_of(parameter: Mapping[str, Any]) -> Mapping[str, Any]:
    """`connection[0]`, the only element that is used (job.md §2)."""
    connections = parameter.get("connection") or [{}]
    first: Mapping[str, Any] = connections[0]
    return first


def jdbc_url(parameter: Mapping[str, Any]) -> str:
    """`connection[0].jdbcUrl`, a text or a list whose element 0 counts (job.md §2).

    Raises:
        JobInvalidError: when there is none.
    """
    url = connection_of(parameter).get("jdbcUrl")
    if isinstance(url, (list, tuple)):
        url = url[0] if url else None
    if not url:
        raise JobInvalidError(["connection[0].jdbcUrl: missing"])
    return str(url).strip()


def given_login(parameter: Mapping[str, Any], parameters: MutableMapping[str, str]) -> tuple[str | None, str | None]:
    """User and password; those of the URL's `parameters` count last, and are taken out of them."""
    connection = connection_of(parameter)
    user, password = parameters.pop("user", None), parameters.pop("password", None)
    return (
        parameter.get("username") or connection.get("username") or user,
        parameter.get("password") or connection.get("password") or password,
    )


def driver_settings(parameter: Mapping[str, Any], address: Address) -> dict[str, str]:
    """Parameters of the URL, and `properties`, which win; names in lower case."""
    given = {
        **address.parameters,
        **{name: _text(value) for name, value in (parameter.get("properties") or {}).items()},
    }
    return {name.lower(): value for name, value in given.items()}


def unmapped(
    parameter: Mapping[str, Any],
    address: Address,
    known: Collection[str],
    driver: str,
    hints: Mapping[str, str] | None = None,
) -> list[tuple[str, str]]:
    """Remarks on parameters of the URL and of `properties` that nothing here stands for.

    Args:
        parameter: validated parameters.
        address: what its URL says.
        known: parameters that have an effect, in lower case.
        driver: what would have to know them.
        hints: what there is in their place, by their names in lower case.
    """

    def said(name: str) -> str:
        return (hints or {}).get(name.lower()) or f"belongs to Java's driver; {driver} has no such thing"

    remarks = [
        ("connection[0].jdbcUrl", f"parameter {name!r} {said(name)}")
        for name in address.parameters
        if name.lower() not in known
    ]
    remarks += [
        (f"properties.{name}", said(name)) for name in parameter.get("properties") or {} if name.lower() not in known
    ]
    return remarks


#: Times that Java's drivers have settings for.
TIME_HINTS: Mapping[str, str] = dict.fromkeys(
    ("logintimeout", "connecttimeout", "connect_timeout", "oracle.net.connect_timeout"),
    "has no effect: a server that does not answer is given up within 15 seconds",
)


def _without_brackets(hosts: str) -> str:
    """A list of servers that stands in brackets, which around a single address are those of IPv6."""
    listed = hosts.startswith("[") and hosts.endswith("]") and ("," in hosts or "(" in hosts)
    return hosts[1:-1] if listed and hosts.count("[") == hosts.count("]") and "]," not in hosts else hosts


def _server(text: str, default_port: int, parameters: MutableMapping[str, str]) -> Server:
    """A server in one of its forms; what else an `address=(…)` says is added to the URL's parameters."""
    if "(" not in text:
        return server_of(text, default_port)
    pairs = {name.lower(): value.strip() for name, value in _PAIR.findall(text)}
    host, port = pairs.pop("host", "localhost"), pairs.pop("port", "")
    parameters.update(pairs)
    return server_of(
        f"[{host.strip('[]')}]:{port or default_port}" if ":" in host else f"{host}:{port or default_port}",
        default_port,
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def server_of(text: str, default_port: int) -> Server:
    """`host`, `host:port` or `[IPv6]:port`.

    Raises:
        JobInvalidError: when it is none of them.
    """
    match = re.fullmatch(r"(?:\[(?P<address>[^\]]+)\]|(?P<host>[^:\[\]]*))(?::(?P<port>\d+))?", text.strip())
    if match is None:
        raise JobInvalidError([f"connection[0].jdbcUrl: {text!r} is not host:port"])
    return Server(match["address"] or match["host"] or "localhost", int(match["port"] or default_port))
