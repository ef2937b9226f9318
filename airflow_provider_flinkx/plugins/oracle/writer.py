"""oraclewriter: array INSERT and MERGE from Arrow batches; the server itself names the rows that it refuses.

With `batcherrors` a statement goes on after a refused row, so a batch with bad rows costs as much as one without.
Direct path loads are faster and left aside: they commit by themselves, and a split could not be taken back.
"""

# ruff: noqa: S608 -- SQL is made here of quoted names and parameter marks
from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

import oracledb
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_flinkx.exceptions import NotFoundError
from airflow_provider_flinkx.plugins.base import Split
from airflow_provider_flinkx.plugins.conversion import convert
from airflow_provider_flinkx.plugins.oracle.database import Oracle
from airflow_provider_flinkx.plugins.oracle.types import TargetColumn
from airflow_provider_flinkx.plugins.relational.fitting import (
    FitRule,
    Fitted,
    FittedColumn,
    too_fine,
    too_many_decimals,
    too_many_digits,
    with_texts,
)
from airflow_provider_flinkx.plugins.relational.isolation import Outcome, RowRefusedError
from airflow_provider_flinkx.plugins.relational.merge import Merge, merge_of
from airflow_provider_flinkx.plugins.relational.writer import RelationalSplitWriter, RelationalWriter

#: Rows of one statement; the server counts the refused ones in 16 bits.
STATEMENT_ROWS = 16_384
_TEXTS = frozenset({"CHAR", "VARCHAR2", "NCHAR", "NVARCHAR2"})
_ARROW = {
    "BINARY_FLOAT": pa.float32(),
    "BINARY_DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "RAW": pa.binary(),
    "BLOB": pa.large_binary(),
    "LONG RAW": pa.large_binary(),
    "CLOB": pa.large_string(),
    "NCLOB": pa.large_string(),
    "LONG": pa.large_string(),
    "JSON": pa.large_string(),
}
_LOBS = {
    "CLOB": oracledb.DB_TYPE_CLOB,
    "NCLOB": oracledb.DB_TYPE_NCLOB,
    "BLOB": oracledb.DB_TYPE_BLOB,
    "XMLTYPE": oracledb.DB_TYPE_CLOB,
    "JSON": oracledb.DB_TYPE_CLOB,
    "VECTOR": oracledb.DB_TYPE_CLOB,
}
_YEAR_1 = -62_135_596_800_000_000
_YEAR_10000 = 253_402_300_800_000_000
_OFFSET = r"\s*([+-]\d\d:\d\d)$"
#: Texts that may have more digits, or a smaller exponent, than a NUMBER keeps.
_SUSPECT = r"[eE]|.{38}|[^0-9.+-]"
_SMALLEST_EXPONENT = -130
_PAIRS_OF_DIGITS = 20


class OracleWriter(RelationalWriter):
    """Writes a table of Oracle (oracle.md)."""

    database_class = Oracle
    keeps_ledger = True
    empty_text_is_null = True
    database: Oracle
    _columns: Sequence[TargetColumn] = ()
    _merge: Merge | None = None

    def check(self, cursor: Any, schema: pa.Schema) -> None:
        """Find the columns that are written and, for `update` and `replace`, the keys."""
        available = self.database.table_columns(cursor)
        if not available:
            raise self.database.error(NotFoundError, f"there is no table {self.database.table_label}")
        self._columns = self.chosen(available, schema)
        self._merge = self._merged(cursor, available) if self.mode != "insert" else None

    def open(self, split: Split, schema: pa.Schema) -> OracleSplitWriter:
        """Begin a transaction for a split; Oracle begins one with the first statement."""
        if not self._columns:
            with self.database.asking(f"look at table {self.database.table_label}") as cursor:
                self.check(cursor, schema)
        return OracleSplitWriter(self, split, self.rows_connection(), self._columns, self._merge)

    def connect_rows(self) -> Any:
        """A connection as any other."""
        return self.database.connect()

    def _merged(self, cursor: Any, available: Sequence[TargetColumn]) -> Merge | None:
        """The MERGE of `update` and `replace`; without a key rows are inserted (job.md §14)."""
        return merge_of(self, available, self._columns, lambda: self.database.unique_keys(cursor))


class OracleSplitWriter(RelationalSplitWriter):
    """Writes one split in one transaction."""

    def __init__(
        self,
        writer: OracleWriter,
        split: Split,
        connection: Any,
        columns: Sequence[TargetColumn],
        merge: Merge | None,
    ) -> None:
        zone = writer.context.timezone
        # Whether a null is refused is left to the server: a trigger may fill it.
        rules = [FitRule(column.name, False, partial(fit_column, column, zone)) for column in columns]
        super().__init__(writer, rules, split)
        self.database = writer.database
        self.connection = connection
        self.columns = columns
        self.merge = merge
        # A constraint that waits for the end would refuse the split as a whole instead of its row.
        self._guarded(lambda: self._execute("SET CONSTRAINTS ALL IMMEDIATE"))

    def write_rows(self, fitted: Fitted) -> Outcome:
        """Write all rows; the server leaves out those that it refuses, and says why."""
        outcome = Outcome()
        size = 1 if self.writer.row_by_row else STATEMENT_ROWS
        statement = self.statement(fitted.as_text)
        for start in range(0, fitted.rows.num_rows, size):
            rows = fitted.rows.slice(start, size)
            refused = self._write(statement, rows)
            outcome.refused.update({start + place: refusal for place, refusal in refused.items()})
            outcome.written += rows.num_rows - len(refused)
        return outcome

    def run_statement(self, statement: str) -> None:
        """Run a statement in the transaction."""
        try:
            self._execute(statement)
        except (oracledb.Error, OSError) as error:
            details = error.args[0] if error.args else None
            refusal = self.database.refusal(details) if hasattr(details, "code") else None
            raise refusal or self._failure(error) from error

    def commit(self) -> None:
        """Commit the transaction."""
        self._guarded(self.connection.commit)

    def rollback(self) -> None:
        """Take the transaction back; a connection that cannot do that is given up."""
        try:
            self.connection.rollback()
        except (oracledb.Error, OSError):
            self.writer.give_up()

    def statement(self, as_text: frozenset[str]) -> str:
        """The statement for a row; `as_text` names the columns whose values are text for the server to convert."""
        names = [self.database.quote(column.name) for column in self.columns]
        values = [
            column.value(f":{place}", as_text=column.name in as_text) for place, column in enumerate(self.columns, 1)
        ]
        if self.merge is None:
            return f"INSERT INTO {self.database.table} ({', '.join(names)}) VALUES ({', '.join(values)})"
        selected = ", ".join(f"{value} {name}" for value, name in zip(values, names, strict=True))
        return self.merge.text(f"(SELECT {selected} FROM DUAL) T2")

    def _write(self, statement: str, rows: pa.RecordBatch) -> dict[int, RowRefusedError]:
        """Refused rows by their place."""
        try:
            with self.connection.cursor() as cursor:
                if any(self._needs_locator(column) for column in self.columns):
                    cursor.setinputsizes(*(_LOBS.get(column.data_type) for column in self.columns))
                    data: Any = list(zip(*(column.to_pylist() for column in rows.columns), strict=True))
                else:
                    data = pa.Table.from_batches([rows])
                cursor.executemany(statement, data, batcherrors=True)
                errors = cursor.getbatcherrors()
        except (oracledb.Error, OSError) as error:
            raise self._failure(error) from error
        refused: dict[int, RowRefusedError] = {}
        for refusal in errors:
            row = self.database.refusal(refusal)
            if row is None:
                raise self._failure(oracledb.DatabaseError(refusal))
            refused[refusal.offset] = row
        return refused

    def _needs_locator(self, column: TargetColumn) -> bool:
        """Whether values of the column must go as a LOB of their own: where they stand in an expression."""
        return column.is_large and (self.merge is not None or column.value("", as_text=False) != "")

    def _execute(self, statement: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)

    def _guarded(self, action: Any) -> None:
        try:
            action()
        except (oracledb.Error, OSError) as error:
            raise self._failure(error) from error

    def _failure(self, error: BaseException) -> Exception:
        return self.database.failure(error, f"write table {self.database.table_label}")


def fit_column(column: TargetColumn, zone: str, array: pa.Array) -> FittedColumn:
    """A column as the driver takes it; what Oracle would cut or round without an error fails."""
    if column.data_type in ("NUMBER", "FLOAT"):
        return _fit_number(column, zone, array)
    if column.is_temporal:
        return _fit_moment(column, zone, array)
    kind = _ARROW.get(column.data_type, pa.string())
    plain = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}.get(kind, kind)
    fitted, failures = convert(array, plain, timezone=zone)
    return FittedColumn(fitted.cast(kind), failures)


def _fit_number(column: TargetColumn, zone: str, array: pa.Array) -> FittedColumn:
    kind = column.decimal
    if kind is not None:
        fitted, failures = convert(array, kind, timezone=zone)
        if (column.scale or 0) < 0:
            failures |= _rounded(fitted, -(column.scale or 0))
        return FittedColumn(fitted, failures)
    is_exact = pa.types.is_integer(array.type) or pa.types.is_decimal128(array.type)
    if is_exact and column.data_type == "NUMBER" and column.scale is None:
        return FittedColumn(array, {})
    texts, failures = convert(array, pa.string(), timezone=zone)
    failures |= _no_number(texts)
    if column.data_type == "FLOAT":
        failures |= too_many_digits(texts, column.digits)
    elif column.scale is not None:
        failures |= too_many_decimals(texts, column.scale)
    return FittedColumn(texts, failures, as_text=True)


def _fit_moment(column: TargetColumn, zone: str, array: pa.Array) -> FittedColumn:
    digits = 0 if column.data_type == "DATE" else 6 if column.scale is None else column.scale
    kind = pa.timestamp("us", "UTC") if column.has_zone else pa.timestamp("us")
    fitted, failures = convert(array, kind, timezone=zone)
    numbers = fitted.view(pa.int64())
    beyond = pc.or_(pc.less(numbers, _YEAR_1), pc.greater_equal(numbers, _YEAR_10000)).fill_null(False).to_pylist()
    failures |= {place: "the year is outside 1 to 9999" for place, is_beyond in enumerate(beyond) if is_beyond}
    failures |= too_fine(fitted, digits)
    # The server itself may know a text: a year before Christ, more digits of a second than Arrow's microseconds.
    texts, unreadable = convert(array, pa.string(), timezone="UTC")
    known = _may_be_known(array, texts, column.has_zone)
    judged = [place for place in failures if known[place] and place not in unreadable]
    plain = fitted.view(pa.timestamp("us"))  # the driver takes times without a zone; `FROM_TZ` says that they are UTC
    if not judged:
        return FittedColumn(plain, failures)
    left = {place: message for place, message in failures.items() if place not in judged}
    spelled = pc.replace_substring_regex(texts, _OFFSET, r" \1")
    own = plain.cast(pa.string())
    own = pc.binary_join_element_wise(own, "+00:00", " ") if column.has_zone else own
    return FittedColumn(with_texts(own, spelled, judged), {**left, **_too_fine_text(spelled, digits)}, as_text=True)


def _may_be_known(array: pa.Array, texts: pa.Array, has_zone: bool) -> list[bool]:
    """Whether the server may know a moment that Arrow's microseconds cannot hold; with a zone it must say its own."""
    if pa.types.is_string(array.type) and has_zone:
        known: list[bool] = pc.match_substring_regex(texts, _OFFSET).fill_null(False).to_pylist()
        return known
    nanoseconds = pa.types.is_timestamp(array.type) and array.type.unit == "ns" and not has_zone
    return [pa.types.is_string(array.type) or nanoseconds] * len(array)


def _too_fine_text(texts: pa.Array, digits: int) -> dict[int, str]:
    """Moments as text with more digits of a second than the column keeps."""
    found = pc.match_substring_regex(texts, rf":\d\d\.\d{{{digits}}}\d*[1-9]").fill_null(False).to_pylist()
    message = f"the column keeps {digits} digits of a second, the value has more"
    return {place: message for place, is_finer in enumerate(found) if is_finer}


def _rounded(array: pa.Array, zeros: int) -> dict[int, str]:
    """Whole numbers that a column with a negative scale would round."""
    unit = 10**zeros
    return {
        place: f"the column keeps no digits below {unit}"
        for place, value in enumerate(array.to_pylist())
        if value is not None and int(value) % unit
    }


def _no_number(texts: pa.Array) -> dict[int, str]:
    """Texts that are no number, or one that a NUMBER would round or make zero."""
    suspects = pc.match_substring_regex(texts, _SUSPECT).fill_null(False).to_pylist()
    reasons = {place: _unkept(texts[place].as_py()) for place, suspect in enumerate(suspects) if suspect}
    return {place: reason for place, reason in reasons.items() if reason}


def _unkept(text: str) -> str:
    """Why a NUMBER does not keep a text's value; empty when it does."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return "not a number"
    if not number.is_finite():
        return f"{text} is no number that Oracle knows"
    if not number:
        return ""
    if number.adjusted() < _SMALLEST_EXPONENT:
        return "too near to zero for a NUMBER"
    _, digits, exponent = number.as_tuple()
    kept = "".join(map(str, digits)).rstrip("0")
    last = int(exponent) + len(digits) - len(kept)
    # Oracle keeps twenty pairs of digits, counted from the point.
    uneven = last % 2 + (len(kept) + last) % 2
    return "more digits than a NUMBER keeps" if (len(kept) + uneven) // 2 > _PAIRS_OF_DIGITS else ""
