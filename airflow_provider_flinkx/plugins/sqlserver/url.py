r"""Reads the JDBC URLs of SQL Server and says which of their parameters have a counterpart here.

Two drivers' forms are in use: `jdbc:sqlserver://host\instance:port;databaseName=d;name=value` (Microsoft) and
`jdbc:jtds:sqlserver://host:port/d;instance=i;name=value` (jTDS, sqlserver.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_flinkx.exceptions import JobInvalidError
from airflow_provider_flinkx.plugins.relational.jdbc import (
    TIME_HINTS,
    Address,
    Server,
    driver_settings,
    given_login,
    jdbc_url,
    server_of,
    unmapped,
)

DEFAULT_PORT = 1433
_URL = re.compile(
    r"jdbc:(?P<jtds>jtds:)?sqlserver://(?P<host>\[[^\]]*\]|[^\\:;/]*)(?:\\(?P<instance>[^:;/]*))?(?::(?P<port>\d+))?"
    r"(?:/(?P<database>[^;]*))?(?:;(?P<properties>.*))?",
    re.IGNORECASE | re.DOTALL,
)
#: `name=value`, the value in braces if it holds a semicolon.
_PROPERTY = re.compile(r"\s*([^=;]+?)\s*=\s*(?:\{((?:[^}]|\}\})*)\}|([^;]*))\s*(?:;|$)")

#: Parameters of Java's drivers, in lower case, and the keyword that means the same to the driver used here.
_KEYWORDS: Mapping[str, str] = {
    "trustservercertificate": "TrustServerCertificate",
    "hostnameincertificate": "HostNameInCertificate",
    "servercertificate": "ServerCertificate",
    "applicationintent": "ApplicationIntent",
    "multisubnetfailover": "MultiSubnetFailover",
    "ipaddresspreference": "IpAddressPreference",
    "packetsize": "PacketSize",
}
_SWITCHES = {"true": "yes", "false": "no"}
#: Values of `encrypt` (Microsoft) and `ssl` (jTDS): how the connection is encrypted, and whether anyone is trusted.
_ENCRYPTION: Mapping[str, Mapping[str, tuple[str, str | None]]] = {
    "encrypt": {"true": ("yes", None), "yes": ("yes", None), "mandatory": ("yes", None), "strict": ("strict", None),
                "false": ("no", None), "no": ("no", None), "optional": ("no", None)},
    "ssl": {"off": ("no", None), "request": ("yes", "yes"), "require": ("yes", "yes"), "authenticate": ("yes", None)},
}  # fmt: skip
#: Parameters that name the server, the database and the login.
_PLACES = frozenset(
    {"servername", "server", "portnumber", "port", "databasename", "database", "instancename", "instance",
     "user", "username", "password"}
)  # fmt: skip


@dataclass(frozen=True)
class SQLServerAddress(Address):
    """Where a database is; a named instance without a port is looked up at the host."""

    instance: str = ""
    encrypts: bool = True  # whether the connection is encrypted when no parameter says so

    def __str__(self) -> str:
        return f"{self.place}/{self.database}"

    @property
    def place(self) -> str:
        r"""`host:port`, or `host\instance`."""
        server = self.servers[0]
        return f"{server.host}\\{self.instance}" if self.instance else str(server)

    @property
    def server(self) -> str:
        """The same in the driver's words."""
        server = self.servers[0]
        return f"{server.host}\\{self.instance}" if self.instance else f"{server.host},{server.port}"


def address_of(parameter: Mapping[str, Any]) -> SQLServerAddress:
    """The address in a parameter. A port wins over an instance, as with Java's drivers.

    Raises:
        JobInvalidError: when there is no URL or it cannot be read.
    """
    match = _URL.fullmatch(jdbc_url(parameter))
    if match is None:
        form = f"jdbc:sqlserver://host:{DEFAULT_PORT};databaseName=database"
        raise JobInvalidError([f"connection[0].jdbcUrl: not of the form {form}"])
    properties = _properties(match["properties"] or "")
    places = {name.lower(): value for name, value in properties.items() if name.lower() in _PLACES}
    login = {"user": places.get("user") or places.get("username"), "password": places.get("password")}
    user, password = given_login(parameter, {name: value for name, value in login.items() if value})
    port = match["port"] or places.get("portnumber") or places.get("port")
    return SQLServerAddress(
        servers=(_server(match["host"] or places.get("servername") or places.get("server") or "localhost", port),),
        database=match["database"] or places.get("databasename") or places.get("database") or "",
        user=user,
        password=password,
        parameters={name: value for name, value in properties.items() if name.lower() not in _PLACES},
        instance="" if port else match["instance"] or places.get("instancename") or places.get("instance") or "",
        encrypts=not match["jtds"],
    )


def settings(parameter: Mapping[str, Any], address: SQLServerAddress) -> dict[str, str]:
    """Keywords of the driver for the URL's parameters and for `properties`, which win.

    Without `encrypt` the connection is encrypted, as with Microsoft's driver; a URL of jTDS says so by `ssl`.

    Raises:
        JobInvalidError: when a value for the encryption is none that Java's drivers know.
    """
    given = driver_settings(parameter, address)
    keywords = {"Encrypt": "yes" if address.encrypts else "no"}
    for name, values in _ENCRYPTION.items():
        if name not in given:
            continue
        if given[name].lower() not in values:
            raise JobInvalidError([f"connection[0].jdbcUrl: {name}={given[name]} is none of {', '.join(values)}"])
        keywords["Encrypt"], trusts = values[given[name].lower()]
        if trusts:
            keywords["TrustServerCertificate"] = trusts
    for name, keyword in _KEYWORDS.items():
        if name in given:
            keywords[keyword] = _SWITCHES.get(given[name].lower(), given[name])
    return keywords


def remarks(parameter: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Parameters that have no counterpart here, and keys that have no effect on SQL Server."""
    found = unmapped(parameter, address_of(parameter), {*_KEYWORDS, *_ENCRYPTION}, "mssql-python", TIME_HINTS)
    if parameter.get("orderByColumn"):
        found.append(("orderByColumn", "has no effect on SQL Server (as in FlinkX)"))
    if parameter.get("withNoLock") and parameter.get("customSql"):
        found.append(("withNoLock", "has no effect on customSql; write WITH (NOLOCK) into the query"))
    return found


def _server(host: str, port: str | None) -> Server:
    return server_of(f"{host}:{port}" if port else host, DEFAULT_PORT)


def _properties(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    position = 0
    while position < len(text.rstrip("; \t\n")):
        match = _PROPERTY.match(text, position)
        if match is None:
            raise JobInvalidError(["connection[0].jdbcUrl: its properties are not of the form name=value;name=value"])
        name, braced, plain = match.groups()
        found[name] = plain.strip() if braced is None else braced.replace("}}", "}")
        position = match.end()
    return found
