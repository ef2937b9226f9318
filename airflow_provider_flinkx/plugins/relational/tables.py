"""Tables as a job may have them made, emptied, replaced or widened: the statements of each database.

A database says what it knows of a table's columns, and which type of its own holds every value of a column of another
product: the narrowest that loses nothing.
"""

# ruff: noqa: S608 -- SQL is made here of quoted names
from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from airflow_provider_flinkx.exceptions import DataError
from airflow_provider_flinkx.plugins.base import UTF_8, UTF_16, TableColumn

if TYPE_CHECKING:
    from airflow_provider_flinkx.plugins.relational.database import Database


_MICROSECOND_DIGITS = 6
#: A character.
_LEAST_KEY_BYTES = 4


class Tables(abc.ABC):
    """The table of a job's connection.

    Args:
        database: login, and the table's name.

    Attributes:
        transactional: whether CREATE, DROP and TRUNCATE are part of a transaction and can be taken back.
        null: what stands behind the type of a column that may be null.
    """

    transactional: ClassVar[bool] = True
    # NULL is spelled out: a plain TIMESTAMP of MySQL may be NOT NULL otherwise.
    null: ClassVar[str] = " NULL"

    def __init__(self, database: Database) -> None:
        self.database = database

    @abc.abstractmethod
    def describe(self, cursor: Any) -> Sequence[TableColumn]:
        """The table's columns in their order; none when there is no such table."""

    @abc.abstractmethod
    def column_type(self, column: TableColumn) -> str:
        """The type for a column, in SQL."""

    def create(self, cursor: Any, columns: Sequence[TableColumn]) -> None:
        """Make the table."""
        cursor.execute(self._create_statement(self.database.table, columns, ""))

    def empty(self, cursor: Any) -> None:
        """Remove all rows."""
        cursor.execute(f"TRUNCATE TABLE {self.database.table}")

    def replace(self, cursor: Any, columns: Sequence[TableColumn]) -> None:
        """Make the table anew; the old one stays when that fails."""
        cursor.execute(f"DROP TABLE {self.database.table}")
        self.create(cursor, columns)

    def add(self, cursor: Any, columns: Sequence[TableColumn]) -> None:
        """Add columns that may be null."""
        added = ", ".join(f"ADD COLUMN {self.database.quote(c.name)} {self.column_type(c)} NULL" for c in columns)
        cursor.execute(f"ALTER TABLE {self.database.table} {added}")

    def has_rows(self, cursor: Any) -> bool:
        """Whether the table holds a row."""
        cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {self.database.table})")
        return bool(cursor.fetchone()[0])

    def _create_statement(self, table: str, columns: Sequence[TableColumn], options: str) -> str:
        parts = [
            f"{self._quoted(column.name)} {self.column_type(column)}{self.null if column.nullable else ' NOT NULL'}"
            for column in columns
        ]
        if key := primary_key(columns):
            parts.append(f"PRIMARY KEY ({', '.join(map(self._quoted, key))})")
        return f"CREATE TABLE {table} ({', '.join(parts)}){options}"

    def _with_fitting_key(
        self,
        columns: Sequence[TableColumn],
        most: int,
        *,
        is_endless: Callable[[TableColumn], bool],
        size: Callable[[TableColumn], int],
        shortened: Callable[[TableColumn, int], TableColumn],
    ) -> list[TableColumn]:
        """The columns, with a length for each text or bytes of the key that has none, as long as a key can be.

        Args:
            columns: of the table.
            most: bytes of a key.
            is_endless: whether a column of the key needs a length.
            size: bytes that another column of the key takes at most.
            shortened: gives a column a length of so many bytes.

        Raises:
            DataError: the others leave no room.
        """
        key = [column for column in columns if column.key is not None]
        endless = [column for column in key if is_endless(column)]
        if not endless:
            return list(columns)
        room = (most - sum(size(column) for column in key if column not in endless)) // len(endless)
        if room < _LEAST_KEY_BYTES:
            message = f"a key of {most} bytes at most cannot hold columns {', '.join(primary_key(columns))}"
            raise self.database.error(DataError, message)
        return [shortened(column, room) if column in endless else column for column in columns]

    def _quoted(self, name: str) -> str:
        """The name of a new column, as the server would store it without the quotes."""
        return self.database.quote(self.database.stored_name(name))

    def clock_is_even(self) -> bool:
        """Whether no hour of the job's time zone ever occurs twice."""
        return self.database.timezone == "UTC" or self.database.timezone.startswith("Etc/")


def is_text(kind: pa.DataType) -> bool:
    """Whether values are texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Whether values are bytes."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def utf_8_bytes(column: TableColumn) -> int | None:
    """Bytes of the longest text of a column in UTF-8; None when there is no limit."""
    # A character of a code page has three bytes at most.
    return None if column.length is None else column.length * {None: 4, UTF_16: 3, UTF_8: 1}.get(column.encoding, 3)


def fine_time_characters(column: TableColumn) -> int | None:
    """Characters of a date or time with more digits of a second than microseconds have; None for other columns."""
    if column.fraction_digits is None or column.fraction_digits <= _MICROSECOND_DIGITS:
        return None
    kind = column.type
    whole = "HH:MM:SS." if pa.types.is_time(kind) else f"YYYY-MM-DD HH:MM:SS.{' +HH:MM' if kind.tz else ''}"
    return len(whole) + column.fraction_digits


def primary_key(columns: Sequence[TableColumn]) -> list[str]:
    """Names of the primary key's columns, in its order."""
    places = {column.key: column.name for column in columns if column.key is not None}
    return [places[place] for place in sorted(places)]
