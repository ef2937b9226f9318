"""From PostgreSQL to PostgreSQL in the servers' own binary COPY: nothing is decoded on the way.

It is for splits whose columns have the same types on both sides and are not changed by the job. A batch has one column,
each value of it a row as COPY gives it. A refused row cannot be told from its batch: then the split is taken back, and
moved again the ordinary way.

psycopg's own `Copy` looks at each row that it reads in Python, which takes ten times as long as libpq's calls do.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
import pyarrow as pa
from psycopg.pq import ExecStatus

from airflow_provider_flinkx.plugins.base import ShortcutRefusedError, Split, WriteResult
from airflow_provider_flinkx.plugins.postgresql.database import PostgreSQL
from airflow_provider_flinkx.plugins.relational.isolation import RowRefusedError
from airflow_provider_flinkx.plugins.relational.row_connection import MovesByConnection
from airflow_provider_flinkx.plugins.relational.writer import RelationalSplitWriter

if TYPE_CHECKING:
    from airflow_provider_flinkx.plugins.postgresql.types import SourceType, TargetColumn
    from airflow_provider_flinkx.plugins.postgresql.writer import PostgreSQLWriter

#: What a binary COPY begins with (signature, flags, length of an extension) and ends with.
_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
#: Sent at once: the server takes in a message as a whole before it looks at its rows.
MESSAGE_BYTES = 32 << 10
_SCALARS = {
    *("bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric", "bit", "varbit", "bytea", "uuid"),
    *("text", "varchar", "bpchar", "name", "json", "jsonb", "inet", "cidr", "macaddr", "macaddr8"),
    *("date", "time", "timetz", "timestamp", "timestamptz", "interval"),
}
#: Types whose binary form is the same on all servers, and is all that a value is: no key of a catalog, no locale.
PORTABLE_TYPES = frozenset(_SCALARS | {f"_{name}" for name in _SCALARS})


def are_same(sources: Sequence[SourceType], targets: Sequence[TargetColumn]) -> bool:
    """Whether every value of the sources' columns is one of the targets', in the same bytes.

    A target without modifier takes all lengths and digits; one with another modifier would round or cut.
    """
    return len(sources) == len(targets) and all(
        source.name == target.type_name and source.name in PORTABLE_TYPES and target.modifier in (-1, source.modifier)
        for source, target in zip(sources, targets, strict=True)
    )


class CopyConnection:
    """A psycopg connection whose transactions are ours, and which copies whole batches."""

    def __init__(self, database: PostgreSQL) -> None:
        self._connection = database.connect()
        self._connection.autocommit = True

    def execute(self, statement: str) -> None:
        """Run a statement."""
        self._connection.execute(statement.encode())

    def batches(self, query: str, batch_bytes: int) -> Iterator[pa.RecordBatch]:
        """Stream a query: batches of about this many bytes, rows × 1, binary."""
        rows: list[bytes] = []
        size = 0
        for row in self._copied_out(f"COPY ({query}\n) TO STDOUT (FORMAT BINARY)".encode()):
            rows.append(row)
            size += len(row)
            if size >= batch_bytes:
                yield _batch(rows)
                rows, size = [], 0
        if rows:
            yield _batch(rows)

    def write(self, table: str, columns: str, rows: pa.RecordBatch) -> None:
        """Copy rows into a table."""
        statement = f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)"
        with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            copy.write(_BEGIN)
            content = _bytes_of(rows.column(0))
            for start in range(0, len(content), MESSAGE_BYTES):
                copy.write(content[start : start + MESSAGE_BYTES])
            copy.write(_END)

    def cancel(self) -> None:
        """Stop the running statement; may be called from another thread."""
        self._connection.cancel()

    def close(self) -> None:
        """Close, also when the server is gone."""
        self._connection.close()

    def _copied_out(self, statement: bytes) -> Iterator[bytes]:
        """The messages of a COPY: one for each row, without what stands before the first and behind the last."""
        connection = self._connection.pgconn
        connection.send_query(statement)
        self._expect(connection.get_result(), ExecStatus.COPY_OUT)
        ready = select.poll()
        ready.register(connection.socket, select.POLLIN)
        get = connection.get_copy_data
        to_skip = len(_BEGIN)
        while (found := get(1))[0] >= 0:
            length, data = found
            if length == 0:
                ready.poll()
                connection.consume_input()
                continue
            row = bytes(data[to_skip:])
            to_skip = 0
            if row and row != _END:
                yield row
        self._expect(connection.get_result(), ExecStatus.COMMAND_OK)
        while connection.get_result() is not None:
            pass

    def _expect(self, result: Any, status: ExecStatus) -> None:
        if result is None:
            raise psycopg.OperationalError(self._connection.pgconn.get_error_message())
        if result.status != status:
            raise psycopg.errors.error_from_result(result)


class MovesByCopies(MovesByConnection):
    """What can move rows by copies too, which takes a connection of another kind."""

    database: PostgreSQL
    _copies: CopyConnection | None = None

    def connect_copies(self) -> CopyConnection:
        """A new connection for copies."""
        return CopyConnection(self.database)

    def copies_connection(self) -> CopyConnection:
        """The connection for copies: the one that is open, that of the last table, or a new one."""
        if self._copies is None:
            self._copies = self.database.take_kept(self._kind_of_copies) or self.connect_copies()
        return self._copies

    def close(self) -> None:
        """Leave the connections to the next table, or close them."""
        super().close()
        if self._copies is not None:
            self.database.keep_or_close(self._kind_of_copies, self._copies)
            self._copies = None

    def give_up(self) -> None:
        """Close the connections, which are of no more use."""
        super().give_up()
        if self._copies is not None:
            self._copies.close()
            self._copies = None

    @property
    def _kind_of_copies(self) -> str:
        return f"copies of {self.kind}"


class CopySplitWriter(RelationalSplitWriter):
    """Writes one split in one transaction, all rows of it or none."""

    writer: PostgreSQLWriter

    def __init__(
        self, writer: PostgreSQLWriter, connection: CopyConnection, columns: Sequence[TargetColumn], split: Split
    ) -> None:
        super().__init__(writer, (), split)
        self._connection = connection
        self._columns = ", ".join(writer.database.quote(column.name) for column in columns)
        self._run(lambda: connection.execute("BEGIN"))
        self._run(lambda: connection.execute("SET CONSTRAINTS ALL IMMEDIATE"))

    def write(self, batch: pa.RecordBatch) -> WriteResult:
        """Copy a batch.

        Raises:
            ShortcutRefusedError: one of its rows is refused.
        """
        self._as_a_whole(lambda: self._connection.write(self.writer.database.table, self._columns, batch))
        return WriteResult(batch.num_rows)

    def run_statement(self, statement: str) -> None:
        """Run a statement in the transaction."""
        self._run(lambda: self._connection.execute(statement))

    def commit(self) -> None:
        """Commit the transaction.

        Raises:
            ShortcutRefusedError: a row is refused at its end.
        """
        self._as_a_whole(lambda: self._connection.execute("COMMIT"))

    def rollback(self) -> None:
        """Take the transaction back; a connection that cannot do that is given up."""
        try:
            self._connection.execute("ROLLBACK")
        except psycopg.Error:
            self.writer.give_up()

    def _as_a_whole(self, action: Callable[[], None]) -> None:
        try:
            self._run(action)
        except RowRefusedError as refusal:
            raise ShortcutRefusedError from refusal

    def _run(self, action: Callable[[], None]) -> None:
        try:
            action()
        except psycopg.Error as error:
            database = self.writer.database
            failure = database.failure(error, f"write table {database.table_label}")
            raise database.refusal(error) or failure from error


def _batch(rows: Sequence[bytes]) -> pa.RecordBatch:
    offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, rows), np.int32, len(rows)), out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(rows))]
    return pa.RecordBatch.from_arrays([pa.Array.from_buffers(pa.binary(), len(rows), buffers)], names=["row"])


def _bytes_of(rows: pa.Array) -> memoryview:
    """All values one behind the other, as they lie in memory."""
    _, offsets, data = rows.buffers()
    places = np.frombuffer(offsets, np.int32)
    return memoryview(data)[places[rows.offset] : places[rows.offset + len(rows)]]
