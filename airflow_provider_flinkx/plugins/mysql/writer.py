"""mysqlwriter: LOAD DATA LOCAL from memory, or INSERT statements of many rows, both under savepoints.

LOAD DATA LOCAL makes warnings of everything: it cuts, rounds and leaves out rows without an error. So a load that
gives any warning, or takes fewer rows than it got, is taken back and cut until the bad rows are alone. `update`, and a
server that does not allow local files, take INSERT statements in strict mode; their warnings are looked at as well.
"""

# ruff: noqa: S608 -- SQL is made here of quoted names and escaped values
from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pymysql

from airflow_provider_flinkx.exceptions import DataError
from airflow_provider_flinkx.plugins.base import Split
from airflow_provider_flinkx.plugins.conversion import convert
from airflow_provider_flinkx.plugins.mysql import text
from airflow_provider_flinkx.plugins.mysql.database import MySQL, refusal_of
from airflow_provider_flinkx.plugins.mysql.types import TargetColumn
from airflow_provider_flinkx.plugins.relational.fitting import (
    FitRule,
    Fitted,
    FittedColumn,
    not_finite,
    too_fine,
    too_fine_texts,
    too_many_decimals,
    with_texts,
)
from airflow_provider_flinkx.plugins.relational.isolation import RowRefusedError
from airflow_provider_flinkx.plugins.relational.writer import RelationalSplitWriter, RelationalWriter

_COLUMNS = """
SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION,
       IS_NULLABLE = 'NO' AND EXTRA NOT LIKE '%%auto_increment%%'
FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND TABLE_NAME = %s
  AND EXTRA NOT LIKE '%%VIRTUAL%%' AND EXTRA NOT LIKE '%%STORED%%' AND EXTRA NOT LIKE '%%PERSISTENT%%'
ORDER BY ORDINAL_POSITION
"""
_ENGINE = """
SELECT t.ENGINE FROM information_schema.TABLES t JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE
WHERE t.TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND t.TABLE_NAME = %s AND e.TRANSACTIONS = 'NO'
"""
_BEFORE_TRIGGERS = """
SELECT COUNT(*) FROM information_schema.TRIGGERS
WHERE EVENT_OBJECT_SCHEMA = COALESCE(%s, DATABASE()) AND EVENT_OBJECT_TABLE = %s AND ACTION_TIMING = 'BEFORE'
"""
#: Rows are judged strictly whatever the server's own mode is, and a zero in an AUTO_INCREMENT column stays zero.
_SESSION = (
    "SET sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION'",
    "SET max_error_count = 65535, sql_notes = 1",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
)
#: Notes about the statement, not about a row: deprecated syntax, unsafe for a statement-based log.
_HARMLESS_CODES = frozenset({1287, 1592, 1681, 3719})
_TEXT_JUDGED = frozenset({"date", "time", "datetime", "timestamp"})


class MySQLWriter(RelationalWriter):
    """Writes a table of MySQL or MariaDB (mysql.md).

    Attributes:
        loads: whether the server takes LOAD DATA LOCAL.
        statement_bytes: size of an INSERT statement at most.
    """

    database_class = MySQL
    keeps_ledger = True
    database: MySQL
    _columns: Sequence[TargetColumn] = ()
    loads = False
    statement_bytes = 0

    def check(self, cursor: Any, schema: pa.Schema) -> None:
        """Find the columns that are written; refuse a table that cannot take back what it got."""
        cursor.execute(f"SELECT 1 FROM {self.database.table} LIMIT 0")
        place = self.database.table_place
        cursor.execute(_ENGINE, place)
        if found := cursor.fetchone():
            message = f"table {self.database.table_label} has the engine {found[0]}, which has no transactions: "
            message += "a failed split could not be taken back; convert it with ALTER TABLE ... ENGINE=InnoDB"
            raise self.database.error(DataError, message)
        cursor.execute(_BEFORE_TRIGGERS, place)
        (triggers,) = cursor.fetchone()
        cursor.execute(_COLUMNS, place)
        available = [_target(row, may_be_filled=bool(triggers)) for row in cursor.fetchall()]
        self._columns = self.chosen(available, schema)

    def open(self, split: Split, schema: pa.Schema) -> MySQLSplitWriter:
        """Begin a transaction for a split."""
        if not self._columns:
            with self.database.asking(f"look at table {self.database.table_label}") as cursor:
                self.check(cursor, schema)
        connection = self.rows_connection()
        if not self.statement_bytes:
            self._ask_limits(connection)
        return MySQLSplitWriter(self, split, connection, self._columns, schema)

    def connect_rows(self) -> pymysql.Connection[Any]:
        """A connection that may send files, and keeps to what is strict."""
        connection = self.database.connect(local_files=True)
        try:
            with connection.cursor() as cursor:
                for statement in _SESSION:
                    cursor.execute(statement)
        except pymysql.Error as error:
            raise self.database.failure(error, "connect") from error
        return connection

    def _ask_limits(self, connection: pymysql.Connection[Any]) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT @@local_infile, @@max_allowed_packet")
                local_files, packet = cursor.fetchone()
        except pymysql.Error as error:
            raise self.database.failure(error, "connect") from error
        self.loads = bool(local_files) and self.mode != "update"
        self.statement_bytes = min(int(packet) // 2, 4 << 20)


class MySQLSplitWriter(RelationalSplitWriter):
    """Writes one split in one transaction."""

    def __init__(
        self,
        writer: MySQLWriter,
        split: Split,
        connection: pymysql.Connection[Any],
        columns: Sequence[TargetColumn],
        schema: pa.Schema,
    ) -> None:
        zone = writer.context.timezone
        fields = list(schema) if writer.taken is None else [schema.field(place) for place in writer.taken]
        rules = [
            FitRule(column.name, column.needs_value, partial(fit_column, column, _is_bits(field), zone))
            for column, field in zip(columns, fields, strict=True)
        ]
        super().__init__(writer, rules, split)
        self.database = writer.database
        self.connection = connection
        self.columns = columns
        self.loads = writer.loads
        self.statement_bytes = writer.statement_bytes
        self._texts: pa.StringArray | None = None
        self._guarded("BEGIN")

    def stage(self, fitted: Fitted) -> None:
        """Write the rows as text, once."""
        self._texts = (text.lines if self.loads else text.value_lists)(fitted.rows.columns)

    def attempt(self, fitted: Fitted, start: int, stop: int) -> None:  # noqa: ARG002  # `stage` has their text
        """Write rows start..stop under a savepoint."""
        self._guarded("SAVEPOINT flinkx")
        try:
            if self.loads:
                self._load(start, stop)
            else:
                self._insert(start, stop)
        except (pymysql.Error, OSError) as error:
            refusal = self.database.refusal(error)
            if refusal is None:
                raise self._failure(error) from error
            self._take_back(refusal)
        self._guarded("RELEASE SAVEPOINT flinkx")

    def run_statement(self, statement: str) -> None:
        """Run a statement in the transaction."""
        try:
            self.connection.query(statement)
        except (pymysql.Error, OSError) as error:
            raise self.database.refusal(error) or self._failure(error) from error

    def commit(self) -> None:
        """Commit the transaction."""
        self._guarded("COMMIT")

    def rollback(self) -> None:
        """Take the transaction back; a connection that cannot do that is given up."""
        try:
            self.connection.rollback()
        except (pymysql.Error, OSError):
            self.writer.give_up()

    def _load(self, start: int, stop: int) -> None:
        assert self._texts is not None
        file = os.memfd_create("flinkx")
        try:
            _write_all(file, text.slice_bytes(self._texts, start, stop))
            taken = self.connection.query(self._load_statement(f"/proc/self/fd/{file}"))
        finally:
            os.close(file)
        self._look_at_warnings()
        if taken < stop - start:
            self._take_back(RowRefusedError(refusal_of(0, "").category, "the server left the row out without a reason"))

    def _load_statement(self, path: str) -> str:
        fields, settings = [], []
        for place, column in enumerate(self.columns):
            name, variable = self.database.quote(column.name), f"@flinkx_{place}"
            if column.is_binary:
                settings.append(f"{name} = UNHEX({variable})")
            elif column.is_bit:
                settings.append(f"{name} = CAST({variable} AS UNSIGNED)")
            fields.append(variable if column.is_binary or column.is_bit else name)
        replace = " REPLACE" if self.writer.mode == "replace" else ""
        return (
            f"LOAD DATA LOCAL INFILE '{path}'{replace} INTO TABLE {self.database.table} CHARACTER SET utf8mb4 "
            r"FIELDS TERMINATED BY '\t' ENCLOSED BY '' ESCAPED BY '\\' LINES TERMINATED BY '\n' "
            f"({', '.join(fields)})" + (f" SET {', '.join(settings)}" if settings else "")
        )

    def _insert(self, start: int, stop: int) -> None:
        names = [self.database.quote(column.name) for column in self.columns]
        verb = "REPLACE" if self.writer.mode == "replace" else "INSERT"
        head = f"{verb} INTO {self.database.table} ({', '.join(names)}) VALUES ".encode()
        tail = b""
        if self.writer.mode == "update":
            tail = f" ON DUPLICATE KEY UPDATE {', '.join(f'{name} = VALUES({name})' for name in names)}".encode()
        for first, rows in self._pieces(start, stop):
            try:
                self.connection.query(head + b",".join(rows) + tail)
            except pymysql.Error as error:
                refusal = self.database.refusal(error)
                if refusal is None:
                    raise
                self._take_back(_moved(refusal, first - start))
            self._look_at_warnings(first - start)

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[int, list[bytes]]]:
        """Value lists in statements of a size that the server takes, with the place of the first."""
        assert self._texts is not None
        rows: list[bytes] = []
        size, first = 0, start
        for position, values in enumerate(self._texts.slice(start, stop - start).cast(pa.binary()).to_pylist(), start):
            if rows and size + len(values) > self.statement_bytes:
                yield first, rows
                rows, size, first = [], 0, position
            rows.append(values)
            size += len(values) + 1
        yield first, rows

    def _look_at_warnings(self, offset: int = 0) -> None:
        """Take the statement back if it warned about a row: a warning means that a value was changed or left out."""
        result = self.connection._result
        if result is None or not result.warning_count:
            return
        said = [(int(code), str(words)) for _, code, words in self.connection.show_warnings()]
        refusals = [refusal_of(code, words) for code, words in said if code not in _HARMLESS_CODES]
        if not refusals:
            return
        if len(said) < result.warning_count or any(refusal.row is None for refusal in refusals):
            # A warning without a row may be about any row, also before those that have their number.
            first = refusals[0]
            self._take_back(RowRefusedError(first.category, first.message))
        self._take_back(_moved(min(refusals, key=lambda refusal: refusal.row or 0), offset))

    def _take_back(self, refusal: RowRefusedError) -> None:
        self._guarded("ROLLBACK TO SAVEPOINT flinkx")
        raise refusal

    def _guarded(self, statement: str) -> None:
        try:
            self.connection.query(statement)
        except (pymysql.Error, OSError) as error:
            raise self._failure(error) from error

    def _failure(self, error: BaseException) -> Exception:
        return self.database.failure(error, f"write table {self.database.table_label}")


def fit_column(column: TargetColumn, from_bits: bool, zone: str, array: pa.Array) -> FittedColumn:
    """A column as values of the column's type, or as text where the server may know better.

    Args:
        column: the target.
        from_bits: whether texts of the source are binary numbers.
        zone: the job's time zone.
        array: the values.
    """
    kind = column.arrow
    if column.is_bit and from_bits and pa.types.is_string(array.type):
        numbers = [None if bits is None else int(bits, 2) for bits in array.to_pylist()]
        return FittedColumn(pa.array(numbers, pa.uint64()), {})
    fitted, failures = convert(array, kind, timezone=zone)
    if pa.types.is_floating(kind):
        failures |= not_finite(fitted, "MySQL")
    if column.data_type == "decimal" and pa.types.is_string(kind):
        failures |= too_many_decimals(fitted, column.scale or 0)
    judged = column.data_type in _TEXT_JUDGED and pa.types.is_string(array.type)
    failures_left: Mapping[int, str] = {} if judged else failures
    digits = 6 if column.fraction_digits is None else column.fraction_digits
    finer = too_fine(fitted, digits) | (too_fine_texts(array, failures, digits) if judged else {})
    if not (judged and failures):
        return FittedColumn(fitted, {**failures_left, **finer})
    return FittedColumn(with_texts(text.text(fitted), array, list(failures)), finer, as_text=True)


def _target(row: Sequence[Any], *, may_be_filled: bool) -> TargetColumn:
    name, data_type, column_type = (value.decode() if isinstance(value, bytes) else str(value) for value in row[:3])
    precision, scale, fraction, needs_value = row[3:]
    needs_value = bool(needs_value) and not may_be_filled
    return TargetColumn(name, data_type.lower(), column_type.lower(), precision, scale, fraction, needs_value)


def _is_bits(field: pa.Field) -> bool:
    return (field.metadata or {}).get(b"source_type") in (b"bit", b"varbit")


def _moved(refusal: RowRefusedError, offset: int) -> RowRefusedError:
    """The same refusal, its row counted from the start of the attempt."""
    row = None if refusal.row is None else refusal.row + offset
    return RowRefusedError(refusal.category, refusal.message, row)


def _write_all(file: int, data: memoryview) -> None:
    while data:
        data = data[os.write(file, data) :]
