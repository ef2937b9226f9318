"""db2reader: streams tables and queries of DB2 by ibm_db, row by row, and makes Arrow batches of the columns."""

# ruff: noqa: S608 -- SQL is made here of quoted names, and of what the job itself gives as SQL
from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ibm_db
import pyarrow as pa

from airflow_provider_flinkx.exceptions import DataError, NotFoundError
from airflow_provider_flinkx.plugins.db2.database import DB2, whole
from airflow_provider_flinkx.plugins.db2.types import SourceType
from airflow_provider_flinkx.plugins.relational.described import DescribedReader
from airflow_provider_flinkx.plugins.relational.splits import SMALL_TABLE


class DB2Reader(DescribedReader[SourceType]):
    """Reads a table or a query of DB2 (db2.md)."""

    database_class = DB2
    database: DB2

    def describe_all(self, cursor: Any) -> Mapping[str, SourceType]:
        """Look the columns of a table up in the catalog, those of a query in its result."""
        return self._table_types(cursor) if self.is_table else self._query_types(cursor)

    def unique_keys(self, cursor: Any) -> Sequence[Sequence[str]]:
        """Columns of the table's unique indexes."""
        return self.database.unique_keys(cursor)

    def sample_clause(self, percent: float) -> str:
        """Some pages of the table."""
        return f"TABLESAMPLE SYSTEM ({percent:.6f}) REPEATABLE (1)"

    def connect_rows(self) -> Any:
        """A connection as any other."""
        return self.database.connect()

    def stream(self, statement: str) -> Iterator[pa.RecordBatch]:
        """Batches of about 4 MB.

        The driver's fetch of many rows leaves out a row that it cannot convert; its fetch of one row raises.
        """
        handle = self.rows_connection().conn_handler
        seconds = int(self.parameter.get("queryTimeOut") or 0)
        prepared = ibm_db.prepare(handle, whole(statement), {ibm_db.SQL_ATTR_QUERY_TIMEOUT: seconds} if seconds else {})
        try:
            ibm_db.execute(prepared)
            for rows in _chunks(prepared, self.batch_rows):
                yield self._batch(rows)
            # It tells no error either when it no longer knows the statement; then this is 0.
            if not ibm_db.num_fields(prepared):
                raise self.database.error(DataError, f"read {self.source_label}: the driver lost the statement")
        finally:
            with contextlib.suppress(Exception):  # the server may be gone
                ibm_db.free_stmt(prepared)
        ibm_db.commit(handle)

    def row_estimate(self, cursor: Any) -> int | None:
        """The number of the last RUNSTATS; a count where there is none, or where it is small and may be old."""
        rows = self.database.cardinality(cursor)
        if rows is None or rows >= SMALL_TABLE:
            return rows
        cursor.execute(f"SELECT COUNT(*) FROM {self.database.table}")
        return int(cursor.fetchone()[0])

    def key_nullable(self, cursor: Any, name: str) -> bool:
        """Whether the table's column may be null; a query's may always."""
        if not self.is_table:
            return True
        return all(column.nulls == "Y" for column in self.database.table_columns(cursor) if column.name == name)

    def greatest(self, cursor: Any, column: str, where: str) -> str | None:
        """The greatest value as text."""
        kind = self.type_of_quoted(cursor, column)
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

    def _batch(self, rows: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
        arrays, fields = [], []
        # `SELECT 1` for constants only has no column.
        for column, kind, values in zip(self.selected, self.kinds, zip(*rows, strict=True)):  # noqa: B905
            if pa.types.is_string(column.field.type) and any(isinstance(value, bytes) for value in values):
                message = f"column {column.name} of customSql is FOR BIT DATA: write CAST({column.name} AS BLOB) there"
                raise self.database.error(DataError, message)
            array = kind.array(values)
            arrays.append(array)
            fields.append(column.field.with_type(array.type))
        if not arrays:
            return pa.RecordBatch.from_arrays([pa.nulls(len(rows))], names=["1"])
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))

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
