"""Types of MySQL and MariaDB: which Arrow type each has, and how it is selected.

The reading driver gives integers, floats, texts and bytes unchanged. What it would alter or stumble over (decimals,
dates with zeros, times beyond a day, bits) is selected as text, and turned into Arrow values here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pymysql.constants import FIELD_TYPE, FLAG

_MOST_DIGITS = 38
_BINARY_CHARSET = 63
_INTEGERS = {
    FIELD_TYPE.TINY: (pa.int8(), pa.uint8()),
    FIELD_TYPE.SHORT: (pa.int16(), pa.uint16()),
    FIELD_TYPE.INT24: (pa.int32(), pa.uint32()),
    FIELD_TYPE.LONG: (pa.int32(), pa.uint32()),
    FIELD_TYPE.LONGLONG: (pa.int64(), pa.uint64()),
    FIELD_TYPE.YEAR: (pa.int16(), pa.int16()),
}
_DECIMALS = frozenset({FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL})
_TEMPORALS = {
    FIELD_TYPE.DATE: pa.date32(),
    FIELD_TYPE.NEWDATE: pa.date32(),
    FIELD_TYPE.DATETIME: pa.timestamp("us"),
    FIELD_TYPE.TIMESTAMP: pa.timestamp("us", "UTC"),
    FIELD_TYPE.TIME: pa.time64("us"),
}
_STRINGS = frozenset(
    {
        FIELD_TYPE.VARCHAR,
        FIELD_TYPE.VAR_STRING,
        FIELD_TYPE.STRING,
        FIELD_TYPE.TINY_BLOB,
        FIELD_TYPE.MEDIUM_BLOB,
        FIELD_TYPE.LONG_BLOB,
        FIELD_TYPE.BLOB,
    }
)
_NAMES = {code: name.lower() for name, code in vars(FIELD_TYPE).items() if isinstance(code, int)}
_TARGET_INTEGERS = {
    "tinyint": (pa.int8(), pa.uint8()),
    "smallint": (pa.int16(), pa.uint16()),
    "mediumint": (pa.int32(), pa.uint32()),
    "int": (pa.int32(), pa.uint32()),
    "bigint": (pa.int64(), pa.uint64()),
    "year": (pa.int16(), pa.int16()),
    "bit": (pa.uint64(), pa.uint64()),
}
_TARGET_TYPES = {
    "float": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "datetime": pa.timestamp("us"),
    "timestamp": pa.timestamp("us", "UTC"),
}
_BINARY_TYPES = frozenset(
    {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector",
     "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
     "geometrycollection", "geomcollection"}
)  # fmt: skip


@dataclass(frozen=True)
class SourceType:
    """A type as a query returns it on the wire.

    Args:
        code: PyMySQL's FIELD_TYPE.
        flags: PyMySQL's FLAG bits.
        charset: number of the character set; 63 is binary.
        length: length of the type in bytes or digits, sign and point included.
        scale: digits behind the point.
    """

    code: int
    flags: int
    charset: int
    length: int
    scale: int

    @classmethod
    def of(cls, field: Any) -> SourceType:
        """The type in a field packet of PyMySQL."""
        return cls(field.type_code, field.flags, field.charsetnr, field.length, field.scale)

    @property
    def name(self) -> str:
        """Name for `source_type`."""
        if self.flags & FLAG.ENUM:
            return "enum"
        return "set" if self.flags & FLAG.SET else _NAMES.get(self.code, "unknown")

    @property
    def arrow(self) -> pa.DataType:
        """Arrow type of the column in batches."""
        if self.code in _INTEGERS:
            return _INTEGERS[self.code][bool(self.flags & FLAG.UNSIGNED)]
        if self.code in _DECIMALS:
            return self._decimal or pa.string()
        if self.code == FIELD_TYPE.BIT:
            return pa.bool_() if self.length == 1 else pa.uint64()
        if self.code in _TEMPORALS:
            return _TEMPORALS[self.code]
        if self.code in (FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE):
            return pa.float32() if self.code == FIELD_TYPE.FLOAT else pa.float64()
        return pa.binary() if self.is_binary else pa.string()

    @property
    def is_binary(self) -> bool:
        """Whether values are bytes. Geometry is, in the server's own form, which it takes back."""
        if self.code == FIELD_TYPE.GEOMETRY:
            return True
        named = bool(self.flags & (FLAG.ENUM | FLAG.SET))
        return self.code in _STRINGS and self.charset == _BINARY_CHARSET and not named

    @property
    def is_number(self) -> bool:
        """Whether literals stand without quotes: a text beside a number is compared as a double, inexactly."""
        numbers = (FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE, FIELD_TYPE.BIT)
        return self.code in _INTEGERS or self.code in _DECIMALS or self.code in numbers

    @property
    def has_order(self) -> bool:
        """Whether `ORDER BY` and `<` agree: enumerations are sorted by number and compared as text."""
        return not self.flags & (FLAG.ENUM | FLAG.SET) and self.code not in (FIELD_TYPE.JSON, FIELD_TYPE.GEOMETRY)

    def expression(self, column: str) -> str:
        """What to select, so that the driver gives the value unchanged."""
        if self.code == FIELD_TYPE.BIT:
            return f"CAST({column} AS UNSIGNED)"
        if self.code == FIELD_TYPE.GEOMETRY:
            return f"CAST({column} AS BINARY)"
        plain = self.code in _INTEGERS or self.code in (FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE)
        if plain or (self.code in _STRINGS and not self.flags & (FLAG.ENUM | FLAG.SET)):
            return column
        return f"CAST({column} AS CHAR)"

    def key_text(self, column: str) -> str:
        """A key as text that `key_literal` makes a literal of."""
        if self.is_binary:
            return f"HEX({column})"
        return f"CAST({column} + 0 AS CHAR)" if self.code == FIELD_TYPE.BIT else f"CAST({column} AS CHAR)"

    @property
    def _decimal(self) -> pa.DataType | None:
        precision = self.length - (self.scale > 0) - (not self.flags & FLAG.UNSIGNED)
        fits = 1 <= precision <= _MOST_DIGITS and 0 <= self.scale <= precision
        return pa.decimal128(precision, self.scale) if fits else None


@dataclass(frozen=True)
class TargetColumn:
    """A column of the table that is written, from information_schema.

    Args:
        name: its name.
        data_type: type without numbers.
        column_type: type with numbers and `unsigned`.
        precision: digits of a number.
        scale: digits behind the point.
        fraction_digits: digits of a second that it keeps; None for other types.
        needs_value: NOT NULL and not AUTO_INCREMENT.
    """

    name: str
    data_type: str
    column_type: str
    precision: int | None
    scale: int | None
    fraction_digits: int | None
    needs_value: bool

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type whose values the column takes as text."""
        if self.data_type in _TARGET_INTEGERS:
            return _TARGET_INTEGERS[self.data_type]["unsigned" in self.column_type]
        if self.data_type == "decimal" and self.precision is not None and self.precision <= _MOST_DIGITS:
            return pa.decimal128(self.precision, self.scale or 0)
        if self.is_binary:
            return pa.binary()
        return _TARGET_TYPES.get(self.data_type, pa.string())

    @property
    def is_binary(self) -> bool:
        """Whether values are bytes, which travel as hexadecimal digits."""
        return self.data_type in _BINARY_TYPES

    @property
    def is_bit(self) -> bool:
        """Whether values are binary numbers."""
        return self.data_type == "bit"
