"""Reads `jdbc:oracle:thin:@…` in its forms, and says which properties of Java's driver have a counterpart here.

The forms: `host:port:SID`, `//host:port/service`, `host:port/service`, `tcps://host:port/service?name=value`, a TNS
descriptor, an alias of tnsnames.ora with `?TNS_ADMIN=folder`; `user/password` may stand before the `@`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from airflow_provider_flinkx.exceptions import JobInvalidError
from airflow_provider_flinkx.plugins.relational.jdbc import (
    TIME_HINTS,
    Address,
    Server,
    given_login,
    jdbc_url,
    server_of,
    unmapped,
)

DEFAULT_PORT = 1521
_URL = re.compile(
    r"jdbc:oracle:(?:thin|oci8?|kprb):(?:(?P<user>[^/@(]+)/(?P<password>\"[^\"]*\"|[^@(]*))?@(?P<target>.+)",
    re.I | re.S,
)
_SID = re.compile(r"(?P<host>\[[^\]]+\]|[^:/?(]+):(?P<port>\d+):(?P<sid>[^:/?]+)")
_EASY = re.compile(
    r"(?:(?P<protocol>tcps?):)?(?://)?(?P<hosts>[^/?(]+)(?P<service>/[^?]*)?(?P<query>\?.*)?", re.I | re.S
)
_ALIAS = re.compile(r"(?P<alias>[A-Za-z][\w.$#-]*)(?:\?(?P<query>.*))?", re.S)
_HOST = re.compile(r"\(\s*HOST\s*=\s*([^)\s]+)\s*\)", re.I)
_PORT = re.compile(r"\(\s*PORT\s*=\s*(\d+)\s*\)", re.I)
_SERVICE = re.compile(r"\(\s*(?:SERVICE_NAME|SID)\s*=\s*([^)\s]+)\s*\)", re.I)
_DIRECTORY = re.compile(r"DIRECTORY\s*=\s*([^)]+)", re.I)

#: Properties of Java's driver, in lower case, and what the Python driver calls them.
_NAMES: Mapping[str, str] = {
    "tns_admin": "config_dir",
    "oracle.net.tns_admin": "config_dir",
    "oracle.net.wallet_location": "wallet_location",
    "oracle.net.wallet_password": "wallet_password",
    "oracle.net.ssl_server_dn_match": "ssl_server_dn_match",
    "oracle.net.ssl_server_cert_dn": "ssl_server_cert_dn",
    "oracle.net.httpsproxyhost": "https_proxy",
    "oracle.net.httpsproxyport": "https_proxy_port",
    "oracle.jdbc.editionname": "edition",
    "v$session.program": "program",
    "v$session.machine": "machine",
    "v$session.osuser": "osuser",
    "v$session.terminal": "terminal",
    "internal_logon": "mode",
}
#: Properties that are used, but are no argument of a login.
_USED = frozenset({"user", "password", "oracle.jdbc.readtimeout"})
#: Parameters behind `?` that the driver reads itself; it passes over others.
_EASY_NAMES = frozenset(
    {"expire_time", "failover", "https_proxy", "https_proxy_port", "load_balance", "pool_boundary",
     "pool_connection_class", "pool_name", "pool_purity", "retry_count", "retry_delay", "sdu", "source_route",
     "ssl_server_cert_dn", "ssl_server_dn_match", "transport_connect_timeout", "use_sni", "wallet_location"}
)  # fmt: skip


@dataclass(frozen=True)
class OracleAddress(Address):
    """An address as Oracle's network names it; `dsn` is what the driver takes."""

    dsn: str = field(default="", repr=False)

    def __str__(self) -> str:
        return super().__str__() if self.servers else self.database


def address_of(parameter: Mapping[str, Any]) -> OracleAddress:
    """The address in a parameter.

    Raises:
        JobInvalidError: when there is no URL, it cannot be read, or it names an LDAP directory.
    """
    match = _URL.fullmatch(jdbc_url(parameter))
    if match is None:
        raise JobInvalidError(["connection[0].jdbcUrl: not of the form jdbc:oracle:thin:@//host:1521/service"])
    target = match["target"].strip()
    if target.lower().startswith(("ldap:", "ldaps:")):
        raise JobInvalidError(
            ["connection[0].jdbcUrl: the driver asks no LDAP directory; write the descriptor that it holds"]
        )
    servers, database, dsn, properties = _read(target)
    login = {"user": match["user"], "password": match["password"].strip('"')} if match["user"] else {}
    given_user, given_password = given_login(parameter, login)
    return OracleAddress(servers, database, given_user, given_password, properties, dsn)


def settings(parameter: Mapping[str, Any], address: Address) -> dict[str, Any]:
    """Arguments of the driver's login for the URL's parameters and for `properties`, which win."""
    given = {**address.parameters, **(parameter.get("properties") or {})}
    arguments: dict[str, Any] = {}
    for key, value in given.items():
        name = _NAMES.get(key.lower())
        if name == "wallet_location":
            arguments[name] = _folder(str(value))
        elif name == "ssl_server_dn_match":
            arguments[name] = str(value).lower() in ("true", "yes", "on")
        elif name == "https_proxy_port":
            arguments[name] = int(value)
        elif name:
            arguments[name] = str(value)
    return arguments


def read_timeout(parameter: Mapping[str, Any]) -> int:
    """Milliseconds that an answer may take by `oracle.jdbc.ReadTimeout`; 0 for any time."""
    properties = {key.lower(): value for key, value in (parameter.get("properties") or {}).items()}
    return int(properties.get("oracle.jdbc.readtimeout") or 0)


def remarks(parameter: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Properties that have no counterpart in the Python driver."""
    return unmapped(parameter, address_of(parameter), {*_NAMES, *_USED}, "the Python driver", TIME_HINTS)


def _read(target: str) -> tuple[tuple[Server, ...], str, str, dict[str, str]]:
    """Servers and database for messages, the driver's dsn, and parameters that are no part of it."""
    if target.startswith("("):
        ports = _PORT.findall(target) or [str(DEFAULT_PORT)]
        hosts = _HOST.findall(target)
        servers = tuple(Server(host, int(ports[min(place, len(ports) - 1)])) for place, host in enumerate(hosts))
        service = _SERVICE.search(target)
        return servers, service[1] if service else "", target, {}
    if sid := _SID.fullmatch(target.removeprefix("//")):
        server = server_of(f"{sid['host']}:{sid['port']}", DEFAULT_PORT)
        return (server,), sid["sid"], _descriptor(server, sid["sid"]), {}
    # A name with dots is an alias if the URL says where aliases stand, else a host.
    if (alias := _ALIAS.fullmatch(target)) and ("." not in alias["alias"] or "tns_admin" in target.lower()):
        return (), alias["alias"], alias["alias"], dict(parse_qsl(alias["query"] or "", keep_blank_values=True))
    easy = _EASY.fullmatch(target)
    if easy is None:
        raise JobInvalidError(["connection[0].jdbcUrl: not of the form jdbc:oracle:thin:@//host:1521/service"])
    return _easy_connect(easy)


def _easy_connect(easy: re.Match[str]) -> tuple[tuple[Server, ...], str, str, dict[str, str]]:
    hosts = easy["hosts"].replace(";", ",").split(",")
    default = next((int(host.rpartition(":")[2]) for host in hosts if host.rpartition(":")[2].isdigit()), DEFAULT_PORT)
    servers = tuple(server_of(host, default) for host in hosts)
    service = (easy["service"] or "").strip("/")
    query = parse_qsl((easy["query"] or "")[1:], keep_blank_values=True)
    own = {key: value for key, value in query if key.lower() not in _EASY_NAMES}
    rest = "&".join(f"{key}={value}" for key, value in query if key not in own)
    protocol = f"{easy['protocol']}://" if easy["protocol"] else ""
    dsn = f"{protocol}{easy['hosts']}/{service}" + (f"?{rest}" if rest else "")
    return servers, service.partition(":")[0], dsn, own


def _descriptor(server: Server, sid: str) -> str:
    place = f"(ADDRESS=(PROTOCOL=tcp)(HOST={server.host})(PORT={server.port}))"
    return f"(DESCRIPTION={place}(CONNECT_DATA=(SID={sid})))"


def _folder(value: str) -> str:
    """The folder of a wallet, which Java's driver takes as a path, a file: URL or a nested list."""
    found = _DIRECTORY.search(value)
    return (found[1].strip() if found else value).removeprefix("file:")
