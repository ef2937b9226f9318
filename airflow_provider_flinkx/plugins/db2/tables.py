"""Tables of DB2: what their columns are, and the types of those that are made.

Texts are counted in bytes of UTF-8, four for a character of another product. DB2 has no time with a fraction of a
second and no instants; where these cannot be a wall clock they are text.
"""

# ruff: noqa: S608 -- SQL is made here of quoted names
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_provider_flinkx.exceptions import DataError
from airflow_provider_flinkx.plugins.base import UTF_8, UTF_16, TableColumn
from airflow_provider_flinkx.plugins.db2.types import SourceType
from airflow_provider_flinkx.plugins.relational.tables import Tables, is_bytes, is_text, utf_8_bytes

if TYPE_CHECKING:
    from airflow_provider_flinkx.plugins.db2.database import DB2, CatalogColumn

PRODUCT = "DB2"
_TYPES = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "SMALLINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint8(): "SMALLINT",
    pa.uint16(): "INTEGER",
    pa.uint32(): "BIGINT",
    pa.uint64(): "DECIMAL(20,0)",
    # The smallest values of four bytes are outside of what is documented for REAL.
    pa.float32(): "DOUBLE",
    pa.float64(): "DOUBLE",
    pa.date32(): "DATE",
}
_MOST_DIGITS = 31
_MICROSECOND_DIGITS, _MOST_FRACTION = 6, 12
_LONGEST = 32_672
#: Bytes of a large value that DB2 can still log.
_LARGEST = 1 << 30
#: Bytes of a key on the smallest page, without what each column takes beside its value.
_KEY_BYTES = 1000
_FIXED_BYTES = 17
_OFFSET_CHARACTERS = len("+HH:MM:SS")
_DURATION_CHARACTERS = 17
_UUID_CHARACTERS = 36
_UTF_8_CODE_PAGE, _UTF_16_CODE_PAGE = 1208, 1200
_COUNTED = frozenset({"CHARACTER", "VARCHAR", "CLOB", "GRAPHIC", "VARGRAPHIC", "DBCLOB"})
_COUNTED_BYTES = frozenset({"BINARY", "VARBINARY", "BLOB"})
_LARGE = frozenset({"CLOB", "DBCLOB", "BLOB"})


class DB2Tables(Tables):
    """The table of a job's connection, in DB2."""

    null = ""
    database: DB2

    def describe(self, cursor: Any) -> Sequence[TableColumn]:
        """Ask the catalog."""
        return [self._described(column) for column in self.database.table_columns(cursor)]

    def column_type(self, column: TableColumn) -> str:
        """The type for a column."""
        if _is_own(column):
            assert column.declared is not None
            return column.declared[1]
        kind = column.type
        if pa.types.is_timestamp(kind):
            return self._moment_type(column)
        if pa.types.is_time(kind):
            digits = _fraction(column)
            return self._text_type(len("HH:MM:SS.") + digits) if digits else "TIME"
        if pa.types.is_duration(kind):
            return self._text_type(_DURATION_CHARACTERS)
        if pa.types.is_decimal(kind):
            fits = kind.precision <= _MOST_DIGITS and 0 <= kind.scale <= kind.precision
            # Beyond that as text: sign, point and a zero before it are not among the digits.
            digits = kind.precision + max(0, -kind.scale)
            return f"DECIMAL({kind.precision},{kind.scale})" if fits else self._text_type(digits + 3)
        if is_bytes(kind):
            length = kind.byte_width if pa.types.is_fixed_size_binary(kind) else column.length
            return f"VARBINARY({length})" if length and length <= _LONGEST else f"BLOB({_LARGEST})"
        if column.is_uuid:
            return self._text_type(_UUID_CHARACTERS)
        return _TYPES.get(kind) or self._text_type(utf_8_bytes(column))

    def create(self, cursor: Any, columns: Sequence[TableColumn]) -> None:
        """Make the table."""
        super().create(cursor, self._fitting_key(columns))

    def empty(self, cursor: Any) -> None:
        """Remove all rows by DELETE: TRUNCATE can be part of no transaction that has done anything before."""
        cursor.execute(f"DELETE FROM {self.database.table}")

    def replace(self, cursor: Any, columns: Sequence[TableColumn]) -> None:
        """Make the table anew; DB2 itself would drop the foreign keys of other tables with it."""
        found = self.database.referring_tables(cursor)
        if found:
            others = f"foreign keys of {', '.join(found)} refer to it, and would be dropped by saveMode recreate"
            raise self.database.error(DataError, f"table {self.database.table_label}: {others}")
        super().replace(cursor, columns)

    def add(self, cursor: Any, columns: Sequence[TableColumn]) -> None:
        """Add columns that may be null."""
        for column in columns:
            added = f"{self._quoted(column.name)} {self.column_type(column)}"
            cursor.execute(f"ALTER TABLE {self.database.table} ADD COLUMN {added}")

    def has_rows(self, cursor: Any) -> bool:
        """Whether the table holds a row."""
        cursor.execute(f"SELECT 1 FROM {self.database.table} FETCH FIRST 1 ROWS ONLY")
        return cursor.fetchone() is not None

    def _moment_type(self, column: TableColumn) -> str:
        digits = _fraction(column)
        if column.type.tz and not self.clock_is_even():
            # An hour that occurs twice would make one value of two.
            return self._text_type(len("YYYY-MM-DD HH:MM:SS.") + digits + _OFFSET_CHARACTERS)
        return "TIMESTAMP" if digits == _MICROSECOND_DIGITS else f"TIMESTAMP({digits})"

    def _text_type(self, length: int | None) -> str:
        if not length or length > _LONGEST:
            return f"CLOB({_LARGEST}{self.database.units.get('OCTETS', '')})"
        return f"VARCHAR({length}{self.database.units.get('OCTETS', '')})"

    def _fitting_key(self, columns: Sequence[TableColumn]) -> list[TableColumn]:
        return self._with_fitting_key(
            columns,
            _KEY_BYTES,
            is_endless=lambda column: self.column_type(column).startswith(("CLOB", "BLOB")),
            size=_key_bytes,
            shortened=lambda column, room: replace(column, length=room, encoding=UTF_8, declared=None),
        )

    def _described(self, column: CatalogColumn) -> TableColumn:
        name = column.type_name
        source = SourceType(name, column.length, column.scale, column.code_page == 0)
        kind = source.arrow
        is_moment = name in ("TIMESTAMP", "TIME")
        if name == "TIMESTAMP" and pa.types.is_string(kind):
            kind = pa.timestamp("ns")  # the nearest that there is; `fraction_digits` has more
        is_counted_text = is_text(kind) and name in {*_COUNTED, "LONG VARCHAR"}
        counts = is_counted_text or is_bytes(kind)
        return TableColumn(
            column.name,
            kind,
            length=column.length if counts and column.length < _LARGEST else None,
            fraction_digits=(column.scale if name == "TIMESTAMP" else 0) if is_moment else None,
            nullable=column.nulls == "Y",
            key=column.key or None,
            declared=(PRODUCT, self._declared(column)),
            is_checked=name == "XML",
            exact_digits={8: 16, 16: 34}.get(column.length) if name == "DECFLOAT" else None,
            encoding=_encoding(column) if is_counted_text else None,
        )

    def _declared(self, column: CatalogColumn) -> str:
        name, length = column.type_name, column.length
        if name in _LARGE:
            length = min(length, _LARGEST)
        if name in _COUNTED and column.code_page == 0:
            return f"{name}({length}) FOR BIT DATA"
        if name in _COUNTED:
            return f"{name}({length}{self.database.units.get(column.string_units or '', '')})"
        if name in _COUNTED_BYTES:
            return f"{name}({length})"
        if name == "DECIMAL":
            return f"DECIMAL({length},{column.scale})"
        if name == "DECFLOAT":
            return f"DECFLOAT({16 if length == 8 else 34})"
        return f"TIMESTAMP({column.scale})" if name == "TIMESTAMP" and column.scale != _MICROSECOND_DIGITS else name


def _is_own(column: TableColumn) -> bool:
    return column.declared is not None and column.declared[0] == PRODUCT


def _fraction(column: TableColumn) -> int:
    if column.fraction_digits is None:
        return 9 if "ns" in str(column.type) else _MICROSECOND_DIGITS
    return min(column.fraction_digits, _MOST_FRACTION)


def _encoding(column: CatalogColumn) -> str | None:
    if column.string_units == "CODEUNITS32":
        return None
    if column.string_units == "CODEUNITS16" or column.code_page == _UTF_16_CODE_PAGE:
        return UTF_16
    return UTF_8 if column.code_page == _UTF_8_CODE_PAGE else f"code page {column.code_page}"


def _key_bytes(column: TableColumn) -> int:
    """What a column of a key takes at most."""
    if is_bytes(column.type):
        return column.length or _FIXED_BYTES
    return (utf_8_bytes(column) or _FIXED_BYTES) if is_text(column.type) else _FIXED_BYTES
