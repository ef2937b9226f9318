"""postgresqlwriter: binary COPY from Arrow batches by ADBC, a staging table where COPY cannot do it.

Rows go straight into the table when each column has a binary form that Arrow shares. Otherwise they are copied into a
temporary table, and from there `INSERT ... SELECT` casts the texts (uuid, jsonb, arrays ...) and knows ON CONFLICT.
"""

# ruff: noqa: S608 -- SQL is made here of quoted names, and of what the job itself gives as SQL
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import adbc_driver_manager
import numpy as np
import pyarrow as pa

from airflow_provider_flinkx.plugins.base import Reader, Split, Way
from airflow_provider_flinkx.plugins.conversion import convert, to_text
from airflow_provider_flinkx.plugins.postgresql.copying import CopySplitWriter, MovesByCopies, are_same
from airflow_provider_flinkx.plugins.postgresql.database import PostgreSQL, RowConnection
from airflow_provider_flinkx.plugins.postgresql.reader import PostgreSQLReader
from airflow_provider_flinkx.plugins.postgresql.types import TargetColumn
from airflow_provider_flinkx.plugins.relational.fitting import (
    FitRule,
    Fitted,
    FittedColumn,
    too_fine,
    too_fine_texts,
    too_long,
    too_many_decimals,
    with_texts,
)
from airflow_provider_flinkx.plugins.relational.writer import RelationalSplitWriter, RelationalWriter

_COLUMNS = """
SELECT a.attname, base.typname, format_type(base.oid, -1),
       CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END, base.typtype = 'e',
       a.attnotnull AND NOT EXISTS (
         SELECT FROM pg_trigger g WHERE g.tgrelid = a.attrelid AND NOT g.tgisinternal AND g.tgtype & 6 = 6)
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_type base ON base.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attnum
"""
_UNIQUE_KEYS = """
SELECT array_agg(a.attname ORDER BY k.place)
FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
WHERE i.indrelid = %s::regclass AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
  AND k.place <= i.indnkeyatts
GROUP BY i.indexrelid, i.indisprimary HAVING bool_and(a.attname IS NOT NULL)
ORDER BY i.indisprimary DESC, i.indexrelid
"""
#: Numbers that only PostgreSQL's numeric knows, in the spellings that it reads.
_SPECIAL_NUMBERS = frozenset({"nan", "inf", "-inf", "infinity", "-infinity"})
_NUMBER = "flinkx_row"
#: Rows that are encoded and sent at once.
PIECE_ROWS = 1000


class PostgreSQLWriter(MovesByCopies, RelationalWriter):
    """Writes a table of PostgreSQL (postgresql.md)."""

    database_class = PostgreSQL
    keeps_ledger = True
    database: PostgreSQL
    _columns: Sequence[TargetColumn] = ()
    _key: Sequence[str] = ()

    def check(self, cursor: Any, schema: pa.Schema) -> None:
        """Find the columns that are written and, for upserts, the key."""
        cursor.execute(_COLUMNS, (self.database.table,))
        self._columns = self.chosen([TargetColumn(*row) for row in cursor.fetchall()], schema)
        self._key = self._conflict_key(cursor) if self.mode != "insert" else ()

    def shortcut(self, reader: Reader) -> Way | None:
        """Binary COPY, where the reader's columns are of the target's types and rows are inserted in bulk."""
        if not isinstance(reader, PostgreSQLReader) or self.row_by_row:
            return None
        types = reader.unchanged_types
        self._look(reader.schema)
        if types is None or self._key or self.taken is not None or not are_same(types, self._columns):
            return None
        return Way(reader.read_copies, self._open_copy)

    def open(self, split: Split, schema: pa.Schema) -> PostgreSQLSplitWriter:  # the plan looked at it
        """Begin a transaction for a split."""
        self._look(schema)
        return PostgreSQLSplitWriter(self, self.rows_connection(), self._columns, self._key, split)

    def connect_rows(self) -> RowConnection:
        """A connection that copies batches."""
        return self.database.connect_rows()

    def _look(self, schema: pa.Schema) -> None:
        if not self._columns:
            with self.database.asking(f"look at table {self.database.table_label}") as cursor:
                self.check(cursor, schema)

    def _open_copy(self, split: Split) -> CopySplitWriter:
        return CopySplitWriter(self, self.copies_connection(), self._columns, split)

    def _conflict_key(self, cursor: Any) -> Sequence[str]:
        """Columns of ON CONFLICT; none means that rows are inserted (job.md §14)."""
        given = self.parameter.get("updateKey")
        if isinstance(given, Mapping) and given.get("key"):
            return tuple(given["key"])
        if self.update_keys:
            return self.update_keys[0]
        cursor.execute(_UNIQUE_KEYS, (self.database.table,))
        written = {column.name for column in self._columns}
        return next((tuple(key) for (key,) in cursor.fetchall() if written.issuperset(key)), ())


class PostgreSQLSplitWriter(RelationalSplitWriter):
    """Writes one split in one transaction."""

    def __init__(
        self,
        writer: PostgreSQLWriter,
        rows: RowConnection,
        columns: Sequence[TargetColumn],
        key: Sequence[str],
        split: Split,
    ) -> None:
        zone = writer.context.timezone
        rules = [FitRule(column.name, column.needs_value, partial(fit_column, column, zone)) for column in columns]
        super().__init__(writer, rules, split)
        self.database = writer.database
        self.rows = rows
        self.columns = columns
        self.key = key
        self._stages: dict[tuple[str, ...], str] = {}
        self._stage = ""
        # A constraint that waits for the end would refuse the split as a whole instead of its row.
        self._run(lambda: self._execute("BEGIN", "SET CONSTRAINTS ALL IMMEDIATE"))

    def stage(self, fitted: Fitted) -> None:
        """Copy the rows into a staging table, if they cannot be copied into the target."""
        self._stage = ""
        if not (self.key or fitted.as_text):
            return
        types = tuple("text" if column.name in fitted.as_text else column.bare_type for column in self.columns)
        if types not in self._stages:
            self._stages[types] = self._create_stage(types)
        else:
            self._run(lambda: self._execute(f"TRUNCATE pg_temp.{self._stages[types]}"))
        self._stage = self._stages[types]
        numbers = pa.array(np.arange(fitted.rows.num_rows, dtype=np.int32))
        names = [_NUMBER, *(f"c{place}" for place in range(len(self.columns)))]
        rows = pa.RecordBatch.from_arrays([numbers, *fitted.rows.columns], names=names)
        self._run(lambda: self._copy(rows, self._stage, "pg_temp"))

    def attempt(self, fitted: Fitted, start: int, stop: int) -> None:
        """Write rows start..stop under a savepoint."""
        self._run(lambda: self._execute("SAVEPOINT flinkx"))
        try:
            if self._stage:
                self._insert_staged(fitted, start, stop)
            else:
                name = self.database.table_name
                self._copy(fitted.rows.slice(start, stop - start), name[-1], name[-2] if len(name) > 1 else None)
        except adbc_driver_manager.Error as error:
            refusal = self.database.refusal(error)
            if refusal is None:
                raise self._failure(error) from error
            self._run(lambda: self._execute("ROLLBACK TO SAVEPOINT flinkx"))
            raise refusal from error
        self._run(lambda: self._execute("RELEASE SAVEPOINT flinkx"))

    def run_statement(self, statement: str) -> None:
        """Run a statement in the transaction."""
        try:
            self._execute(statement)
        except adbc_driver_manager.Error as error:
            raise self.database.refusal(error) or self._failure(error) from error

    def commit(self) -> None:
        """Commit the transaction."""
        self._run(lambda: self._execute("COMMIT"))

    def rollback(self) -> None:
        """Take the transaction back; a connection that cannot do that is given up."""
        try:
            self._execute("ROLLBACK")
        except adbc_driver_manager.Error:
            self.writer.give_up()

    def _create_stage(self, types: Sequence[str]) -> str:
        name = f"flinkx_stage_{len(self._stages)}"
        columns = ", ".join(f"c{place} {kind}" for place, kind in enumerate(types))
        statement = f"CREATE TEMPORARY TABLE {name} ({_NUMBER} integer, {columns}) ON COMMIT DROP"
        self._run(lambda: self._execute(statement))
        return name

    def _insert_staged(self, fitted: Fitted, start: int, stop: int) -> None:
        values = [
            f"c{place}::{column.bare_type}" if column.name in fitted.as_text else f"c{place}"
            for place, column in enumerate(self.columns)
        ]
        chosen = f"{_NUMBER} >= {start} AND {_NUMBER} < {stop}"
        source = f"SELECT * FROM pg_temp.{self._stage} WHERE {chosen}"
        if not self.key:
            self.rows.execute(self._insert(values, source))
            return
        # One statement cannot touch a row twice: rows with the same key go one after the other, the last one wins.
        names = [column.name for column in self.columns]
        key = ", ".join(values[names.index(name)] for name in self.key)
        repeats = f"SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM ({source}) s GROUP BY {key}) t"
        turns = self.rows.query(repeats)[0][0] if stop - start > 1 else 1
        numbered = f"SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY {_NUMBER}) AS turn FROM ({source}) s"
        for turn in range(1, turns + 1):
            this = f"SELECT * FROM ({numbered}) t WHERE turn = {turn}" if turns > 1 else source
            self.rows.execute(self._insert(values, this))

    def _insert(self, values: Sequence[str], source: str) -> str:
        quoted = [self.database.quote(column.name) for column in self.columns]
        text = (
            f"INSERT INTO {self.database.table} ({', '.join(quoted)}) "
            f"SELECT {', '.join(values)} FROM ({source}) rows ORDER BY {_NUMBER}"
        )
        if not self.key:
            return text
        updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in quoted)
        return f"{text} ON CONFLICT ({', '.join(map(self.database.quote, self.key))}) DO UPDATE SET {updates}"

    def _copy(self, rows: pa.RecordBatch, table: str, schema: str | None) -> None:
        # The driver sends piece by piece: the server takes in one while the next is encoded.
        pieces = [rows.slice(start, PIECE_ROWS) for start in range(0, rows.num_rows, PIECE_ROWS)]
        stream = pa.RecordBatchReader.from_batches(rows.schema, pieces)
        self.rows.cursor.adbc_ingest(table, stream, mode="append", db_schema_name=schema)

    def _execute(self, *statements: str) -> None:
        for statement in statements:
            self.rows.execute(statement)

    def _run(self, action: Callable[[], None]) -> None:
        try:
            action()
        except adbc_driver_manager.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: BaseException) -> Exception:
        return self.database.failure(error, f"write table {self.database.table_label}")


def fit_column(column: TargetColumn, zone: str, array: pa.Array) -> FittedColumn:
    """A column as COPY takes it, or as text for the staging table."""
    if column.bits is not None and not pa.types.is_string(array.type):
        return _fit_bits(column.bits, zone, array)
    kind = column.arrow(array.type)
    if kind is None:
        text, failures = convert(array, pa.string(), timezone=zone)
        if column.type_name == "numeric" and column.modifier >= 4:
            failures |= too_many_decimals(text, max((column.modifier - 4) & 0x7FF, 0))
        return FittedColumn(text, failures, as_text=True)
    fitted, failures = convert(array, kind, timezone=zone)
    judged = [position for position in failures if _server_may_know(kind, array, position)]
    failures = {position: message for position, message in failures.items() if position not in judged}
    failures |= too_fine(fitted, column.fraction_digits)
    if column.most_characters is not None:
        failures |= too_long(fitted, column.most_characters)
    if not judged:
        return FittedColumn(fitted, failures)
    source, _ = convert(array, pa.string(), timezone=zone)
    if pa.types.is_temporal(kind):
        failures |= too_fine_texts(source, judged, column.fraction_digits)
    return FittedColumn(with_texts(to_text(fitted, timezone="UTC"), source, judged), failures, as_text=True)


def _server_may_know(kind: pa.DataType, array: pa.Array, position: int) -> bool:
    """Whether a value that Arrow lacks may be one of PostgreSQL's: 'infinity', '24:00:00', '44-03-15 BC', 'NaN'."""
    if pa.types.is_temporal(kind):
        return bool(pa.types.is_string(array.type))
    return pa.types.is_decimal(kind) and str(array[position].as_py()).strip().lower() in _SPECIAL_NUMBERS


def _fit_bits(length: int, zone: str, array: pa.Array) -> FittedColumn:
    """Numbers in a bit column are binary numbers, padded to its length; never the digits of their decimal text."""
    numbers, failures = convert(array, pa.uint64(), timezone=zone)
    texts = [None if number is None else f"{number:0{length or 1}b}" for number in numbers.to_pylist()]
    return FittedColumn(pa.array(texts, pa.string()), failures, as_text=True)
