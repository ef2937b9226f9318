"""db2reader: streams tables and queries of DB2 by ibm_db, row by row, and makes Arrow batches of the columns."""

# ruff: noqa: S608 -- SQL is made here of quoted names, and of what the job itself gives as SQL
from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import ibm_db
import pyarrow as pa

from airflow_provider_flinkx.exceptions import DataError, NotFoundError
from airflow_provider_flinkx.plugins.base import Split
from airflow_provider_flinkx.plugins.db2.database import DB2, whole
from airflow_provider_flinkx.plugins.db2.types import SourceType
from airflow_provider_flinkx.plugins.relational.reader import Key, RelationalReader, SourceColumn
from airflow_provider_flinkx.plugins.relational.splits import SMALL_TABLE, Sample

BATCH_BYTES = 4 << 20
MOST_BATCH_ROWS = 16_384
#: Rows up to which all keys are looked at, and how many are drawn from larger tables.
_DIRECT_ROWS = 200_000
_SAMPLED_ROWS = 30_000
_LONGEST_KEY = 200


class DB2Reader(RelationalReader):
    """Reads a table or a query of DB2 (db2.md)."""

    database_class = DB2
    orders: ClassVar[bool] = False
    database: DB2
    _connection: Any = None
    _known: Mapping[str, SourceType] | None = None

    def describe(self, cursor: Any, names: Sequence[str] | None) -> Sequence[SourceColumn]:
        """Look the columns up in the catalog, those of a query in its result."""
        known = self._types(cursor)
        columns = []
        for written in known if names is None else names:
            name = self.database.column_name(written, known)
            if name not in known:
                message = f"{self.source_label} has no column {written}; it has {', '.join(known)}"
                raise self.database.error(NotFoundError, message)
            kind = known[name]
            field = pa.field(written, kind.arrow, metadata={"source_type": kind.name.lower()})
            columns.append(SourceColumn(name, kind.expression(self.database.quote(name)), field, kind.is_number))
        return columns

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
                self.close()

    def stream(self, statement: str) -> Iterator[pa.RecordBatch]:
        """Batches of about 4 MB.

        The driver's fetch of many rows leaves out a row that it cannot convert; its fetch of one row raises.
        """
        if self._connection is None:
            self._connection = self.database.connect()
        handle = self._connection.conn_handler
        seconds = int(self.parameter.get("queryTimeOut") or 0)
        prepared = ibm_db.prepare(handle, whole(statement), {ibm_db.SQL_ATTR_QUERY_TIMEOUT: seconds} if seconds else {})
        try:
            ibm_db.execute(prepared)
            for rows in _chunks(prepared, self._batch_rows):
                yield self._batch(rows)
            # It tells no error either when it no longer knows the statement; then this is 0.
            if not ibm_db.num_fields(prepared):
                raise self.database.error(DataError, f"read {self.source_label}: the driver lost the statement")
        finally:
            with contextlib.suppress(Exception):  # the server may be gone
                ibm_db.free_stmt(prepared)
        ibm_db.commit(handle)

    def close(self) -> None:
        """Close the connection that rows are read by."""
        if self._connection is not None:
            with contextlib.suppress(Exception):  # the server may be gone
                self._connection.close()
            self._connection = None

    def stored_column(self, cursor: Any, written: str) -> str:
        """The column as DB2 spells it."""
        return self.database.column_name(written, self._types(cursor))

    def row_estimate(self, cursor: Any) -> int | None:
        """The number of the last RUNSTATS; a count where there is none, or where it is small and may be old."""
        rows = self.database.cardinality(cursor)
        if rows is None or rows >= SMALL_TABLE:
            return rows
        cursor.execute(f"SELECT COUNT(*) FROM {self.database.table}")
        return int(cursor.fetchone()[0])

    def find_key(self, cursor: Any) -> Key | None:
        """The primary key, or the first unique index of one column that has an order."""
        for name, *others in self.database.unique_keys(cursor):
            if not others and self._types(cursor)[name].has_order:
                return Key(name, self.key_nullable(cursor, name))
        return None

    def key_nullable(self, cursor: Any, name: str) -> bool:
        """Whether the table's column may be null; a query's may always."""
        if not self.is_table:
            return True
        return all(column.nulls == "Y" for column in self.database.table_columns(cursor) if column.name == name)

    def sample(self, cursor: Any, key: str, where: str, rows: int | None) -> Sample:
        """Keys in the server's order: all of a small table, those of some pages of a large one."""
        kind, quoted = self._types(cursor).get(key), self.database.quote(key)
        if kind is None:
            raise self.database.error(NotFoundError, f"splitPk {key}: {self.source_label} has no such column")
        if not kind.has_order:
            return Sample(rows or 0, ())
        share = _SAMPLED_ROWS / rows if rows is not None and rows > _DIRECT_ROWS else 1.0
        drawn = f" TABLESAMPLE SYSTEM ({share * 100:.6f}) REPEATABLE (1)" if share < 1 else ""
        cursor.execute(f"SELECT {kind.expression(quoted)} FROM {self.relation}{drawn}{where} ORDER BY {quoted}")
        keys = [key for (key,) in cursor.fetchall()]
        short = [key for key in keys if not isinstance(key, (str, bytes)) or len(key) <= _LONGEST_KEY]
        return Sample(round(len(keys) / share), [kind.key_literal(key) for key in short])

    def greatest(self, cursor: Any, column: str, where: str) -> str | None:
        """The greatest value as text."""
        name = column[1:-1].replace('""', '"')
        kind = self._types(cursor)[name]
        cursor.execute(f"SELECT {kind.expression(f'MAX({column})')} FROM {self.relation}{where}")
        (found,) = cursor.fetchone()
        return None if found is None else str(kind.array([found]).cast(pa.string())[0].as_py())

    def key_literal(self, name: str, text: str) -> str:
        """A number as it is, any other value in quotes."""
        column = next(column for column in self.selected if column.name == name)
        if column.numeric:
            float(text)
            return text
        return self.database.literal(text)

    @property
    def _batch_rows(self) -> int:
        if wanted := int(self.parameter.get("fetchSize") or 0):
            return min(wanted, MOST_BATCH_ROWS)
        known = self._known or {}
        size = sum(known[column.name].bytes_at_most for column in self.selected)
        return max(16, min(MOST_BATCH_ROWS, BATCH_BYTES // max(1, size)))

    def _batch(self, rows: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
        known = self._known or {}
        arrays, fields = [], []
        for column, values in zip(self.selected, zip(*rows, strict=True)):  # noqa: B905  # `SELECT 1` for constants only
            if pa.types.is_string(column.field.type) and any(isinstance(value, bytes) for value in values):
                message = f"column {column.name} of customSql is FOR BIT DATA: write CAST({column.name} AS BLOB) there"
                raise self.database.error(DataError, message)
            array = known[column.name].array(values)
            arrays.append(array)
            fields.append(column.field.with_type(array.type))
        if not arrays:
            return pa.RecordBatch.from_arrays([pa.nulls(len(rows))], names=["1"])
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))

    def _types(self, cursor: Any) -> Mapping[str, SourceType]:
        """All columns of the table or query."""
        if self._known is None:
            self._known = self._table_types(cursor) if self.is_table else self._query_types(cursor)
        return self._known

    def _table_types(self, cursor: Any) -> Mapping[str, SourceType]:
        found = {
            column.name: SourceType(column.type_name, column.length, column.scale, column.code_page == 0)
            for column in self.database.table_columns(cursor)
        }
        if not found:
            raise self.database.error(NotFoundError, f"there is no {self.source_label}")
        return found

    def _query_types(self, cursor: Any) -> Mapping[str, SourceType]:
        cursor.execute(f"SELECT * FROM {self.relation} WHERE 1 = 0")
        statement = cursor.stmt_handler
        places = range(ibm_db.num_fields(statement))
        return {ibm_db.field_name(statement, place): SourceType.of_result(statement, place) for place in places}


def _chunks(statement: Any, size: int) -> Iterator[list[tuple[Any, ...]]]:
    rows: list[tuple[Any, ...]] = []
    while row := ibm_db.fetch_tuple(statement):
        rows.append(row)
        if len(rows) == size:
            yield rows
            rows = []
    if rows:
        yield rows
