"""PostgreSQL's types: which Arrow type each has, and which cross as text.

A type that Arrow has no equal for (uuid, jsonb, inet, arrays, interval, bit, money ...) is read `::text`
and written through a staging table with a cast on the server, which takes back its own text form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

#: Types whose binary form ADBC reads and writes unchanged.
ARROW_TYPES = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "text": pa.string(),
    "varchar": pa.string(),
    "bpchar": pa.string(),
    "name": pa.string(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
}
#: Types beyond these whose binary form is the text itself, so that a string column can be copied in.
_TEXT_ON_THE_WIRE = frozenset({"json", "xml", "citext"})
_MOST_DIGITS = 38


@dataclass(frozen=True)
class SourceType:
    """A type as a query returns it.

    Args:
        name: `pg_type.typname`.
        modifier: the type's modifier as on the wire; -1 for none.
    """

    name: str
    modifier: int = -1

    @property
    def arrow(self) -> pa.DataType:
        """Arrow type of the column in batches."""
        return ARROW_TYPES.get(self.name) or self.decimal or (pa.int64() if self.name == "oid" else pa.string())

    @property
    def decimal(self) -> pa.DataType | None:
        """The Arrow decimal of a numeric with declared precision, where there is one."""
        return numeric_type(self.modifier) if self.name == "numeric" else None

    def expression(self, column: str) -> str:
        """What to select, so that the driver gives the value unchanged and fast."""
        if self.name in ARROW_TYPES:
            return column
        # ADBC makes text of every numeric itself, three times slower than the server does.
        return f"{column}::int8" if self.name == "oid" else f"{column}::text"


@dataclass(frozen=True)
class TargetColumn:
    """A column of the table that is written.

    Args:
        name: its name.
        type_name: `pg_type.typname`; of the base type when the column's type is a domain.
        bare_type: the type in SQL without modifier, so that a cast to it never cuts a value.
        modifier: type modifier; -1 for none.
        is_enum: whether the type is an enumeration, whose binary form is text.
        needs_value: NOT NULL, and no trigger might fill it.
    """

    name: str
    type_name: str
    bare_type: str
    modifier: int
    is_enum: bool
    needs_value: bool

    def arrow(self, source: pa.DataType) -> pa.DataType | None:
        """The Arrow type that can be copied into the column, or None when it takes text and a cast."""
        if self.type_name == "numeric":
            return numeric_type(self.modifier) if self.modifier >= 0 else _fitting_decimal(source)
        if self.is_enum or self.type_name in _TEXT_ON_THE_WIRE:
            return pa.string()
        return ARROW_TYPES.get(self.type_name)

    @property
    def most_characters(self) -> int | None:
        """The length of a varchar: longer texts that end in blanks would be cut without an error."""
        return self.modifier - 4 if self.type_name == "varchar" and self.modifier >= 4 else None

    @property
    def fraction_digits(self) -> int:
        """Digits of a second that the column keeps; finer values would be rounded without an error."""
        temporal = self.type_name in ("time", "timestamp", "timestamptz")
        return self.modifier if temporal and 0 <= self.modifier <= 6 else 6

    @property
    def bits(self) -> int | None:
        """Length of a bit(n) column, which numbers are padded to; 0 for bit varying."""
        return {"bit": max(self.modifier, 1), "varbit": 0}.get(self.type_name)


def numeric_type(modifier: int) -> pa.DataType | None:
    """The Arrow decimal of a numeric's modifier; None without precision, or beyond what Arrow's 128 bits hold."""
    if modifier < 4:
        return None
    precision = (modifier - 4) >> 16 & 0xFFFF
    scale = ((modifier - 4) & 0x7FF ^ 1024) - 1024
    if precision > _MOST_DIGITS or not 0 <= scale <= precision:
        return None
    return pa.decimal128(precision, scale)


def _fitting_decimal(source: pa.DataType) -> pa.DataType | None:
    """The decimal that holds every value of `source`, for a numeric column without precision."""
    if pa.types.is_decimal128(source):
        return source
    return pa.decimal128(20, 0) if pa.types.is_integer(source) else None


def source_type_name(declared: str) -> str:
    """The name for `source_type` in a field's metadata: the declared type without its numbers."""
    return re.sub(r"\(.*?\)", "", declared)
