"""oraclereader: streams tables and queries of Oracle as the Arrow batches that python-oracledb makes."""

# ruff: noqa: S608 -- SQL is made here of quoted names, and of what the job itself gives as SQL
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import oracledb
import pyarrow as pa

from airflow_provider_flinkx.exceptions import DataError
from airflow_provider_flinkx.plugins.oracle.database import Oracle
from airflow_provider_flinkx.plugins.oracle.types import SourceType
from airflow_provider_flinkx.plugins.relational.described import DescribedReader
from airflow_provider_flinkx.plugins.relational.splits import SMALL_TABLE


class OracleReader(DescribedReader[SourceType]):
    """Reads a table or a query of Oracle (oracle.md)."""

    database_class = Oracle
    database: Oracle
    snapshots_last = True

    def describe_all(self, cursor: Any) -> Mapping[str, SourceType]:
        """Ask the server for the types of the query's columns."""
        cursor.execute(f"SELECT * FROM {self.relation} WHERE 1 = 0")
        return {column.name: SourceType.of(column) for column in cursor.description}

    def unique_keys(self, cursor: Any) -> Sequence[Sequence[str]]:
        """Columns of the table's unique indexes."""
        return self.database.unique_keys(cursor)

    def sample_clause(self, percent: float) -> str:
        """Some blocks of the table."""
        return f"SAMPLE BLOCK ({percent:.6f}) SEED (1)"

    def check_readable(self, name: str, kind: SourceType) -> None:
        """Objects, collections, cursors and BFILE cannot be read."""
        if not kind.is_known:
            message = f"column {name} has the type {kind.name}, which cannot be read; leave it out of column"
            raise self.database.error(DataError, message)

    @property
    def doing(self) -> str:
        """What a message says was tried when a split could not be read."""
        return super().doing + (f" as of SCN {self._scn}" if self._scn else "")

    @property
    def relation(self) -> str:
        """The table, as of the snapshot if there is one, or the query."""
        return f"{self.database.table} AS OF SCN {self._scn}" if self._scn and self.is_table else super().relation

    def hold_snapshot(self, cursor: Any) -> tuple[str, Callable[[], None] | None]:
        """The SCN of now; nothing is held, because the server keeps old rows for its UNDO_RETENTION."""
        scn = self.database.current_scn(cursor)
        self.join_held_snapshot(cursor, scn)
        return scn, None

    def join_held_snapshot(self, cursor: Any, name: str) -> None:
        """Look whether the table can be read as of the SCN."""
        if self.is_table:
            self.database.check_flashback(cursor, name)

    def connect_rows(self) -> Any:
        """A session, which has gone back to the snapshot where a query cannot say so."""
        connection = self.database.connect()
        if self._scn and not self.is_table:
            self._go_back(connection)
        return connection

    def stream(self, statement: str) -> Iterator[pa.RecordBatch]:
        """Batches of about 4 MB; values that Arrow lacks turn their column of the batch into text."""
        connection, columns, kinds = self.rows_connection(), self.selected, self.kinds
        if seconds := int(self.parameter.get("queryTimeOut") or 0):
            # It counts for each answer of the server: the time that the writer takes is not in it.
            connection.call_timeout = seconds * 1000
        wanted = pa.schema([pa.field(column.name, kind.fetched) for column, kind in zip(columns, kinds, strict=True)])
        frames = connection.fetch_df_batches(
            statement, size=self.batch_rows, requested_schema=wanted if columns else None
        )
        for frame in frames:
            for rows in pa.table(frame).to_batches():
                arrays = [kind.array(array) for kind, array in zip(kinds, rows.columns)]  # noqa: B905
                fields = [column.field.with_type(array.type) for column, array in zip(columns, arrays, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)) if fields else rows

    def row_estimate(self, cursor: Any) -> int | None:
        """The number of the last statistics; a count where there is none, or where it is small and may be old."""
        place = self.database.place(cursor)
        if place is None:
            return None
        cursor.execute("SELECT NUM_ROWS FROM ALL_TABLES WHERE OWNER = :1 AND TABLE_NAME = :2", list(place))
        found = cursor.fetchone()
        if found and found[0] is not None and found[0] >= SMALL_TABLE:
            return int(found[0])
        cursor.execute(f"SELECT COUNT(*) FROM {self.database.table}")
        return int(cursor.fetchone()[0])

    def key_nullable(self, cursor: Any, name: str) -> bool:
        """Whether the table's column may be null; a query's may always."""
        if not self.is_table:
            return True
        cursor.execute(f"SELECT {self.database.quote(name)} FROM {self.database.table} WHERE 1 = 0")
        return bool(cursor.description[0].null_ok)

    def greatest(self, cursor: Any, column: str, where: str) -> str | None:
        """The greatest value as text."""
        kind = self.type_of_quoted(cursor, column)
        cursor.execute(f"SELECT {kind.key_text(f'MAX({column})')} FROM {self.relation}{where}")
        (found,) = cursor.fetchone()
        return None if found is None else str(found).strip()

    def key_literal(self, name: str, text: str) -> str:
        """A value of a column as a literal of its type."""
        return (self._known or {})[name].key_literal(text)

    @property
    def _scn(self) -> str:
        return self.snapshot.partition("@")[0]

    def _go_back(self, connection: Any) -> None:
        """Let a session see all tables as of the snapshot: a query has no clause for all of its own."""
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"BEGIN DBMS_FLASHBACK.ENABLE_AT_SYSTEM_CHANGE_NUMBER({self._scn}); END;")
        except oracledb.Error as error:
            doing = "consistent with customSql, which needs EXECUTE on DBMS_FLASHBACK"
            raise self.database.failure(error, doing) from error
