"""Tables of SQL Server: what their columns are, and the types of those that are made.

A text of another product becomes nvarchar of twice its length, because a character may take two units of UTF-16. Key
columns of a made table are compared unit by unit, so that a key takes what another database's key takes; others have
the database's own collation, which queries can compare with its other columns.
"""

# ruff: noqa: S608 -- SQL is made here of quoted names
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_provider_flinkx.plugins.base import UTF_8, UTF_16, TableColumn
from airflow_provider_flinkx.plugins.relational.tables import Tables, is_bytes, is_text
from airflow_provider_flinkx.plugins.sqlserver.types import SourceType

if TYPE_CHECKING:
    from airflow_provider_flinkx.plugins.sqlserver.database import SQLServer

PRODUCT = "SQL Server"
#: The base type of a type of the user's; types of assemblies (geometry, hierarchyid) have none.
_COLUMNS = """
SELECT c.name, t.name, c.max_length, c.precision, c.scale, c.collation_name,
       COLLATIONPROPERTY(c.collation_name, 'CodePage'), c.is_nullable, k.key_ordinal
FROM {sys}.columns c
JOIN {sys}.types t ON t.user_type_id = CASE WHEN c.system_type_id = 240 THEN c.user_type_id ELSE c.system_type_id END
LEFT JOIN (
  SELECT ic.object_id, ic.column_id, ic.key_ordinal FROM {sys}.indexes i
  JOIN {sys}.index_columns ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id AND ic.key_ordinal > 0
  WHERE i.is_primary_key = 1
) k ON k.object_id = c.object_id AND k.column_id = c.column_id
WHERE c.object_id = OBJECT_ID({table})
ORDER BY c.column_id
"""
_TYPES = {
    pa.bool_(): "bit",
    pa.int8(): "smallint",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.uint8(): "tinyint",
    pa.uint16(): "int",
    pa.uint32(): "bigint",
    pa.uint64(): "decimal(20,0)",
    # The smallest values of four bytes are outside of what is documented for real.
    pa.float32(): "float",
    pa.float64(): "float",
    pa.date32(): "date",
}
#: Types whose columns take only some of the values of their Arrow type.
_CHECKED = frozenset(
    {"datetime", "smalldatetime", "money", "smallmoney", "binary", "xml", "hierarchyid", "geometry", "geography",
     "sql_variant"}
)  # fmt: skip
_COUNTED_TEXTS = frozenset({"char", "varchar", "nchar", "nvarchar"})
_WIDE_TEXTS = frozenset({"nchar", "nvarchar", "ntext", "xml"})
_UTF_8_CODE_PAGE = 65001
_UUID_CHARACTERS = 36
#: Digits of a second where the source tells none: those of an Arrow type in microseconds.
_MICROSECOND_DIGITS, _MOST_FRACTION = 6, 7
#: A time of MySQL, which may have 838 hours, as text.
_DURATION_TEXT = "varchar(17)"
_MOST_DIGITS = 38
_LONGEST_TEXT, _LONGEST_BYTES = 4000, 8000
#: Bytes of a key, in the order of the rows and beside them; longer ones are refused row by row.
_CLUSTERED_BYTES, _INDEX_BYTES = 900, 1700
#: What one column of a fixed type takes at most.
_FIXED_BYTES = 17
#: Compares unit by unit; blanks at the end count in no collation.
_EXACT_COLLATION = "Latin1_General_100_BIN2"


class SQLServerTables(Tables):
    """The table of a job's connection, in SQL Server."""

    database: SQLServer

    def describe(self, cursor: Any) -> Sequence[TableColumn]:
        """Ask the catalog."""
        table = self.database.literal(self.database.table)
        cursor.execute(_COLUMNS.format(sys=self.database.catalog, table=table))
        return [_described(row) for row in cursor.fetchall()]

    def column_type(self, column: TableColumn) -> str:
        """The type for a column."""
        if _is_own(column):
            assert column.declared is not None
            return column.declared[1]
        kind, fraction = column.type, _fraction(column)
        if pa.types.is_timestamp(kind):
            return f"{'datetimeoffset' if kind.tz else 'datetime2'}({fraction})"
        if pa.types.is_time(kind):
            return f"time({fraction})"
        if pa.types.is_duration(kind):
            return _DURATION_TEXT
        if pa.types.is_decimal(kind):
            fits = kind.precision <= _MOST_DIGITS and 0 <= kind.scale <= kind.precision
            # Beyond that as text: sign, point and a zero before it are not among the digits.
            return f"decimal({kind.precision},{kind.scale})" if fits else f"varchar({kind.precision + 3})"
        if is_bytes(kind):
            length = kind.byte_width if pa.types.is_fixed_size_binary(kind) else column.length
            return f"varbinary({length if length and length <= _LONGEST_BYTES else 'max'})"
        if column.is_uuid:
            return "uniqueidentifier"
        if kind in _TYPES:
            return _TYPES[kind]
        units = _units(column)
        text = f"nvarchar({units if units and units <= _LONGEST_TEXT else 'max'})"
        return text if column.key is None else f"{text} COLLATE {_EXACT_COLLATION}"

    def create(self, cursor: Any, columns: Sequence[TableColumn]) -> None:
        """Make the table; rows lie in the order of the key where that may be as long as it is."""
        fitting = self._fitting_key(columns)
        clustered = sum(_key_bytes(column) for column in fitting if column.key is not None) <= _CLUSTERED_BYTES
        statement = self._create_statement(self.database.table, fitting, "")
        cursor.execute(statement if clustered else statement.replace("PRIMARY KEY (", "PRIMARY KEY NONCLUSTERED ("))

    def add(self, cursor: Any, columns: Sequence[TableColumn]) -> None:
        """Add columns that may be null."""
        added = ", ".join(f"{self.database.quote(c.name)} {self.column_type(c)} NULL" for c in columns)
        cursor.execute(f"ALTER TABLE {self.database.table} ADD {added}")

    def has_rows(self, cursor: Any) -> bool:
        """Whether the table holds a row."""
        cursor.execute(f"SELECT TOP 1 1 FROM {self.database.table}")
        return cursor.fetchone() is not None

    def _fitting_key(self, columns: Sequence[TableColumn]) -> list[TableColumn]:
        return self._with_fitting_key(
            columns, _INDEX_BYTES, is_endless=_is_endless, size=_key_bytes, shortened=_shortened
        )


def _described(row: Sequence[Any]) -> TableColumn:
    name, type_name, length, precision, scale, collation, code_page, nullable, place = row
    type_name = "decimal" if type_name == "numeric" else str(type_name)
    numbers = _numbers(type_name, int(length), int(precision), int(scale))
    declared = "binary(8)" if type_name == "timestamp" else f"{type_name}{numbers}"  # a rowversion cannot be written
    source = SourceType.of(declared)
    is_temporal = pa.types.is_time(source.arrow) or pa.types.is_timestamp(source.arrow)
    is_uuid = type_name == "uniqueidentifier"
    return TableColumn(
        str(name),
        source.arrow,
        length=_UUID_CHARACTERS if is_uuid else _length(type_name, int(length)),
        fraction_digits={"datetime": 3, "smalldatetime": 0}.get(type_name, int(scale)) if is_temporal else None,
        nullable=bool(nullable),
        key=None if place is None else int(place),
        declared=(PRODUCT, f"{declared} COLLATE {collation}" if collation and type_name != "xml" else declared),
        is_checked=type_name in _CHECKED,
        is_uuid=is_uuid,
        encoding=_encoding(type_name, code_page),
    )


def _numbers(type_name: str, length: int, precision: int, scale: int) -> str:
    """What stands behind the type's name."""
    if type_name == "decimal":
        return f"({precision},{scale})"
    if type_name in ("time", "datetime2", "datetimeoffset"):
        return f"({scale})"
    if type_name in _COUNTED_TEXTS or type_name in ("binary", "varbinary"):
        return "(max)" if length < 0 else f"({length // 2 if type_name in _WIDE_TEXTS else length})"
    return ""


def _length(type_name: str, length: int) -> int | None:
    if type_name == "timestamp":
        return 8
    if length < 0 or type_name not in {*_COUNTED_TEXTS, "binary", "varbinary"}:
        return None
    return length // 2 if type_name in _WIDE_TEXTS else length


def _encoding(type_name: str, code_page: Any) -> str | None:
    if type_name in _WIDE_TEXTS:
        return UTF_16
    if type_name not in ("char", "varchar", "text") or code_page is None:
        return None
    return UTF_8 if int(code_page) == _UTF_8_CODE_PAGE else f"code page {code_page}"


def _is_own(column: TableColumn) -> bool:
    return column.declared is not None and column.declared[0] == PRODUCT


def _fraction(column: TableColumn) -> int:
    digits = column.fraction_digits
    if digits is None:
        finer = pa.types.is_temporal(column.type) and "ns" in str(column.type)
        return _MOST_FRACTION if finer else _MICROSECOND_DIGITS
    return min(digits, _MOST_FRACTION)


def _units(column: TableColumn) -> int | None:
    """UTF-16 units of the longest text."""
    if column.length is None:
        return None
    return column.length * (2 if column.encoding is None else 1)


def _is_endless(column: TableColumn) -> bool:
    if _is_own(column) or column.is_uuid or not (is_text(column.type) or is_bytes(column.type)):
        return False
    most = column.length if is_bytes(column.type) else _units(column)
    return most is None or most > (_LONGEST_BYTES if is_bytes(column.type) else _LONGEST_TEXT)


def _shortened(column: TableColumn, room: int) -> TableColumn:
    return replace(column, length=room if is_bytes(column.type) else room // 2, encoding=UTF_16)


def _key_bytes(column: TableColumn) -> int:
    """What a column of a key takes at most."""
    if column.is_uuid or not (is_text(column.type) or is_bytes(column.type)):
        return _FIXED_BYTES
    if _is_own(column):
        return (column.length or 0) * (2 if column.encoding == UTF_16 else 1)
    return (column.length or 0) if is_bytes(column.type) else 2 * (_units(column) or 0)
