"""oraclereader: streams tables and queries of Oracle as the Arrow batches that python-oracledb makes."""

# ruff: noqa: S608 -- SQL is made here of quoted names, and of what the job itself gives as SQL
from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import oracledb
import pyarrow as pa

from airflow_provider_flinkx.exceptions import DataError, NotFoundError
from airflow_provider_flinkx.plugins.base import Split
from airflow_provider_flinkx.plugins.oracle.database import Oracle
from airflow_provider_flinkx.plugins.oracle.types import SourceType
from airflow_provider_flinkx.plugins.relational.reader import Key, RelationalReader, SourceColumn
from airflow_provider_flinkx.plugins.relational.splits import SMALL_TABLE, Sample

BATCH_BYTES = 4 << 20
MOST_BATCH_ROWS = 16_384
#: Rows up to which all keys are looked at, and how many are drawn from larger tables.
_DIRECT_ROWS = 200_000
_SAMPLED_ROWS = 30_000
_LONGEST_KEY = 200


class OracleReader(RelationalReader):
    """Reads a table or a query of Oracle (oracle.md)."""

    database_class = Oracle
    orders: ClassVar[bool] = False
    snapshots_last = True
    database: Oracle
    _connection: Any = None
    _known: Mapping[str, SourceType] | None = None

    def describe(self, cursor: Any, names: Sequence[str] | None) -> Sequence[SourceColumn]:
        """Ask the server for the types of the query's columns."""
        known = self._types(cursor)
        columns = []
        for written in known if names is None else names:
            name = self.database.column_name(written, known)
            if name not in known:
                message = f"{self.source_label} has no column {written}; it has {', '.join(known)}"
                raise self.database.error(NotFoundError, message)
            kind = known[name]
            if not kind.is_known:
                message = f"column {name} has the type {kind.name}, which cannot be read; leave it out of column"
                raise self.database.error(DataError, message)
            field = pa.field(written, kind.arrow, metadata={"source_type": kind.name.lower()})
            columns.append(SourceColumn(name, kind.expression(self.database.quote(name)), field, kind.is_number))
        return columns

    def read(self, split: Split) -> Iterator[Any]:
        """Stream the rows of a split."""
        complete = False
        try:
            yield from super().read(split)
            complete = True
        except (oracledb.Error, OSError) as error:
            moment = f" as of SCN {self._scn}" if self._scn else ""
            raise self.database.failure(error, f"read {self.source_label}{moment}") from error
        finally:
            if not complete:
                self.close()

    @property
    def relation(self) -> str:
        """The table, as of the snapshot if there is one, or the query."""
        return f"{self.database.table} AS OF SCN {self._scn}" if self._scn and self.is_table else super().relation

    def hold_snapshot(self, cursor: Any) -> tuple[str, Callable[[], None] | None]:
        """The SCN of now; nothing is held, because the server keeps old rows for its UNDO_RETENTION."""
        scn = self.database.current_scn(cursor)
        if self.is_table:
            self.database.check_flashback(cursor, scn)
        return scn, None

    def stream(self, statement: str) -> Iterator[pa.RecordBatch]:
        """Batches of about 4 MB; values that Arrow lacks turn their column of the batch into text."""
        if self._connection is None:
            self._connection = self.database.connect()
            if self._scn and not self.is_table:
                self._go_back(self._connection)
        connection, columns, known = self._connection, self.selected, self._known or {}
        if seconds := int(self.parameter.get("queryTimeOut") or 0):
            # It counts for each answer of the server: the time that the writer takes is not in it.
            connection.call_timeout = seconds * 1000
        kinds = [known[column.name] for column in columns]
        wanted = pa.schema([pa.field(column.name, kind.fetched) for column, kind in zip(columns, kinds, strict=True)])
        frames = connection.fetch_df_batches(
            statement, size=self._batch_rows, requested_schema=wanted if columns else None
        )
        for frame in frames:
            for rows in pa.table(frame).to_batches():
                arrays = [kind.array(array) for kind, array in zip(kinds, rows.columns)]  # noqa: B905
                fields = [column.field.with_type(array.type) for column, array in zip(columns, arrays, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)) if fields else rows

    def close(self) -> None:
        """Close the connection that rows are read by."""
        if self._connection is not None:
            with contextlib.suppress(oracledb.Error, OSError):
                self._connection.close()
            self._connection = None

    def stored_column(self, cursor: Any, written: str) -> str:
        """The column as Oracle spells it."""
        return self.database.column_name(written, self._types(cursor))

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

    def find_key(self, cursor: Any) -> Key | None:
        """The primary key, or the first unique index of one column that has an order."""
        known = self._types(cursor)
        for name, *others in self.database.unique_keys(cursor):
            if not others and name in known and known[name].has_order:
                return Key(name, self.key_nullable(cursor, name))
        return None

    def key_nullable(self, cursor: Any, name: str) -> bool:
        """Whether the table's column may be null; a query's may always."""
        if not self.is_table:
            return True
        cursor.execute(f"SELECT {self.database.quote(name)} FROM {self.database.table} WHERE 1 = 0")
        return bool(cursor.description[0].null_ok)

    def sample(self, cursor: Any, key: str, where: str, rows: int | None) -> Sample:
        """Keys in the server's order: all of a small table, those of some blocks of a large one."""
        kind, quoted = self._types(cursor).get(key), self.database.quote(key)
        if kind is None:
            raise self.database.error(NotFoundError, f"splitPk {key}: {self.source_label} has no such column")
        if not kind.has_order:
            return Sample(rows or 0, ())
        share = _SAMPLED_ROWS / rows if rows is not None and rows > _DIRECT_ROWS else 1.0
        drawn = f" SAMPLE BLOCK ({share * 100:.6f}) SEED (1)" if share < 1 else ""
        cursor.execute(f"SELECT {kind.key_text(quoted)} FROM {self.relation}{drawn}{where} ORDER BY {quoted}")
        keys = [key for (key,) in cursor.fetchall()]
        short = [key for key in keys if not isinstance(key, str) or len(key) <= _LONGEST_KEY]
        return Sample(round(len(keys) / share), [kind.key_literal(key) for key in short])

    def greatest(self, cursor: Any, column: str, where: str) -> str | None:
        """The greatest value as text."""
        kind = self._types(cursor)[column[1:-1].replace('""', '"')]
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

    @property
    def _batch_rows(self) -> int:
        if wanted := int(self.parameter.get("fetchSize") or 0):
            return min(wanted, MOST_BATCH_ROWS)
        known = self._known or {}
        size = sum(known[column.name].bytes_at_most for column in self.selected)
        return max(16, min(MOST_BATCH_ROWS, BATCH_BYTES // max(1, size)))

    def _types(self, cursor: Any) -> Mapping[str, SourceType]:
        """All columns of the table or query."""
        if self._known is None:
            cursor.execute(f"SELECT * FROM {self.relation} WHERE 1 = 0")
            self._known = {column.name: SourceType.of(column) for column in cursor.description}
        return self._known
