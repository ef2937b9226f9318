"""Tables of MySQL and MariaDB: what their columns are, and the types of those that are made.

A table that is made compares texts byte by byte, blanks at the end included: so a key takes whatever another
database's key takes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_provider_flinkx.plugins.base import TableColumn
from airflow_provider_flinkx.plugins.mysql.types import TargetColumn
from airflow_provider_flinkx.plugins.relational.tables import Tables, fine_time_characters, is_bytes, is_text

if TYPE_CHECKING:
    from airflow_provider_flinkx.plugins.mysql.database import MySQL

_COLUMNS = """
SELECT c.COLUMN_NAME, c.DATA_TYPE, c.COLUMN_TYPE, c.CHARACTER_MAXIMUM_LENGTH, c.NUMERIC_PRECISION, c.NUMERIC_SCALE,
       c.DATETIME_PRECISION, c.IS_NULLABLE = 'YES', c.CHARACTER_SET_NAME, c.COLLATION_NAME, s.SEQ_IN_INDEX, s.SUB_PART
FROM information_schema.COLUMNS c
LEFT JOIN information_schema.STATISTICS s ON s.TABLE_SCHEMA = c.TABLE_SCHEMA AND s.TABLE_NAME = c.TABLE_NAME
  AND s.COLUMN_NAME = c.COLUMN_NAME AND s.INDEX_NAME = 'PRIMARY'
WHERE c.TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND c.TABLE_NAME = %s
ORDER BY c.ORDINAL_POSITION
"""
_COLLATIONS = "SELECT COLLATION_NAME FROM information_schema.COLLATIONS WHERE COLLATION_NAME = %s"
#: Compare byte by byte without padding: MariaDB's and MySQL 8's.
_EXACT_COLLATIONS = ("utf8mb4_nopad_bin", "utf8mb4_0900_bin")
_TYPES = {
    pa.bool_(): "tinyint(1)",
    pa.int8(): "tinyint",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.uint8(): "tinyint unsigned",
    pa.uint16(): "smallint unsigned",
    pa.uint32(): "int unsigned",
    pa.uint64(): "bigint unsigned",
    # The largest values of four bytes are refused in a FLOAT, which is read from text.
    pa.float32(): "double",
    pa.float64(): "double",
    pa.date32(): "date",
}
#: Types whose length is counted in characters; that of the TEXT types is in bytes.
_COUNTED_TEXTS = frozenset({"char", "varchar", "enum", "set"})
_PLAIN_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_LENGTHS = {"uuid": 36, "inet4": 15, "inet6": 39}
#: Limits of DECIMAL in every version of both servers.
_MOST_DIGITS, _MOST_SCALE = 65, 30
#: Bytes of an InnoDB key, and of all columns of a row that are stored in it, blobs and texts aside.
_KEY_BYTES = 3072
_ROW_BYTES = 65_535
#: What one column of a fixed type takes at most, with its length and null bits.
_FIXED_BYTES = 32
_CHARACTER_BYTES = 4
_LONGEST_IN_ROW = 16_000


class MySQLTables(Tables):
    """The table of a job's connection, in MySQL or MariaDB. Every statement here commits at once."""

    transactional = False
    database: MySQL
    _product: str | None = None

    def describe(self, cursor: Any) -> Sequence[TableColumn]:
        """Ask information_schema."""
        product = self._ask_product(cursor)
        cursor.execute(_COLUMNS, self.database.table_place)
        rows = cursor.fetchall()
        # A key of the first letters of a text says nothing of the whole text.
        has_key = all(row[11] is None for row in rows)
        return [_described(row, product, has_key=has_key) for row in rows]

    def column_type(self, column: TableColumn) -> str:
        """The type for a column."""
        if column.declared is not None and column.declared[0] == self._product:
            return column.declared[1]
        if characters := fine_time_characters(column):
            return f"varchar({characters})"
        kind = column.type
        digits = 6 if column.fraction_digits is None else min(column.fraction_digits, 6)
        if pa.types.is_timestamp(kind):
            # An instant has a wall clock of its own only where no hour occurs twice.
            return f"{'timestamp' if kind.tz and not self.clock_is_even() else 'datetime'}({digits})"
        if pa.types.is_time(kind) or pa.types.is_duration(kind):
            return f"time({digits})"
        if pa.types.is_decimal(kind):
            fits = kind.precision <= _MOST_DIGITS and 0 <= kind.scale <= _MOST_SCALE
            # Beyond that as text: sign, point and a zero before it are not among the digits.
            return f"decimal({kind.precision},{kind.scale})" if fits else f"varchar({kind.precision + 3})"
        if is_bytes(kind):
            length = kind.byte_width if pa.types.is_fixed_size_binary(kind) else column.length
            return f"varbinary({length})" if length is not None and length <= _LONGEST_IN_ROW else "longblob"
        if kind in _TYPES:
            return _TYPES[kind]
        return f"varchar({column.length})" if column.length and column.length <= _LONGEST_IN_ROW else "longtext"

    def create(self, cursor: Any, columns: Sequence[TableColumn]) -> None:
        """Make the table."""
        self._create(cursor, self.database.table, columns)

    def replace(self, cursor: Any, columns: Sequence[TableColumn]) -> None:
        """Make the new table under another name, and let it take the old one's place, which is dropped last."""
        *place, name = self.database.table_name
        new, old = (
            ".".join(map(self.database.quote, (*place, f"{name[:50]}_flinkx_{kind}"))) for kind in ("new", "old")
        )
        table = self.database.table
        cursor.execute(f"DROP TABLE IF EXISTS {new}, {old}")
        self._create(cursor, new, columns)
        cursor.execute(f"RENAME TABLE {table} TO {old}, {new} TO {table}")
        try:
            cursor.execute(f"DROP TABLE {old}")
        except Exception:
            # A foreign key refers to it.
            with contextlib.suppress(Exception):
                cursor.execute(f"RENAME TABLE {table} TO {new}, {old} TO {table}")
                cursor.execute(f"DROP TABLE {new}")
            raise

    def add(self, cursor: Any, columns: Sequence[TableColumn]) -> None:
        """Add columns that may be null."""
        self._ask_product(cursor)
        super().add(cursor, columns)

    def _create(self, cursor: Any, table: str, columns: Sequence[TableColumn]) -> None:
        self._ask_product(cursor)
        options = f" ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE {self._collation(cursor)}"
        cursor.execute(self._create_statement(table, self._fitting_row(self._fitting_key(columns)), options))

    def _ask_product(self, cursor: Any) -> str:
        """MySQL or MariaDB: each has types and collations that the other lacks."""
        if self._product is None:
            cursor.execute("SELECT VERSION()")
            self._product = "MariaDB" if "mariadb" in str(cursor.fetchone()[0]).lower() else "MySQL"
        return self._product

    def _collation(self, cursor: Any) -> str:
        for name in _EXACT_COLLATIONS:
            cursor.execute(_COLLATIONS, (name,))
            if cursor.fetchone():
                return name
        return "utf8mb4_bin"

    def _fitting_key(self, columns: Sequence[TableColumn]) -> list[TableColumn]:
        return self._with_fitting_key(
            columns,
            _KEY_BYTES,
            is_endless=lambda column: _is_long(column.type) and column.length is None and not self._is_own(column),
            size=_bytes,
            shortened=_shortened,
        )

    def _fitting_row(self, columns: Sequence[TableColumn]) -> list[TableColumn]:
        """The columns, the longest ones stored outside of the row where it would be too long."""
        fitting = list(columns)
        while sum(map(_bytes, fitting)) > _ROW_BYTES:
            movable = [
                column for column in fitting if column.key is None and column.length and not self._is_own(column)
            ]
            if not movable:
                break  # the server says what it thinks of that
            longest = max(movable, key=_bytes)
            fitting[fitting.index(longest)] = replace(longest, length=None)
        return fitting

    def _is_own(self, column: TableColumn) -> bool:
        return column.declared is not None and column.declared[0] == self._product


def _described(row: Sequence[Any], product: str, *, has_key: bool) -> TableColumn:
    name, data_type, column_type = (value.decode() if isinstance(value, bytes) else str(value) for value in row[:3])
    length, precision, scale, fraction, nullable, charset, collation, place = row[3:11]
    data_type = data_type.lower()
    kind = TargetColumn(name, data_type, column_type.lower(), precision, scale, fraction, False).arrow
    if column_type.lower() == "bit(1)":
        kind = pa.bool_()
    elif data_type == "time":
        kind = pa.duration("us")
    elif data_type == "decimal" and precision > 38:
        kind = pa.decimal256(precision, scale)
    has_length = data_type in _COUNTED_TEXTS or data_type in ("binary", "varbinary")
    exact = f"{column_type} CHARACTER SET {charset} COLLATE {collation}" if charset and collation else column_type
    return TableColumn(
        name,
        kind,
        length=int(length) if has_length else _LENGTHS.get(data_type),
        fraction_digits=fraction,
        nullable=bool(nullable),
        key=int(place) if place is not None and has_key else None,
        declared=(product, exact),
        is_checked=pa.types.is_string(kind) and data_type not in _PLAIN_TEXTS,
        is_uuid=data_type == "uuid",
    )


def _is_long(kind: pa.DataType) -> bool:
    return is_text(kind) or is_bytes(kind)


def _shortened(column: TableColumn, room: int) -> TableColumn:
    return replace(column, length=room if is_bytes(column.type) else room // _CHARACTER_BYTES)


def _bytes(column: TableColumn) -> int:
    """What a column takes in its row at most."""
    if characters := fine_time_characters(column):
        return characters * _CHARACTER_BYTES
    if not _is_long(column.type) or not column.length:
        return _FIXED_BYTES
    return column.length * (1 if is_bytes(column.type) else _CHARACTER_BYTES) + 2
