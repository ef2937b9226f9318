"""What parameters of Java's drivers for MySQL and MariaDB mean here, and which have no counterpart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_flinkx.exceptions import JobInvalidError
from airflow_provider_flinkx.plugins.relational.jdbc import (
    TIME_HINTS,
    Address,
    address_of,
    driver_settings,
    unmapped,
)

SCHEMES = frozenset({"mysql", "mariadb"})
DEFAULT_PORT = 3306
#: What tells PyMySQL not to encrypt.
OPEN: Mapping[str, Any] = {"ssl_disabled": True}
#: `sslMode` of MySQL's driver -> more of PyMySQL's arguments; None: encrypt where the server can.
_TLS_MODES: Mapping[str, Mapping[str, Any] | None] = {
    "preferred": None,
    "required": {},
    "verify_ca": {"ssl_verify_cert": True},
    "verify_identity": {"ssl_verify_cert": True, "ssl_verify_identity": True},
    "disabled": OPEN,
}
#: What MariaDB's driver calls them.
_OTHER_NAMES = {"disable": "disabled", "trust": "required", "verify_full": "verify_identity"}
_USED = frozenset(
    {"user", "password", "sslmode", "serversslcert", "usessl", "requiressl", "verifyservercertificate",
     "sessionvariables"}
)  # fmt: skip
_UTF_8 = frozenset({"utf8", "utf-8", "utf8mb4"})
#: Parameters that ask for what is done anyway, with these values; None: whatever the value.
_MET: Mapping[str, frozenset[str] | None] = {
    "useunicode": frozenset({"true"}),
    "characterencoding": _UTF_8,
    "charset": _UTF_8,
    "zerodatetimebehavior": frozenset({"converttonull", "convert_to_null"}),
    "tinyint1isbit": frozenset({"false"}),
    "allowmultiqueries": frozenset({"false"}),
    "trustservercertificate": frozenset({"true"}),
    "yearisdatetype": frozenset({"false"}),
    "nodatetimestringsync": None,
    "usecursorfetch": None,
    "defaultfetchsize": None,
    "rewritebatchedstatements": None,
    "useserverprepstmts": None,
    "cacheprepstmts": None,
    "prepstmtcachesize": None,
    "prepstmtcachesqllimit": None,
    "allowpublickeyretrieval": None,
}
_ZONE = "has no effect: times without a zone are those of setting.timezone"
_HINTS: Mapping[str, str] = {
    **TIME_HINTS,
    "servertimezone": _ZONE,
    "connectiontimezone": _ZONE,
    "usetimezone": _ZONE,
    "uselegacydatetimecode": _ZONE,
    "autoreconnect": "has no effect: a lost connection ends the try, and a retry goes on where it stopped",
    "allowmultiqueries": "has no effect: each statement of preSql, postSql and session is an element of its own",
    "tinyint1isbit": "has no effect: tinyint(1) is read as a number",
    "zerodatetimebehavior": "has no effect but with convertToNull: dates of zeros cross as text",
}
_VARIABLE = re.compile(r"(?:[^,;'\"]|'[^']*'|\"[^\"]*\")+")


def settings(parameter: Mapping[str, Any], address: Address) -> dict[str, str]:
    """Parameters of the URL, and `properties`, which win; names in lower case."""
    return driver_settings(parameter, address)


def tls(given: Mapping[str, str]) -> Mapping[str, Any]:
    """What PyMySQL must be told of encryption; nothing: it encrypts where the server can.

    Raises:
        JobInvalidError: `sslMode` is none that Java's drivers know.
    """
    mode = given.get("sslmode", "").lower().replace("-", "_")
    mode = _OTHER_NAMES.get(mode, mode)
    if mode and mode not in _TLS_MODES:
        raise JobInvalidError([f"connection[0].jdbcUrl: sslMode={given['sslmode']} is none of {', '.join(_TLS_MODES)}"])
    authority = given.get("serversslcert")
    if not mode and authority:
        mode = "verify_ca"  # who names an authority wants it asked
    if not mode and "true" in (given.get("usessl", "").lower(), given.get("requiressl", "").lower()):
        mode = "verify_ca" if given.get("verifyservercertificate", "").lower() == "true" else "required"
    arguments = _TLS_MODES.get(mode)
    if arguments is None or arguments is OPEN:
        return arguments or {}
    # An empty dictionary asks PyMySQL for TLS without a check of the certificate.
    return {"ssl_ca": authority, **arguments} if authority else {"ssl": {}, **arguments}


def session(given: Mapping[str, str]) -> Sequence[str]:
    """Statements for `sessionVariables=name=value,name=value`."""
    variables = [found.strip() for found in _VARIABLE.findall(given.get("sessionvariables", ""))]
    return [f"SET {name if name.startswith('@') else f'SESSION {name}'}" for name in variables if name]


def remarks(parameter: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Parameters that have no counterpart here."""
    address = address_of(parameter, schemes=SCHEMES, default_port=DEFAULT_PORT)
    given = settings(parameter, address)
    met = {name for name, values in _MET.items() if values is None or given.get(name, "").lower() in values}
    return unmapped(parameter, address, _USED | met, "PyMySQL", _HINTS)
