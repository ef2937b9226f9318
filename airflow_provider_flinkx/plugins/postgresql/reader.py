"""postgresqlreader: streams tables and queries of PostgreSQL as Arrow batches by ADBC's binary COPY."""

# ruff: noqa: S608 -- SQL is made here of quoted names, and of what the job itself gives as SQL
from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar

import adbc_driver_manager
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_flinkx.plugins.base import Batch, Split
from airflow_provider_flinkx.plugins.conversion import arrow_type, to_text
from airflow_provider_flinkx.plugins.postgresql.copying import CopyConnection, MovesByCopies
from airflow_provider_flinkx.plugins.postgresql.database import PostgreSQL, RowConnection
from airflow_provider_flinkx.plugins.postgresql.types import SourceType
from airflow_provider_flinkx.plugins.relational.deadline import timer
from airflow_provider_flinkx.plugins.relational.reader import Key, RelationalReader, SourceColumn
from airflow_provider_flinkx.plugins.relational.splits import Sample

#: Bytes per batch; small enough for read-ahead in every channel, large enough that a batch's fixed cost vanishes.
BATCH_BYTES = 4 << 20
SAMPLED_ROWS = 30_000
_QUANTILES = 199
_DIRECT_ROWS = 200_000
_BYTES_PER_ROW_GUESS = 100
_TID_RANGE_SCANS = 140_000

#: The driver moves infinity by the distance of its epoch from Arrow's, which wraps around. Nothing below
#: 4713 BC, PostgreSQL's first year, is a real value.
_FIRST_TIMESTAMP = -210_866_803_200_000_000
_FIRST_DATE = -2_440_588
_INFINITIES = {
    -9_222_425_352_054_775_809: "infinity",
    -9_222_425_352_054_775_808: "-infinity",
    -2_147_472_692: "infinity",
    -2_147_472_691: "-infinity",
}
_EARLY_YEAR = re.compile(r"^(?:-(\d+)|0000)(-.*)$")
_MIDNIGHT_AFTER = 86_400_000_000
_YEAR_1 = -719_162
_YEAR_10000 = 2_932_897
_DAYS_OF_400_YEARS = 146_097

_UNIQUE_KEY = """
SELECT a.attname, NOT a.attnotnull
FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
JOIN pg_opclass o ON o.oid = i.indclass[0] JOIN pg_am m ON m.oid = o.opcmethod AND m.amname = 'btree'
WHERE i.indrelid = %s::regclass AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1 AND i.indpred IS NULL
  AND i.indkey[0] > 0
ORDER BY i.indisprimary DESC, a.attnum LIMIT 1
"""


Connection = TypeVar("Connection", RowConnection, CopyConnection)

#: A transaction of a snapshot may rest for as long as the job does.
_NO_TIMEOUTS = (
    "SELECT set_config(name, '0', false) FROM pg_settings "
    "WHERE name IN ('idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')"
)
_SNAPSHOT_TRANSACTION = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgreSQLReader(MovesByCopies, RelationalReader):
    """Reads a table or a query of PostgreSQL (postgresql.md)."""

    database_class = PostgreSQL
    orders: ClassVar[bool] = True
    database: PostgreSQL
    _types: Sequence[SourceType] = ()

    def describe(self, cursor: Any, names: Sequence[str] | None) -> Sequence[SourceColumn]:
        """Ask the server for the types of the query's columns."""
        quoted = "*" if names is None else ", ".join(map(self.database.quote, names))
        cursor.execute(f"SELECT {quoted} FROM {self.relation} LIMIT 0".encode())
        found = [(column.name, column.type_code, column._fmod) for column in cursor.description]
        cursor.execute("SELECT oid, typname FROM pg_type WHERE oid = ANY(%s)", ([code for _, code, _ in found],))
        type_names = dict(cursor.fetchall())
        self._types = [SourceType(type_names[code], modifier) for _, code, modifier in found]
        columns = []
        for (name, _, _), source in zip(found, self._types, strict=True):
            metadata = {"source_type": source.name}
            expression = source.expression(self.database.quote(name))
            columns.append(SourceColumn(name, expression, pa.field(name, source.arrow, metadata=metadata)))
        return columns

    def read(self, split: Split) -> Iterator[Batch]:
        """Stream the rows of a split."""
        return self._whole(super().read(split))

    def read_copies(self, split: Split) -> Iterator[Batch]:
        """Stream the rows of a split as the server's binary COPY has them, see `copying`."""
        return self._whole(self._copied(split))

    @property
    def unchanged_types(self) -> Sequence[SourceType] | None:
        """The types of the columns, where the job takes their values as they are; else None."""
        fields = iter(self.selected)
        for column in self._column_rules():
            if column.name is None or column.value is not None or column.format:
                return None
            if arrow_type(column) not in (None, next(fields).field.type):
                return None
        return self._types

    def _whole(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        complete = False
        try:
            yield from batches
            complete = True
        except (adbc_driver_manager.Error, psycopg.Error, OSError) as error:
            raise self.database.failure(error, f"read {self.source_label}") from error
        finally:
            if not complete:
                self.give_up()  # a half-read COPY occupies its connection

    def _copied(self, split: Split) -> Iterator[Batch]:
        condition = self.enter(split)
        copying = self.copies_connection()
        names = [self.database.quote(column.name) for column in self.selected]
        with self.first_rows_deadline(timer(copying.cancel)) as deadline:
            for rows in copying.batches(self.statement(condition, names), BATCH_BYTES):
                deadline.met()
                yield Batch(rows)
            deadline.met()

    def stream(self, statement: str) -> Iterator[pa.RecordBatch]:
        """Batches of about 4 MB; values that Arrow lacks turn their column of the batch into text."""
        rows, columns = self.rows_connection(), self.selected
        with self.first_rows_deadline(timer(rows.cancel)) as deadline:
            for batch in rows.batches(statement, BATCH_BYTES):
                deadline.met()
                arrays = [_tidy(array, column.field.type) for array, column in zip(batch.columns, columns)]  # noqa: B905
                fields = [_field(column.field, array) for column, array in zip(columns, arrays, strict=True)]
                yield (pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)) if fields else batch)
            deadline.met()

    def hold_snapshot(self, cursor: Any) -> tuple[str, Callable[[], None] | None]:
        """Export a snapshot; it can be taken up for as long as the transaction that exports it is open."""
        connection = self.database.connect()
        try:
            connection.autocommit = True
            connection.execute(_NO_TIMEOUTS)
            connection.execute(_SNAPSHOT_TRANSACTION)
            found = connection.execute("SELECT pg_export_snapshot()").fetchone()
            assert found is not None, "it gives one row"
            name = str(found[0])
            self.join_held_snapshot(cursor, name)
        except BaseException:
            connection.close()
            raise
        return name, connection.close

    def join_held_snapshot(self, cursor: Any, name: str) -> None:
        """See what the transaction that has exported the snapshot sees."""
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute(f"SET TRANSACTION SNAPSHOT {self.database.literal(name)}")

    @property
    def kind(self) -> str:
        """Connections are in the transaction of one snapshot."""
        return f"{super().kind} {self.snapshot}"

    def connect_rows(self) -> RowConnection:
        """A connection, in the snapshot if there is one."""
        return self._in_snapshot(self.database.connect_rows())

    def connect_copies(self) -> CopyConnection:
        """A connection for copies, in the snapshot if there is one."""
        return self._in_snapshot(super().connect_copies())

    def _in_snapshot(self, connection: Connection) -> Connection:
        if self.snapshot:
            self._enter_snapshot(connection)
        return connection

    def _enter_snapshot(self, rows: RowConnection | CopyConnection) -> None:
        """Begin the transaction in which all splits of this channel are read."""
        name = self.database.literal(self.snapshot.partition("@")[0])
        try:
            rows.execute(_NO_TIMEOUTS)
            rows.execute(_SNAPSHOT_TRANSACTION)
            rows.execute(f"SET TRANSACTION SNAPSHOT {name}")
        except (adbc_driver_manager.Error, psycopg.Error) as error:
            rows.close()
            doing = "take up the snapshot of the plan (is its transaction still open, on the same server?)"
            raise self.database.failure(error, doing) from error

    def row_estimate(self, cursor: Any) -> int | None:
        """The planner's number, or a guess by size for a table that was never analysed."""
        cursor.execute(
            "SELECT relkind, reltuples::bigint, pg_relation_size(oid) FROM pg_class WHERE oid = %s::regclass",
            (self.database.table,),
        )
        kind, rows, size = cursor.fetchone()
        if kind not in (b"r", b"m", "r", "m"):
            return None
        # A stale number of a table that has grown since must not make one split of it.
        return max(int(rows), int(size) // _BYTES_PER_ROW_GUESS if rows <= 0 else int(size) // 2000)

    def find_key(self, cursor: Any) -> Key | None:
        """The primary key, or the first unique index of one column."""
        cursor.execute(_UNIQUE_KEY, (self.database.table,))
        found = cursor.fetchone()
        return Key(*found) if found else None

    def key_nullable(self, cursor: Any, name: str) -> bool:
        """Whether the table's column may be null; a query's may always."""
        if not self.is_table:
            return True
        cursor.execute(
            "SELECT attnotnull FROM pg_attribute WHERE attrelid = %s::regclass AND attname = %s",
            (self.database.table, name),
        )
        found = cursor.fetchone()
        return not (found and found[0])

    def sample(self, cursor: Any, key: str, where: str, rows: int | None) -> Sample:
        """Quantiles of the keys: of some pages of a large table, of all rows otherwise."""
        pages = ""
        share = 1.0
        if rows is not None and rows > _DIRECT_ROWS:
            share = SAMPLED_ROWS / rows
            pages = f" TABLESAMPLE SYSTEM ({share * 100:.6f}) REPEATABLE (1)"
        fractions = ", ".join(f"{part / (_QUANTILES + 1):.4f}" for part in range(1, _QUANTILES + 1))
        quoted = self.database.quote(key)
        query = (
            f"SELECT count(*), (percentile_disc(ARRAY[{fractions}]) WITHIN GROUP (ORDER BY {quoted}))::text[] "
            f"FROM {self.relation}{pages}{where}"
        )
        cursor.execute(query.encode())
        count, keys = cursor.fetchone()
        return Sample(round(count / share), [self.database.literal(key) for key in keys or ()])

    def ranges_without_key(self, cursor: Any, count: int) -> Sequence[str]:
        """Ranges of pages, which PostgreSQL 14 and later read without looking at the others."""
        if cursor.connection.info.server_version < _TID_RANGE_SCANS:
            return ()
        cursor.execute(
            "SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::bigint", (self.database.table,)
        )
        (pages,) = cursor.fetchone()
        starts = sorted({pages * part // count for part in range(count)})
        tids = [f"'({start},0)'::tid" for start in starts]
        conditions = [f"ctid >= {low} AND ctid < {high}" for low, high in itertools.pairwise(tids)]
        return [*conditions, f"ctid >= {tids[-1]}"]

    def greatest(self, cursor: Any, column: str, where: str) -> str | None:
        """The greatest value as text."""
        cursor.execute(f"SELECT max({column})::text FROM {self.relation}{where}".encode())
        found: str | None = cursor.fetchone()[0]
        return found


def _field(declared: pa.Field, array: pa.Array) -> pa.Field:
    return declared if array.type == declared.type else declared.with_type(array.type)


def _tidy(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """A column as the reader's schema has it, or as text where Arrow has no such value."""
    if pa.types.is_decimal(wanted):
        return _decimal_or_text(array, wanted)
    if pa.types.is_temporal(wanted) and len(array) > array.null_count:
        return _temporal_or_text(array)
    return array


def _decimal_or_text(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    try:
        return array.cast(wanted)
    except pa.ArrowInvalid:
        return array  # NaN or infinity


def _temporal_or_text(array: pa.Array) -> pa.Array:
    numbers = array.view(pa.int32() if pa.types.is_date32(array.type) else pa.int64())
    bounds = pc.min_max(numbers)
    if pa.types.is_time(array.type):
        is_beyond = bounds["max"].as_py() >= _MIDNIGHT_AFTER
        return _spelled(array, numbers, {_MIDNIGHT_AFTER: "24:00:00"}) if is_beyond else array
    first = _FIRST_DATE if pa.types.is_date32(array.type) else _FIRST_TIMESTAMP
    return _spelled(array, numbers, _INFINITIES) if bounds["min"].as_py() < first else array


def _spelled(array: pa.Array, numbers: pa.Array, spellings: dict[int, str]) -> pa.Array:
    """The column as text, with the values that Arrow lacks, or has no text for, spelled out."""
    values = numbers.fill_null(0).to_numpy(zero_copy_only=False)
    unit = 1 if pa.types.is_date32(array.type) else _MIDNIGHT_AFTER
    beyond = (values >= _YEAR_10000 * unit) | (values < _YEAR_1 * unit)
    special = np.isin(values, list(spellings)) | (beyond if not pa.types.is_time(array.type) else False)
    texts = to_text(pc.if_else(pa.array(special), pa.scalar(None, array.type), array), timezone="UTC").to_pylist()
    for position in np.flatnonzero(special):
        number = int(values[position])
        texts[position] = spellings.get(number) or _far_text(number, array.type)
    return pa.array(texts, pa.string())


def _far_text(number: int, kind: pa.DataType) -> str:
    """A date or timestamp outside the years 1 to 9999, which are all of Python's calendar, as PostgreSQL reads it."""
    is_date = pa.types.is_date32(kind)
    if number < (_FIRST_DATE if is_date else _FIRST_TIMESTAMP):
        # Beyond the year 294246 the driver's move of the epoch wraps around.
        number += 1 << (32 if is_date else 64)
    days, microseconds = (number, 0) if is_date else divmod(number, _MIDNIGHT_AFTER)
    cycles, days = divmod(days, _DAYS_OF_400_YEARS)
    moment = datetime(1970, 1, 1) + timedelta(days=days, microseconds=microseconds)  # zone is added
    year = moment.year + 400 * cycles
    era = " BC" if year < 1 else ""
    text = f"{year if year > 0 else 1 - year:04d}-{moment:%m-%d}"
    if is_date:
        return text + era
    fraction = f".{moment:%f}".rstrip(".0")
    return f"{text} {moment:%H:%M:%S}{fraction}" + ("+00:00" if kind.tz else "") + era
