"""mysqlreader: streams tables and queries of MySQL and MariaDB as Arrow batches by connectorx."""

# ruff: noqa: S608 -- SQL is made here of quoted names, and of what the job itself gives as SQL
from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import connectorx
import pyarrow as pa
import pyarrow.compute as pc
import pymysql
import pymysql.cursors

from airflow_provider_flinkx.exceptions import DataError
from airflow_provider_flinkx.plugins.base import Split
from airflow_provider_flinkx.plugins.conversion import convert, fallback_text
from airflow_provider_flinkx.plugins.mysql.database import SESSION, MySQL
from airflow_provider_flinkx.plugins.mysql.types import SourceType
from airflow_provider_flinkx.plugins.relational.channel_snapshots import ChannelSnapshotReader
from airflow_provider_flinkx.plugins.relational.reader import Key, SourceColumn
from airflow_provider_flinkx.plugins.relational.splits import SMALL_TABLE, Sample

#: Bytes and rows per batch; the driver counts rows, so the bytes are a matter of the table's average.
BATCH_BYTES = 4 << 20
MOST_BATCH_ROWS = 65_536
QUERY_BATCH_ROWS = 16_384
SAMPLED_ROWS = 20_000
#: `ORDER BY` looks at the first 1024 bytes of a text only (max_sort_length), comparisons at all of them.
_LONGEST_KEY = 200

_TABLE = """
SELECT TABLE_ROWS, AVG_ROW_LENGTH FROM information_schema.TABLES
WHERE TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND TABLE_NAME = %s AND TABLE_TYPE = 'BASE TABLE'
"""
_ENGINE = """
SELECT ENGINE FROM information_schema.TABLES
WHERE TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND TABLE_NAME = %s AND TABLE_TYPE = 'BASE TABLE'
"""
#: Engines whose rows a consistent snapshot covers.
_SNAPSHOT_ENGINES = frozenset({"innodb", "rocksdb"})
_UNIQUE_KEYS = """
SELECT MIN(COLUMN_NAME), MAX(NULLABLE) = 'YES' FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND TABLE_NAME = %s AND NON_UNIQUE = 0
GROUP BY INDEX_NAME HAVING COUNT(*) = 1 AND COUNT(SUB_PART) = 0 AND COUNT(COLUMN_NAME) = 1
ORDER BY INDEX_NAME = 'PRIMARY' DESC, INDEX_NAME
"""
_NULLABLE = """
SELECT IS_NULLABLE = 'YES' FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND TABLE_NAME = %s AND COLUMN_NAME = %s
"""


class MySQLReader(ChannelSnapshotReader):
    """Reads a table or a query of MySQL or MariaDB (mysql.md)."""

    database_class = MySQL
    orders: ClassVar[bool] = False
    database: MySQL
    _types: Mapping[str, SourceType] = {}
    _batch_rows: int = QUERY_BATCH_ROWS

    def describe(self, cursor: Any, names: Sequence[str] | None) -> Sequence[SourceColumn]:
        """Ask the server for the types of the query's columns."""
        types = self._field_types(cursor, "*" if names is None else ", ".join(map(self.database.quote, names)))
        self._batch_rows = self._fitting_rows(cursor)
        columns = []
        for name, kind in types:
            field = pa.field(name, kind.arrow, metadata={"source_type": kind.name})
            columns.append(SourceColumn(name, kind.expression(self.database.quote(name)), field, kind.is_number))
        return columns

    def read(self, split: Split) -> Iterator[Any]:
        """Stream the rows of a split."""
        try:
            yield from super().read(split)
        except Exception as error:
            raise self.database.failure(error, f"read {self.source_label}") from error
        except BaseException as error:
            # The driver panics, outside of Exception, when the server ends a query with an error.
            if type(error).__name__ != "PanicException":
                raise
            raise self.database.failure(error, f"read {self.source_label}") from None

    def stream(self, statement: str) -> Iterator[pa.RecordBatch]:
        """Batches of about 4 MB; dates and times that are none turn their column of the batch into text."""
        columns = self.selected
        if self.snapshot:
            rows_of = self._rows_in_snapshot
        else:
            rows_of = self._rows_by_pymysql if self.database.needs_encryption() else self._rows_by_connectorx
        mark = f"flinkx {uuid.uuid4().hex}"
        nulls_for_zeros = self.database.settings.get("zerodatetimebehavior", "").lower().replace("_", "")
        with self.first_rows_deadline(lambda seconds: self.database.cancel_later(mark, seconds)) as deadline:
            for batch in rows_of(f"{statement} /* {mark} */"):
                deadline.met()
                arrays = [
                    _tidy(array, column.field.type, nulls_for_zeros == "converttonull")
                    for array, column in zip(batch.columns, columns)  # noqa: B905  # `SELECT 1` for constants only
                ]
                fields = [column.field.with_type(array.type) for column, array in zip(columns, arrays, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)) if fields else batch
            deadline.met()

    def check_snapshots(self, cursor: Any) -> None:
        """Tables of some engines have none."""
        if self.is_table:
            cursor.execute(_ENGINE, self.database.table_place)
            found = cursor.fetchone()
            if found and str(found[0]).lower() not in _SNAPSHOT_ENGINES:
                told = f"consistent: {self.source_label} is of the engine {found[0]}, which has no snapshots"
                raise self.database.error(DataError, told)

    def begin_channel(self) -> pymysql.Connection[Any]:
        """A transaction whose snapshot begins now."""
        connection = self.database.connect()
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        return connection

    def row_estimate(self, cursor: Any) -> int | None:
        """The engine's own estimate; a small one is checked, because it may be old."""
        cursor.execute(_TABLE, self.database.table_place)
        found = cursor.fetchone()
        if found is None or found[0] is None:
            return None
        if found[0] >= SMALL_TABLE:
            return int(found[0])
        cursor.execute(f"SELECT COUNT(*) FROM (SELECT 1 FROM {self.database.table} LIMIT {SMALL_TABLE}) t")
        return max(int(found[0]), int(cursor.fetchone()[0]))

    def find_key(self, cursor: Any) -> Key | None:
        """The primary key, or the first unique index of one column that has an order."""
        cursor.execute(_UNIQUE_KEYS, self.database.table_place)
        for name, nullable in cursor.fetchall():
            if self._type_of(cursor, name).has_order:
                return Key(name, bool(nullable))
        return None

    def key_nullable(self, cursor: Any, name: str) -> bool:
        """Whether the table's column may be null; a query's may always."""
        if not self.is_table:
            return True
        cursor.execute(_NULLABLE, (*self.database.table_place, name))
        found = cursor.fetchone()
        return not found or bool(found[0])

    def sample(self, cursor: Any, key: str, where: str, rows: int | None) -> Sample:
        """Keys drawn at random, put in order by the server."""
        kind, quoted = self._type_of(cursor, key), self.database.quote(key)
        if not kind.has_order:
            return Sample(rows or 0, ())
        if rows is None:
            # A query's keys may be more than the memory holds; how many there are, only a count tells.
            cursor.execute(f"SELECT COUNT(*) FROM {self.relation}{where}")
            rows = int(cursor.fetchone()[0])
        share = min(1.0, SAMPLED_ROWS / max(1, rows))
        drawn = f" AND RAND(1) < {share:.9f}" if share < 1 else ""
        cursor.execute(f"SELECT {kind.key_text(quoted)} FROM {self.relation}{where}{drawn} ORDER BY {quoted}")
        keys = [_text(key) for (key,) in cursor.fetchall()]
        literals = [self._literal(kind, key) for key in keys if len(key) <= _LONGEST_KEY]
        return Sample(round(len(keys) / share), literals)

    def greatest(self, cursor: Any, column: str, where: str) -> str | None:
        """The greatest value as text."""
        cursor.execute(f"SELECT CAST(MAX({column}) AS CHAR) FROM {self.relation}{where}")
        (found,) = cursor.fetchone()
        return None if found is None else _text(found)

    def key_literal(self, name: str, text: str) -> str:
        """A number as it is, any other value in quotes."""
        column = next(column for column in self.selected if column.name == name)
        return _number(text) if column.numeric else self.database.literal(text.removesuffix("+00:00"))

    def _literal(self, kind: SourceType, text: str) -> str:
        if kind.is_binary:
            return f"x'{text}'"
        return _number(text) if kind.is_number else self.database.literal(text)

    def _type_of(self, cursor: Any, name: str) -> SourceType:
        return self._field_types(cursor, self.database.quote(name))[0][1]

    def _field_types(self, cursor: Any, columns: str) -> list[tuple[str, SourceType]]:
        cursor.execute(f"SELECT {columns} FROM {self.relation} LIMIT 0")
        # The DB-API's description leaves out flags and character set.
        return [(field.name, SourceType.of(field)) for field in cursor._result.fields]

    def _fitting_rows(self, cursor: Any) -> int:
        """Rows of a batch of BATCH_BYTES, by the table's average."""
        if not self.is_table:
            return QUERY_BATCH_ROWS
        cursor.execute(_TABLE, self.database.table_place)
        found = cursor.fetchone()
        if found is None or not found[1]:
            return QUERY_BATCH_ROWS
        return max(16, min(MOST_BATCH_ROWS, BATCH_BYTES // int(found[1])))

    def _rows_by_connectorx(self, statement: str) -> Iterator[pa.RecordBatch]:
        # `needs_encryption` has logged in just now: this driver tries for half a minute to reach a server that is gone.
        yield from connectorx.read_sql(
            self.database.url,
            statement,
            return_type="arrow_stream",
            protocol="binary",
            batch_size=self._batch_rows,
            pre_execution_query=[*SESSION, *self.database.session],
        )

    def _rows_by_pymysql(self, statement: str) -> Iterator[pa.RecordBatch]:
        """The slower way, for encrypted connections, which connectorx does not make."""
        with contextlib.closing(self.database.connect()) as connection:
            yield from self._rows_of(connection, statement)

    def _rows_in_snapshot(self, statement: str) -> Iterator[pa.RecordBatch]:
        yield from self._rows_of(self.channel(), statement)

    def _rows_of(self, connection: pymysql.Connection[Any], statement: str) -> Iterator[pa.RecordBatch]:
        # Without decoders values stay as the server wrote them: text, or bytes in binary columns.
        connection.decoders = {}
        with connection.cursor(pymysql.cursors.SSCursor) as cursor:
            cursor.execute(statement)
            names = [field[0] for field in cursor.description]
            while rows := cursor.fetchmany(self._batch_rows):
                arrays = [pa.array(values) for values in zip(*rows, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, names=names)


def _tidy(array: pa.Array, wanted: pa.DataType, nulls_for_zeros: bool) -> pa.Array:
    """A column as the reader's schema has it, or as text where Arrow has no such value."""
    if array.type.equals(wanted):
        return array
    if nulls_for_zeros and pa.types.is_string(array.type) and pa.types.is_temporal(wanted):
        array = pc.if_else(pc.starts_with(array, "0000-00-00"), pa.scalar(None, pa.string()), array)
    if pa.types.is_time(wanted):
        times, failures = convert(array, wanted, timezone="UTC")
        return fallback_text(array, wanted) if failures else times
    try:
        if pa.types.is_timestamp(wanted):
            return array.cast(pa.timestamp("us")).cast(wanted)
        if pa.types.is_boolean(wanted):
            return array.cast(pa.uint64()).cast(wanted)
        return array.cast(wanted)
    except pa.ArrowInvalid:
        if pa.types.is_temporal(wanted):
            return fallback_text(array, wanted)  # a date of zeros, a time of more than a day
        raise


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, (bytes, bytearray)) else str(value)


def _number(text: str) -> str:
    """The text of a number, to stand in a statement as it is."""
    float(text)
    return text
