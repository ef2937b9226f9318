"""What parameters of Java's driver for PostgreSQL mean here, and which have no counterpart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_flinkx.plugins.relational.jdbc import (
    TIME_HINTS,
    Address,
    address_of,
    driver_settings,
    unmapped,
)

SCHEMES = frozenset({"postgresql"})
DEFAULT_PORT = 5432
#: Parameters of Java's driver, in lower case, and what libpq calls them.
_LIBPQ_NAMES = {
    "applicationname": "application_name",
    "application_name": "application_name",
    "options": "options",
    "targetservertype": "target_session_attrs",
    "target_session_attrs": "target_session_attrs",
    "sslmode": "sslmode",
    "sslcert": "sslcert",
    "sslkey": "sslkey",
    "sslpassword": "sslpassword",
    "sslrootcert": "sslrootcert",
    "gssencmode": "gssencmode",
    "channelbinding": "channel_binding",
    "kerberosservername": "krbsrvname",
}
_TARGET_SERVERS = {"any": "any", "primary": "read-write", "master": "read-write", "secondary": "standby",
                   "slave": "standby", "preferSecondary": "prefer-standby", "preferSlave": "prefer-standby",
                   "preferPrimary": "any"}  # fmt: skip
_NO_VALIDATION = "NonValidatingFactory"
_USED = frozenset({"user", "password", "ssl", "currentschema"})
#: Parameters that ask for what is done anyway, with these values; None: whatever the value.
_MET: Mapping[str, frozenset[str] | None] = {
    "stringtype": frozenset({"unspecified"}),
    "tcpkeepalive": frozenset({"true"}),
    "usecursorfetch": None,
    "defaultrowfetchsize": None,
    "rewritebatchedinserts": None,
    "preparethreshold": None,
    "preparedstatementcachequeries": None,
    "preparedstatementcachesizemib": None,
    "binarytransfer": None,
    "preferquerymode": None,
}
_HINTS: Mapping[str, str] = {
    **TIME_HINTS,
    "stringtype": "has no effect: the server casts texts to the types of the columns",
    "autosave": "has no effect: refused rows are taken back to a savepoint",
}


def settings(parameter: Mapping[str, Any], address: Address) -> dict[str, str]:
    """Libpq's keywords for the URL's parameters and for `properties`, which win."""
    given = driver_settings(parameter, address)
    keywords = {_LIBPQ_NAMES[name]: value for name, value in given.items() if name in _LIBPQ_NAMES}
    if "sslmode" not in keywords and given.get("ssl", "false").lower() in ("", "true"):
        # What Java's driver makes of ssl=true; a factory that validates nothing is asked for by its name.
        keywords["sslmode"] = "require" if _validates_nothing(given) else "verify-full"
    if "target_session_attrs" in keywords:
        wanted = keywords["target_session_attrs"]
        keywords["target_session_attrs"] = _TARGET_SERVERS.get(wanted, wanted)
    if schema := given.get("currentschema"):
        escaped = schema.replace("\\", r"\\").replace(" ", r"\ ")
        keywords["options"] = f"{keywords.get('options', '')} -c search_path={escaped}".strip()
    return keywords


def remarks(parameter: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Parameters that have no counterpart here."""
    address = address_of(parameter, schemes=SCHEMES, default_port=DEFAULT_PORT)
    given = driver_settings(parameter, address)
    met = {name for name, values in _MET.items() if values is None or given.get(name, "").lower() in values}
    if _validates_nothing(given):
        met.add("sslfactory")
    return unmapped(parameter, address, {*_USED, *_LIBPQ_NAMES, *met}, "libpq", _HINTS)


def _validates_nothing(given: Mapping[str, str]) -> bool:
    return given.get("sslfactory", "").endswith(_NO_VALIDATION)
