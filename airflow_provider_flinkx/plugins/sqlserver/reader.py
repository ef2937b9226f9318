"""sqlserverreader: streams tables and queries of SQL Server as Arrow batches by mssql-python."""

# ruff: noqa: S608 -- SQL is made here of quoted names, and of what the job itself gives as SQL
from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_flinkx.exceptions import DataError, JobInvalidError, NotFoundError
from airflow_provider_flinkx.plugins.base import Split
from airflow_provider_flinkx.plugins.conversion import convert, to_text
from airflow_provider_flinkx.plugins.relational.channel_snapshots import ChannelSnapshotReader
from airflow_provider_flinkx.plugins.relational.fitting import with_texts
from airflow_provider_flinkx.plugins.relational.reader import Key, SourceColumn
from airflow_provider_flinkx.plugins.relational.splits import Sample
from airflow_provider_flinkx.plugins.sqlserver.database import SQLServer
from airflow_provider_flinkx.plugins.sqlserver.driver import mssql_python
from airflow_provider_flinkx.plugins.sqlserver.types import SourceType

#: Bytes per batch, and rows of the first one, which tells how long rows are.
BATCH_BYTES = 4 << 20
FIRST_ROWS = 1_000
MOST_ROWS = 65_536
SAMPLED_ROWS = 30_000
_DIRECT_ROWS = 200_000
_QUANTILES = 1_000

_UNIQUE_KEYS = """
SELECT MIN(c.name), MAX(CASE WHEN c.is_nullable = 1 THEN 1 ELSE 0 END)
FROM {sys}.indexes i
JOIN {sys}.index_columns ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id AND ic.key_ordinal > 0
JOIN {sys}.columns c ON c.object_id = ic.object_id AND c.column_id = ic.column_id
WHERE i.object_id = OBJECT_ID({table}) AND i.is_unique = 1 AND i.has_filter = 0 AND i.is_disabled = 0
GROUP BY i.index_id, i.is_primary_key HAVING COUNT(*) = 1
ORDER BY i.is_primary_key DESC, i.index_id
"""
_ROWS = """
SELECT SUM(p.rows) FROM {sys}.partitions p JOIN {sys}.tables t ON t.object_id = p.object_id
WHERE p.object_id = OBJECT_ID({table}) AND p.index_id IN (0, 1)
"""
_SNAPSHOTS = "SELECT name, snapshot_isolation_state_desc FROM sys.databases WHERE name = {name}"


class SQLServerReader(ChannelSnapshotReader):
    """Reads a table or a query of SQL Server (sqlserver.md)."""

    database_class = SQLServer
    orders: ClassVar[bool] = False
    database: SQLServer
    _types: Mapping[str, SourceType] = {}

    def describe(self, cursor: Any, names: Sequence[str] | None) -> Sequence[SourceColumn]:
        """Ask the server for the types of the query's columns."""
        found = self._described_types(cursor, "*" if names is None else ", ".join(map(self.database.quote, names)))
        unreadable = [name for name, kind in found if not kind.is_readable]
        if unreadable:
            raise JobInvalidError(
                [f"column {unreadable[0]} is a sql_variant, whose rows have types of their own: cast it in customSql"]
            )
        self._types = dict(found)
        return [
            SourceColumn(
                name,
                kind.expression(self.database.quote(name)),
                pa.field(name, kind.arrow, metadata={"source_type": kind.name}),
                kind.is_number,
            )
            for name, kind in found
        ]

    def expressions(self) -> list[str]:
        """The columns, and behind them the exact texts of values that Arrow cannot hold."""
        texts = [text for _, text in self._exact_texts()]
        return [*super().expressions(), *(f"{text} AS [flinkx {place}]" for place, text in enumerate(texts))]

    @property
    def relation(self) -> str:
        """The table, read without locks if the job wants that, or the query."""
        return self._table() if self.is_table else super().relation

    def read(self, split: Split) -> Iterator[Any]:
        """Stream the rows of a split."""
        complete = False
        try:
            yield from super().read(split)
            complete = True
        except Exception as error:
            raise self.database.failure(error, f"read {self.source_label}") from error
        finally:
            if not complete:
                self.give_up()  # a half-read result occupies its connection

    def stream(self, statement: str) -> Iterator[pa.RecordBatch]:
        """Batches of about 4 MB; values that Arrow lacks turn their column of the batch into text."""
        texts_of = [place for place, _ in self._exact_texts()]
        with contextlib.closing((self.channel() if self.snapshot else self.rows_connection()).cursor()) as cursor:
            self._execute(cursor, statement)
            for batch in self._batches(cursor):
                yield self._tidy(batch, texts_of)

    def check_snapshots(self, cursor: Any) -> None:
        """Snapshots must be allowed in the table's database, and locks' hints would read past them."""
        if self.parameter.get("withNoLock"):
            raise JobInvalidError(["consistent: cannot go with withNoLock, which reads outside of the snapshot"])
        place = self.database.table_name[-3:-2] if self.is_table else ()
        cursor.execute(_SNAPSHOTS.format(name=self.database.literal(place[0]) if place else "DB_NAME()"))
        found = cursor.fetchone()
        if found and found[1] != "ON":
            told = f"consistent: snapshots are not allowed in database {found[0]}; its owner allows them by ALTER "
            told += f"DATABASE {self.database.quote(found[0])} SET ALLOW_SNAPSHOT_ISOLATION ON, or leave consistent out"
            raise self.database.error(DataError, told)

    def begin_channel(self) -> Any:
        """A transaction whose snapshot begins with what it reads first."""
        connection = self.connect_rows()
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
            cursor.execute("BEGIN TRANSACTION")
        return connection

    def connect_rows(self) -> Any:
        """A connection that does not wait longer than the job says."""
        connection = self.database.connect()
        connection.autocommit = True
        connection.timeout = int(self.parameter.get("queryTimeOut") or 0)
        return connection

    def row_estimate(self, cursor: Any) -> int | None:
        """The number that the server keeps with each table."""
        cursor.execute(_ROWS.format(sys=self.database.catalog, table=self.database.literal(self.database.table)))
        found = cursor.fetchone()[0]
        return None if found is None else int(found)

    def find_key(self, cursor: Any) -> Key | None:
        """The primary key, or the first unique index of one column that has an order."""
        cursor.execute(_UNIQUE_KEYS.format(sys=self.database.catalog, table=self.database.literal(self.database.table)))
        for name, nullable in cursor.fetchall():
            if self._type_of(cursor, name).has_order:
                return Key(name, bool(nullable))
        return None

    def key_nullable(self, cursor: Any, name: str) -> bool:
        """Whether the table's column may be null; a query's may always."""
        if not self.is_table:
            return True
        cursor.execute(
            f"SELECT is_nullable FROM {self.database.catalog}.columns WHERE object_id = "
            f"OBJECT_ID({self.database.literal(self.database.table)}) AND name = {self.database.literal(name)}"
        )
        found = cursor.fetchone()
        return not found or bool(found[0])

    def sample(self, cursor: Any, key: str, where: str, rows: int | None) -> Sample:
        """Quantiles of the keys: of some pages of a large table, of all rows otherwise."""
        kind, quoted = self._type_of(cursor, key), self.database.quote(key)
        if not kind.has_order:
            return Sample(rows or 0, ())
        share = SAMPLED_ROWS / rows if rows is not None and rows > _DIRECT_ROWS else 1.0
        source = self._table(share) if share < 1 else self.relation
        numbered = (
            f"SELECT {quoted} AS k, ROW_NUMBER() OVER (ORDER BY {kind.order(quoted)}) AS n, "
            f"COUNT_BIG(*) OVER () AS total FROM {source}{where}"
        )
        cursor.execute(
            f"SELECT {kind.key_text('k')}, total FROM ({numbered}) numbered "
            f"WHERE n * {_QUANTILES} / total <> (n - 1) * {_QUANTILES} / total ORDER BY n"
        )
        found = cursor.fetchall()
        total = int(found[0][1]) if found else 0
        return Sample(round(total / share), [kind.literal(str(text)) for text, _ in found])

    def greatest(self, cursor: Any, column: str, where: str) -> str | None:
        """The greatest value as text."""
        name = next(found.name for found in self.selected if self.database.quote(found.name) == column)
        kind, value = self._types[name], f"MAX({column})"
        if kind.name == "datetimeoffset":
            value = f"SWITCHOFFSET({value}, '+00:00')"
        cursor.execute(f"SELECT {kind.key_text(value)} FROM {self.relation}{where}")
        found = cursor.fetchone()[0]
        return None if found is None else str(found).replace(" +", "+")

    def key_literal(self, name: str, text: str) -> str:
        """A value of a column as a literal of its type."""
        return self._types[name].literal(text)

    def _table(self, share: float = 1.0) -> str:
        sampled = f" TABLESAMPLE SYSTEM ({share * 100:.6f} PERCENT) REPEATABLE (1)" if share < 1 else ""
        return f"{self.database.table}{sampled}{' WITH (NOLOCK)' if self.parameter.get('withNoLock') else ''}"

    def _exact_texts(self) -> list[tuple[int, str]]:
        """Places of the columns whose values Arrow may not hold, and what gives their texts."""
        found = []
        for place, column in enumerate(self.selected):
            text = self._types[column.name].exact_text(self.database.quote(column.name))
            if text is not None:
                found.append((place, text))
        return found

    def _type_of(self, cursor: Any, name: str) -> SourceType:
        return self._described_types(cursor, self.database.quote(name))[0][1]

    def _described_types(self, cursor: Any, columns: str) -> list[tuple[str, SourceType]]:
        query = self.database.literal(f"SELECT {columns} FROM {self.relation}")
        cursor.execute(
            "SELECT name, COALESCE(system_type_name, user_type_name), error_number, error_message "
            f"FROM sys.dm_exec_describe_first_result_set({query}, NULL, 0)"
        )
        rows = cursor.fetchall()
        failed = next((row for row in rows if row[2] is not None), None)
        if failed is not None:
            raise self.database.statement_failure(int(failed[2]), str(failed[3]), f"read {self.source_label}")
        if not rows:
            raise self.database.error(NotFoundError, f"{self.source_label} has no columns")
        return [(str(row[0]), SourceType.of(str(row[1]))) for row in rows]

    def _execute(self, cursor: Any, statement: str) -> None:
        """Run a query. The driver's timeout ends with the first rows, as FlinkX's does (job.md §13)."""
        seconds = self.parameter.get("queryTimeOut") or 0
        try:
            cursor.execute(statement)
        except mssql_python.OperationalError as error:
            if "Timeout expired" not in str(error):
                raise
            message = f"read {self.source_label}: no rows within {seconds} s, which is the queryTimeOut"
            raise self.database.error(DataError, message) from error

    def _batches(self, cursor: Any) -> Iterator[pa.RecordBatch]:
        size = int(self.parameter.get("fetchSize") or FIRST_ROWS)
        while (batch := cursor.arrow_batch(size)).num_rows:
            if not self.parameter.get("fetchSize"):
                size = max(16, min(MOST_ROWS, BATCH_BYTES * batch.num_rows // max(batch.nbytes, 1)))
            yield batch

    def _tidy(self, batch: pa.RecordBatch, texts_of: Sequence[int]) -> pa.RecordBatch:
        """The columns as the reader's schema has them, or as text where Arrow has no such value."""
        columns = self.selected
        if not columns:
            return batch
        arrays = [_column(array, column.field.type) for array, column in zip(batch.columns, columns)]  # noqa: B905
        for place, texts in zip(texts_of, batch.columns[len(columns) :], strict=True):
            arrays[place] = _with_exact_texts(arrays[place], texts.cast(pa.string()))
        fields = [column.field.with_type(array.type) for column, array in zip(columns, arrays, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _column(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    if array.type.equals(wanted):
        return array
    if pa.types.is_timestamp(wanted) and wanted.tz and pa.types.is_timestamp(array.type) and array.type.tz:
        return array.view(pa.timestamp(array.type.unit, "UTC")).cast(wanted)  # the driver calls UTC +00:00
    if pa.types.is_time(wanted):
        times, failures = convert(array.cast(pa.time64("ns")), wanted, timezone="UTC")
        return to_text(array, timezone="UTC") if failures else times
    return array.cast(wanted)


def _with_exact_texts(array: pa.Array, texts: pa.Array) -> pa.Array:
    """The column as text, where at least one of its values has an exact text of its own."""
    places = np.flatnonzero(texts.is_valid().to_numpy(zero_copy_only=False))
    if not len(places):
        return array
    canonical = pc.replace_substring_regex(pc.replace_substring(texts, " +", "+"), " -", "-")
    canonical = pc.replace_substring_regex(canonical, r"(\.\d*?)0+([+-]|$)", r"\1\2")
    canonical = pc.replace_substring_regex(canonical, r"\.([+-]|$)", r"\1")
    return with_texts(to_text(array, timezone="UTC"), canonical, places.tolist())
