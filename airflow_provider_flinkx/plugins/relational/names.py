"""Table names as they stand in a job: `table`, `schema.table`, parts in quotes if wanted."""

from __future__ import annotations

import re

from airflow_provider_flinkx.exceptions import JobInvalidError

_PART = re.compile(r'"((?:[^"]|"")+)"|`((?:[^`]|``)+)`|([^."`]+)')


def split_table_name(name: str) -> tuple[str, ...]:
    """The parts of a dotted name; a part in double quotes or back-ticks may hold dots.

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
        parts.append(
            double.replace('""', '"') if double else back_tick.replace("``", "`") if back_tick else plain.strip()
        )
        position = match.end() + 1
    return tuple(parts)
