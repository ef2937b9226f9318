"""db2writer: prepared INSERT and MERGE statements of many rows.

A statement takes all of its rows or none, so a refused one needs no savepoint: it is cut until the bad rows are
alone. The driver's own array insert is left aside, because it ends the process on a server it does not expect.
"""

# ruff: noqa: S608 -- SQL is made here of quoted names and parameter marks
from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Any

import ibm_db
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_flinkx.exceptions import DataError, NotFoundError
from airflow_provider_flinkx.plugins.base import Split
from airflow_provider_flinkx.plugins.conversion import convert, to_text
from airflow_provider_flinkx.plugins.db2.database import DB2, CatalogColumn, whole
from airflow_provider_flinkx.plugins.db2.types import SourceType, TargetColumn
from airflow_provider_flinkx.plugins.relational.fitting import (
    FitRule,
    Fitted,
    FittedColumn,
    not_finite,
    too_fine,
    too_long,
    too_many_digits,
    with_texts,
)
from airflow_provider_flinkx.plugins.relational.merge import Merge, merge_of
from airflow_provider_flinkx.plugins.relational.writer import RelationalSplitWriter, RelationalWriter

#: Parameter marks and rows of one statement: few enough that a server compiles it fast.
_MARKS = 1000
_MOST_ROWS = 100
_UTF8 = 1208
_LENGTH_TYPES = frozenset({"CHARACTER", "VARCHAR"})


class DB2Writer(RelationalWriter):
    """Writes a table of DB2 (db2.md)."""

    database_class = DB2
    keeps_ledger = True
    database: DB2
    _columns: Sequence[TargetColumn] = ()
    _merge: Merge | None = None

    def check(self, cursor: Any, schema: pa.Schema) -> None:
        """Find the columns that are written and, for `update` and `replace`, the keys."""
        table = self.database.table_columns(cursor)
        if not table:
            raise self.database.error(NotFoundError, f"there is no table {self.database.table_label}")
        # What DB2 always generates itself cannot be written.
        available = [_target(column) for column in table if column.generated != "A"]
        self._columns = self.chosen(available, schema)
        self._merge = self._merged(cursor, available) if self.mode != "insert" else None

    def open(self, split: Split, schema: pa.Schema) -> DB2SplitWriter:
        """Begin a transaction for a split; DB2 begins one with the first statement."""
        if not self._columns:
            with self.database.asking(f"look at table {self.database.table_label}") as cursor:
                self.check(cursor, schema)
        return DB2SplitWriter(self, split, self.rows_connection().conn_handler, self._columns, self._merge)

    def connect_rows(self) -> Any:
        """A connection as any other."""
        return self.database.connect()

    def _merged(self, cursor: Any, available: Sequence[TargetColumn]) -> Merge | None:
        """The MERGE of `update` and `replace`; without a key rows are inserted (job.md §14)."""
        return merge_of(self, available, self._columns, lambda: self.database.unique_keys(cursor), kept=())


class DB2SplitWriter(RelationalSplitWriter):
    """Writes one split in one transaction."""

    def __init__(
        self,
        writer: DB2Writer,
        split: Split,
        handle: Any,
        columns: Sequence[TargetColumn],
        merge: Merge | None,
    ) -> None:
        zone = writer.context.timezone
        # Whether a null is refused is left to the server: a trigger may fill it.
        rules = [FitRule(column.name, False, partial(fit_column, column, zone)) for column in columns]
        super().__init__(writer, rules, split)
        self.database = writer.database
        self.handle = handle
        self.columns = columns
        self.merge = merge
        self.most_rows = max(1, min(_MOST_ROWS, _MARKS // len(columns)))
        self._values: list[tuple[Any, ...]] = []
        self._prepared: dict[int, Any] = {}

    def stage(self, fitted: Fitted) -> None:
        """Make the driver's values of the rows."""
        columns = [_values(array) for array in fitted.rows.columns]
        self._values = list(zip(*columns, strict=True))

    def attempt(self, fitted: Fitted, start: int, stop: int) -> None:  # noqa: ARG002  # `stage` has their values
        """Write rows start..stop by one statement; by several, where rows of a MERGE have the same key."""
        pieces = list(self._pieces(start, stop))
        if len(pieces) > 1:
            self._run("SAVEPOINT flinkx ON ROLLBACK RETAIN CURSORS")
        try:
            for first, last in pieces:
                self._execute(first, last)
        except Exception as error:
            refusal = self.database.refusal(error)
            if refusal is None:
                raise self._failure(error) from error
            if len(pieces) > 1:
                self._run("ROLLBACK TO SAVEPOINT flinkx")
            raise refusal from error

    def run_statement(self, statement: str) -> None:
        """Run a statement in the transaction."""
        try:
            ibm_db.exec_immediate(self.handle, whole(statement))
        except Exception as error:
            raise self.database.refusal(error) or self._failure(error) from error

    def commit(self) -> None:
        """Commit the transaction."""
        try:
            ibm_db.commit(self.handle)
        except Exception as error:
            raise self._failure(error) from error
        self._free()

    def rollback(self) -> None:
        """Take the transaction back; a connection that cannot do that is given up."""
        self._free()
        try:
            ibm_db.rollback(self.handle)
        except Exception:  # the driver raises nothing more precise
            self.writer.give_up()

    def statement(self, rows: int) -> str:
        """The statement for so many rows."""
        names = [self.database.quote(column.name) for column in self.columns]
        if self.merge is None:
            marks = ", ".join([f"({', '.join('?' * len(names))})"] * rows)
            return f"INSERT INTO {self.database.table} ({', '.join(names)}) VALUES {marks}"
        # A mark alone has no type in the rows of a MERGE.
        marks = ", ".join([f"({', '.join(column.marker for column in self.columns)})"] * rows)
        return self.merge.text(f"(VALUES {marks}) AS T2 ({', '.join(names)})")

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Ranges of rows in which no key occurs twice: one MERGE would insert both."""
        if self.merge is None:
            yield start, stop
            return
        names = [self.database.quote(column.name) for column in self.columns]
        places = [[names.index(name) for name in key] for key in self.merge.keys]
        seen: set[tuple[Any, ...]] = set()
        for position in range(start, stop):
            row = self._values[position]
            keys = {(number, *(_comparable(row[place]) for place in key)) for number, key in enumerate(places)}
            if keys & seen:
                yield start, position
                start, seen = position, set()
            seen |= keys
        yield start, stop

    def _execute(self, start: int, stop: int) -> None:
        count = stop - start
        if count not in self._prepared:
            self._prepared[count] = ibm_db.prepare(self.handle, whole(self.statement(count)))
        prepared = self._prepared[count]
        values = [value for row in self._values[start:stop] for value in row]
        types = [column.bind_type for column in self.columns]
        if any(types):
            for place, value in enumerate(values):
                kind = types[place % len(types)]
                if kind is None or value is None:
                    ibm_db.bind_param(prepared, place + 1, value)
                else:
                    ibm_db.bind_param(prepared, place + 1, value, ibm_db.SQL_PARAM_INPUT, kind)
            ibm_db.execute(prepared)
        else:
            ibm_db.execute(prepared, tuple(values))
        self._count(ibm_db.num_rows(prepared), count)

    def _count(self, written: int, given: int) -> None:
        """Make sure that rows are there: the driver raises nothing for a statement that it no longer knows.

        A row of a MERGE may overwrite several by several keys.
        """
        if written < given or (self.merge is None and written != given):
            message = f"write table {self.database.table_label}: the driver told no error, but wrote {written} rows "
            raise self.database.error(DataError, f"{message}of {given}")

    def _free(self) -> None:
        """Free the statements while their connection is open.

        Later the driver may have given their numbers to statements of another connection, and would free those.
        """
        for prepared in self._prepared.values():
            with contextlib.suppress(Exception):  # the server may be gone
                ibm_db.free_stmt(prepared)
        self._prepared.clear()

    def _run(self, statement: str) -> None:
        try:
            ibm_db.exec_immediate(self.handle, statement)
        except Exception as error:
            raise self._failure(error) from error

    def _failure(self, error: BaseException) -> Exception:
        return self.database.failure(error, f"write table {self.database.table_label}")


def fit_column(column: TargetColumn, zone: str, array: pa.Array) -> FittedColumn:
    """A column as values that the driver takes for it; what DB2 would cut or round without an error fails."""
    kind = column.type
    target = kind.arrow if kind.name != "TIMESTAMP" else _timestamp_type(array)
    fitted, failures = convert(array, target, timezone=zone)
    if pa.types.is_floating(target):
        failures |= not_finite(fitted, "DB2")
    if kind.name == "DECFLOAT":
        failures |= too_many_digits(fitted, column.digits)
    if kind.name in _LENGTH_TYPES and not kind.is_bits:
        failures |= _cut_blanks(column, fitted)
    if not pa.types.is_temporal(target):
        return FittedColumn(fitted, failures)
    finer = too_fine(fitted, 0 if kind.name == "TIME" else kind.scale)
    texts = fitted.cast(pa.string())
    if kind.name == "TIME":
        texts = pc.utf8_slice_codeunits(texts, 0, 8)
    known = _known_to_db2(kind, zone, array, failures)
    left = {place: message for place, message in failures.items() if place not in known}
    if known:
        texts = with_texts(texts, array, known)
    return FittedColumn(texts, {**left, **finer}, as_text=True)


def _known_to_db2(kind: SourceType, zone: str, array: pa.Array, failures: Collection[int]) -> list[int]:
    """Places of texts that DB2 knows and Arrow does not: 24:00:00, and more digits of a second."""
    if not (failures and pa.types.is_string(array.type)) or kind.name == "DATE":
        return []
    plain = pc.replace_substring_regex(array, r"\b24:00:00(\.0*)?$", "00:00:00")
    if kind.name == "TIMESTAMP":
        plain = pc.replace_substring_regex(plain, rf"\.\d{{0,{kind.scale}}}0*$", "")
    _, unknown = convert(plain, pa.time64("us") if kind.name == "TIME" else pa.timestamp("us"), timezone=zone)
    return [place for place in failures if place not in unknown]


def _timestamp_type(array: pa.Array) -> pa.DataType:
    return pa.timestamp("ns") if pa.types.is_timestamp(array.type) and array.type.unit == "ns" else pa.timestamp("us")


def _cut_blanks(column: TargetColumn, array: pa.Array) -> dict[int, str]:
    """Texts that are too long by blanks at their end, which DB2 cuts off; it refuses the others itself."""
    by_bytes = column.code_page == _UTF8 and not column.counts_characters
    lengths = array.cast(pa.binary()) if by_bytes else array
    failures = too_long(lengths, column.type.length)
    if not failures:
        return {}
    blank = pc.ends_with(array, " ").fill_null(False).to_pylist()
    return {place: message for place, message in failures.items() if blank[place]}


def _values(array: pa.Array) -> list[Any]:
    """What the driver takes: decimals as text, everything else as Python has it."""
    values: list[Any] = (to_text(array, timezone="UTC") if pa.types.is_decimal(array.type) else array).to_pylist()
    return values


def _comparable(value: Any) -> Any:
    """A key as DB2 compares it: blanks at the end of a text do not count, and no null equals another."""
    if value is None:
        return object()
    return value.rstrip(" ") if isinstance(value, str) else value


def _target(column: CatalogColumn) -> TargetColumn:
    kind = SourceType(column.type_name, column.length, column.scale, column.code_page == 0)
    return TargetColumn(column.name, kind, column.code_page, column.string_units == "CODEUNITS32", column.nulls == "Y")
