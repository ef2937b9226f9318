"""Types of DB2: which Arrow type each has, and how it is selected.

The driver gives numbers, texts and bytes unchanged. It would cut digits of a second beyond six and turn 24:00:00 into
0:00, so times are selected as seconds of the day and timestamps as text, and become Arrow values here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibm_db
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_flinkx.plugins.conversion import convert
from airflow_provider_flinkx.plugins.relational.moments import moments

SECONDS_OF_DAY = 86_400
_BYTES_OF_LARGE_VALUE = 65_536
_MOST_DIGITS = 38

_ARROW = {
    "SMALLINT": pa.int16(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "REAL": pa.float32(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "BINARY": pa.binary(),
    "VARBINARY": pa.binary(),
    "BLOB": pa.binary(),
}
_CHARACTERS = frozenset({"CHARACTER", "VARCHAR", "LONG VARCHAR"})
_LARGE = frozenset({"BLOB", "CLOB", "DBCLOB", "XML", "LONG VARCHAR", "LONG VARGRAPHIC"})
_NUMBERS = frozenset({"SMALLINT", "INTEGER", "BIGINT", "REAL", "DOUBLE", "DECIMAL", "DECFLOAT"})
#: What the driver calls the types of a query's columns; it has one word for several of them.
_DRIVER_NAMES = {
    "bigint": "BIGINT", "decimal": "DECIMAL", "string": "VARCHAR", "clob": "CLOB", "dbclob": "DBCLOB", "blob": "BLOB",
    "xml": "XML", "date": "DATE", "time": "TIME", "timestamp": "TIMESTAMP", "boolean": "BOOLEAN",
}  # fmt: skip
#: Precision that the driver gives for a column -> its type.
_DRIVER_INTEGERS = {5: "SMALLINT", 10: "INTEGER"}
_DRIVER_FLOATS = {7: "REAL", 15: "DOUBLE", 53: "DOUBLE", 16: "DECFLOAT", 34: "DECFLOAT"}
_TIMESTAMP = r"^(\d{4}-\d\d-\d\d)[- ](\d\d)[.:](\d\d)[.:](\d\d)"
_WALL_CLOCK = r"\1 \2:\3:\4"


@dataclass(frozen=True)
class SourceType:
    """A type as the catalog or the result of a query says it.

    Args:
        name: as in SYSCAT.COLUMNS.TYPENAME, of the source type when the column's type is a distinct one.
        length: length of texts and bytes, digits of numbers.
        scale: digits behind the point, or of a second.
        is_bits: texts FOR BIT DATA, which are bytes.
    """

    name: str
    length: int
    scale: int
    is_bits: bool = False

    @classmethod
    def of_result(cls, statement: Any, place: int) -> SourceType:
        """The type of a column of an executed query."""
        name = ibm_db.field_type(statement, place)
        precision, scale = ibm_db.field_precision(statement, place), ibm_db.field_scale(statement, place)
        if name in ("int", "real"):
            known = _DRIVER_INTEGERS if name == "int" else _DRIVER_FLOATS
            return cls(known.get(precision, "INTEGER" if name == "int" else "DOUBLE"), precision, scale)
        return cls(_DRIVER_NAMES.get(name, "VARCHAR"), precision, scale)

    @property
    def arrow(self) -> pa.DataType:
        """Arrow type of the column in batches."""
        if self.name == "DECIMAL" and 0 <= self.scale <= self.length <= _MOST_DIGITS:
            return pa.decimal128(self.length, self.scale)
        if self.name == "TIMESTAMP":
            return pa.timestamp("us") if self.scale <= 6 else pa.timestamp("ns") if self.scale <= 9 else pa.string()
        return pa.binary() if self.is_bytes else _ARROW.get(self.name, pa.string())

    @property
    def is_bytes(self) -> bool:
        """Whether values are bytes."""
        return (self.name in _CHARACTERS and self.is_bits) or _ARROW.get(self.name) == pa.binary()

    @property
    def is_number(self) -> bool:
        """Whether literals stand without quotes."""
        return self.name in _NUMBERS

    @property
    def has_order(self) -> bool:
        """Whether values can be compared."""
        return self.name not in _LARGE

    @property
    def bytes_at_most(self) -> int:
        """About how much of a batch a value takes."""
        return _BYTES_OF_LARGE_VALUE if self.name in _LARGE else max(8, self.length)

    def expression(self, column: str) -> str:
        """What to select, so that the driver gives the value unchanged."""
        if self.name == "TIME":
            return f"HOUR({column}) * 3600 + MINUTE({column}) * 60 + SECOND({column})"
        if self.name == "TIMESTAMP":
            return f"CAST({column} AS VARCHAR(32))"
        return f"XMLSERIALIZE({column} AS CLOB(2147483647))" if self.name == "XML" else column

    def key_text(self, column: str) -> str:
        """What to select of a key."""
        return self.expression(column)

    def array(self, values: Sequence[Any]) -> pa.Array:
        """Values of the driver as Arrow has them, or as text where one of them is beyond Arrow's type."""
        return _BUILDERS.get(self.name, self._plain)(self, values)

    def key_literal(self, value: Any) -> str:
        """A value that was selected by `expression`, as a literal that can be compared with the column."""
        if self.is_number:
            return f"{value!r}" if isinstance(value, float) else str(value)
        if self.name == "TIME":
            return f"'{time_text(value)}'"
        if self.is_bytes:
            return f"{'X' if self.is_bits else 'BX'}'{value.hex()}'"
        text = str(value).replace("'", "''")
        return f"'{text}'"

    @staticmethod
    def _plain(kind: SourceType, values: Sequence[Any]) -> pa.Array:
        return pa.array(values, kind.arrow)


def _decimals(kind: SourceType, values: Sequence[Any]) -> pa.Array:
    texts = pa.array(values, pa.string())
    numbers, failures = convert(texts, kind.arrow, timezone="UTC")
    return texts if failures else numbers


def _booleans(kind: SourceType, values: Sequence[Any]) -> pa.Array:
    # The driver gives 0 and 1.
    return pa.array([None if value is None else bool(int(value)) for value in values], kind.arrow)


def _times(kind: SourceType, values: Sequence[Any]) -> pa.Array:
    seconds = pa.array(values, pa.int64())
    if (pc.max(seconds).as_py() or 0) >= SECONDS_OF_DAY:
        return pa.array([None if value is None else time_text(value) for value in values], pa.string())
    return pc.multiply(seconds, 1_000_000).cast(kind.arrow)


def _timestamps(kind: SourceType, values: Sequence[Any]) -> pa.Array:
    texts = pc.replace_substring_regex(pa.array(values, pa.string()), _TIMESTAMP, _WALL_CLOCK)
    if pa.types.is_string(kind.arrow):
        return texts
    found = moments(texts, kind.arrow.unit)
    return texts if found is None else found


def time_text(seconds: int) -> str:
    """Seconds of the day as `HH:MM:SS`; the whole day is 24:00:00."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


_BUILDERS: Mapping[str, Callable[[SourceType, Sequence[Any]], pa.Array]] = {
    "BOOLEAN": _booleans,
    "DECIMAL": _decimals,
    "TIME": _times,
    "TIMESTAMP": _timestamps,
}


@dataclass(frozen=True)
class TargetColumn:
    """A column of the table that is written.

    Args:
        name: its name.
        type: its type.
        code_page: of its texts; 1208 is UTF-8, 0 for bytes.
        counts_characters: whether its length is in characters (CODEUNITS32) and not in bytes.
        nullable: whether it may be null.
    """

    name: str
    type: SourceType
    code_page: int
    counts_characters: bool
    nullable: bool = True

    @property
    def marker(self) -> str:
        """A parameter mark with the column's type, so wide that the cast itself never cuts a text."""
        kind = self.type
        if kind.name in ("CHARACTER", "VARCHAR"):
            bits = " FOR BIT DATA" if kind.is_bits else ""
            return f"CAST(? AS VARCHAR({min(kind.length * 4, 32_672)}){bits})"
        if kind.name in ("GRAPHIC", "VARGRAPHIC"):
            return f"CAST(? AS VARGRAPHIC({min(kind.length * 4, 16_336)}))"
        if kind.name in ("BINARY", "VARBINARY"):
            return f"CAST(? AS VARBINARY({kind.length}))"
        if kind.name in ("BLOB", "CLOB", "DBCLOB"):
            return f"CAST(? AS {kind.name}({kind.length}))"
        if kind.name == "XML":
            return "XMLPARSE(DOCUMENT CAST(? AS CLOB(2147483647)) PRESERVE WHITESPACE)"
        numbers = {
            "DECIMAL": f"({kind.length}, {kind.scale})",
            "DECFLOAT": f"({self.digits})",
            "TIMESTAMP": f"({kind.scale})",
        }.get(kind.name, "")
        return f"CAST(? AS {kind.name}{numbers})"

    @property
    def digits(self) -> int:
        """Digits that a DECFLOAT keeps; the catalog has its length in bytes."""
        return 16 if self.type.length == 8 else 34

    @property
    def bind_type(self) -> int | None:
        """The type that bytes are bound with; without one the driver ends some of them at their first zero byte."""
        if not self.type.is_bytes:
            return None
        kind: int = ibm_db.SQL_BLOB if self.type.name == "BLOB" else ibm_db.SQL_VARBINARY
        return kind
