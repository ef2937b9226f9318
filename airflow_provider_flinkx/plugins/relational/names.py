"""Table names as they stand in a job: `table`, `schema.table`, parts in quotes if wanted."""

from __future__ import annotations

import re
from collections.abc import Callable

from airflow_provider_flinkx.exceptions import JobInvalidError

_PART = re.compile(r'"((?:[^"]|"")+)"|`((?:[^`]|``)+)`|([^."`]+)')
_ORDINARY = re.compile(r"[A-Za-z][A-Za-z0-9_$#@]*")


def split_table_name(name: str, *, stored: Callable[[str], str] = str) -> tuple[str, ...]:
    """The parts of a dotted name; a part in double quotes or back-ticks may hold dots.

    Args:
        name: as it stands in the job.
        stored: how the server stores a part that is written without quotes.

    Raises:
        JobInvalidError: when the name has an empty part or a quote that does not end.
    """
    parts: list[str] = []
    position = 0
    while position <= len(name):
        match = _PART.match(name, position)
        if match is None or (match.end() < len(name) and name[match.end()] != "."):
            raise JobInvalidError([f"connection[0].table: {name!r} is not a table name"])
        double, back_tick, plain = match.groups()
        if plain:
            parts.append(stored(plain.strip()))
        else:
            parts.append(double.replace('""', '"') if double else back_tick.replace("``", "`"))
        position = match.end() + 1
    return tuple(parts)


def upper_case(name: str) -> str:
    """An ordinary name as a server stores it that knows these in upper case only; another one as it is."""
    return name.upper() if _ORDINARY.fullmatch(name) else name
