"""Reads `jdbc:db2://host:port/database:name=value;` and says which of its properties have a counterpart here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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

DEFAULT_PORT = 50_000
_URL = re.compile(r"jdbc:db2://(?P<server>[^/]+)/(?P<database>[^:;?]+)(?::(?P<properties>.*))?", re.I | re.S)

#: Properties of Java's driver, in lower case, and the keyword of the CLI driver that does the same.
CLI_KEYWORDS: Mapping[str, str] = {
    "currentfunctionpath": "CURRENTFUNCTIONPATH",
    "sslcertlocation": "SSLSERVERCERTIFICATE",
    "blockingreadconnectiontimeout": "RECEIVETIMEOUT",
    "keepalivetimeout": "KEEPALIVETIMEOUT",
    "clientapplicationinformation": "CLIENTAPPLNAME",
    "clientprogramname": "PROGRAMNAME",
    "clientuser": "CLIENTUSERID",
    "clientworkstation": "CLIENTWRKSTNNAME",
    "clientaccountinginformation": "CLIENTACCTSTR",
    "currentlocktimeout": "LOCKTIMEOUT",
    "kerberosserverprincipal": "TARGETPRINCIPAL",
}
#: Keywords of the CLI driver that may be given under their own name.
_OWN_KEYWORDS = frozenset(
    {*CLI_KEYWORDS.values(), "AUTHENTICATION", "SECURITY", "LONGDATACOMPAT", "SSLCLIENTKEYSTOREDB", "SSLCLIENTKEYSTASH",
     "SSLCLIENTLABEL", "SSLCLIENTHOSTNAMEVALIDATION", "TLSVERSION", "QUERYTIMEOUTINTERVAL", "MAPCHARTOWCHAR"}
)  # fmt: skip
#: What Java's driver calls a way to log in, and the CLI driver's word for it.
_AUTHENTICATION = {
    "3": "SERVER", "7": "SERVER_ENCRYPT", "9": "SERVER_ENCRYPT", "11": "KERBEROS", "12": "DATA_ENCRYPT",
    "13": "DATA_ENCRYPT",
}  # fmt: skip
#: Properties that are used, but not handed on as they are.
_USED = frozenset(
    {"user", "password", "currentschema", "sslconnection",
     "clientreroutealternateservername", "clientreroutealternateportnumber"}
)  # fmt: skip


def address_of(parameter: Mapping[str, Any]) -> Address:
    """The address in a parameter; alternate servers of the URL are tried after the first.

    Raises:
        JobInvalidError: when there is no URL or it cannot be read.
    """
    match = _URL.fullmatch(jdbc_url(parameter))
    if match is None:
        raise JobInvalidError(["connection[0].jdbcUrl: not of the form jdbc:db2://host:50000/database:name=value;"])
    properties = _split(match["properties"] or "")
    user, password = given_login(parameter, properties)
    servers = (server_of(match["server"], DEFAULT_PORT), *_alternates(properties))
    return Address(servers, match["database"], user, password, properties)


def settings(parameter: Mapping[str, Any], address: Address) -> dict[str, str]:
    """Keywords of the CLI driver for the URL's properties and for `properties`, which win."""
    given = {**address.parameters, **{name: str(value) for name, value in (parameter.get("properties") or {}).items()}}
    keywords: dict[str, str] = {}
    for name, value in given.items():
        keyword = CLI_KEYWORDS.get(name.lower(), name.upper())
        if keyword in _OWN_KEYWORDS:
            keywords[keyword] = value
        elif name.lower() == "sslconnection" and value.lower() == "true":
            keywords["SECURITY"] = "SSL"
        elif name.lower() == "securitymechanism" and value in _AUTHENTICATION:
            keywords["AUTHENTICATION"] = _AUTHENTICATION[value]
    return keywords


def current_schema(parameter: Mapping[str, Any], address: Address) -> str | None:
    """Schema of names without one; no keyword, because the driver keeps that of a process's first connection."""
    given = {**address.parameters, **(parameter.get("properties") or {})}
    return next((str(value) for name, value in given.items() if name.lower() == "currentschema" and value), None)


def remarks(parameter: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Properties that have no counterpart in the CLI driver."""
    address = address_of(parameter)
    known = {*_USED, *CLI_KEYWORDS, *(keyword.lower() for keyword in _OWN_KEYWORDS)}
    if driver_settings(parameter, address).get("securitymechanism") in _AUTHENTICATION:
        known.add("securitymechanism")
    return unmapped(parameter, address, known, "the CLI driver", TIME_HINTS)


def _split(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _alternates(properties: Mapping[str, str]) -> list[Server]:
    lowered = {name.lower(): value for name, value in properties.items()}
    hosts = [host for host in lowered.get("clientreroutealternateservername", "").split(",") if host.strip()]
    ports = [port for port in lowered.get("clientreroutealternateportnumber", "").split(",") if port.strip()]
    return [server_of(f"{host.strip()}:{port.strip()}", DEFAULT_PORT) for host, port in zip(hosts, ports, strict=False)]
