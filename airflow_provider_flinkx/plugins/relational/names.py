"""Table names as they stand in a job: `table`, `schema.table`, parts in quotes if wanted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

from airflow_provider_flinkx.exceptions import JobInvalidError

_PART = re.compile(r'"((?:[^"]|"")+)"|`((?:[^`]|``)+)`|([^."`]+)')
#: What a part in quotes may have only: it would end the part, or make a pattern of it.
_SPECIAL = re.compile(r"[.\"`*?\[]")
_LETTERS = re.compile(r"[A-Za-z]+")
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


def quoted(name: str, opening: str = '"', closing: str = '"') -> str:
    """An identifier in a server's quotes; a closing quote in it is doubled, by the grammars of all servers here.

    SQLAlchemy's dialects do the same, and their import would be an eighth of the time of a small job.
    """
    return f"{opening}{name.replace(closing, closing * 2)}{closing}"


def upper_case(name: str) -> str:
    """An ordinary name as a server stores it that knows these in upper case only; another one as it is."""
    return name.upper() if _ORDINARY.fullmatch(name) else name


def join_table_name(parts: Sequence[str], *, stored: Callable[[str], str] = str) -> str:
    """The name with these parts as it would stand in a job; the reverse of `split_table_name`."""
    return ".".join(part if _is_plain(part, stored) else quoted(part) for part in parts)


def _is_plain(part: str, stored: Callable[[str], str]) -> bool:
    return stored(part) == part and _SPECIAL.search(part) is None


def matching(pattern: str, names: Iterable[str], *, stored: Callable[[str], str] = str) -> list[str]:
    """The names that match a shell-style pattern, sorted; letters count as the server stores them.

    Args:
        pattern: may have `*`, `?`, `[...]`.
        names: as the server stores them.
        stored: see `split_table_name`.
    """
    folded = _LETTERS.sub(lambda letters: stored(letters[0]), pattern)
    return sorted(name for name in names if fnmatchcase(name, folded))
