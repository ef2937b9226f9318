"""The type names of a job (job.md §11). Names only: `plugins.conversion` knows what they mean."""

from __future__ import annotations

import re
from typing import NamedTuple

#: Type names that FlinkX knows in any of its versions, lower-cased; `id` is streamreader's running number.
KNOWN_TYPES = frozenset({
    "bigint", "binary", "bit", "boolean", "char", "date", "datetime", "decimal", "double", "float", "id", "int",
    "int32", "int64", "integer", "keyword", "long", "mediumint", "number", "nvarchar", "short", "smallint", "string",
    "text", "time", "timestamp", "tinyint", "varchar", "varchar2", "year",
})  # fmt: skip

#: Digits of the widest decimal that Arrow has.
MOST_DIGITS = 76

_TYPE = re.compile(r"(?P<name>[^()]+)\s*(?:\(\s*(?P<arguments>\d+(?:\s*,\s*\d+)*)\s*\))?(?P<rest>[^()]*)")


class TypeName(NamedTuple):
    """A type name taken apart: `decimal(10, 2)` is ("decimal", (10, 2))."""

    name: str
    arguments: tuple[int, ...] = ()

    @property
    def known(self) -> bool:
        """Whether FlinkX knows the name in any of its versions."""
        return self.name in KNOWN_TYPES


def parse_type(text: str) -> TypeName:
    """Take a type name apart.

    The name is lower-cased; `(n,m)`, UNSIGNED and ZEROFILL are cut off; a name that contains
    "timestamp" is `timestamp` (job.md §11).
    """
    match = _TYPE.fullmatch(text.strip().lower())
    if match is None:
        return TypeName(text.strip().lower())
    words = f"{match['name']} {match['rest']}".split()
    name = " ".join(word for word in words if word not in ("unsigned", "zerofill"))
    arguments = tuple(int(number) for number in (match["arguments"] or "").split(",") if number)
    return TypeName("timestamp" if "timestamp" in name else name, arguments)
