"""A double of python-oracledb at the driver's boundary. It is not Oracle and runs no SQL.

It keeps what it is told, answers what a test says, and gives and takes Arrow data through the driver's own classes.
Every statement must parse as Oracle's SQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import oracledb
import pyarrow as pa
import sqlglot


def column(name: str, kind: Any, precision: int = 0, scale: int = 0, size: int = 0, null_ok: bool = True) -> Any:
    """A column in a cursor's description."""
    return SimpleNamespace(
        name=name, type_code=kind, precision=precision, scale=scale, internal_size=size, null_ok=null_ok
    )


class Double:
    """A database: `answers` has a part of a query -> its rows, or its description for a query without rows."""

    def __init__(self, answers: Mapping[str, Any], tables: Sequence[pa.Table] = (), errors: Sequence[Any] = ()) -> None:
        self.answers = answers
        self.tables = tables
        self.errors = errors
        self.statements: list[str] = []
        self.written: list[tuple[str, Any]] = []
        self.sizes: list[Any] = []
        self.commits = self.rollbacks = 0
        self.logins: list[dict[str, Any]] = []

    def connect(self, **arguments: Any) -> Connection:
        self.logins.append(arguments)
        return Connection(self)

    def take(self, statement: str) -> None:
        self.statements.append(statement)
        if not statement.startswith(("ALTER SESSION", "SET CONSTRAINTS", "BEGIN ")):
            sqlglot.parse_one(re.sub(r":(\d+)", r":b\1", statement), dialect="oracle")


class Connection:
    def __init__(self, double: Double) -> None:
        self.double = double
        self.call_timeout = 0
        self.version = "0.0.0.0.0"

    def cursor(self) -> Cursor:
        return Cursor(self.double)

    def fetch_df_batches(self, statement: str, *, size: int, requested_schema: pa.Schema | None) -> Iterator[Any]:
        self.double.take(statement)
        for table in self.double.tables:
            assert requested_schema is None or table.schema.types == requested_schema.types
            yield oracledb.from_arrow(table)

    def commit(self) -> None:
        self.double.commits += 1

    def rollback(self) -> None:
        self.double.rollbacks += 1

    def close(self) -> None:
        pass


class Cursor:
    description: Any = None

    def __init__(self, double: Double) -> None:
        self.double = double
        self.rows: list[Any] = []

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        self.double.take(statement)
        answer = next((answer for part, answer in self.double.answers.items() if part in statement), [])
        if isinstance(answer, Exception):
            raise answer
        self.description = answer
        self.rows = list(answer)

    def setinputsizes(self, *sizes: Any) -> None:
        self.double.sizes.append(sizes)

    def executemany(self, statement: str, data: Any, *, batcherrors: bool) -> None:
        assert batcherrors
        self.double.take(statement)
        rows = data if isinstance(data, list) else pa.table(oracledb.from_arrow(data)).to_pylist()
        self.double.written.append((statement, rows))

    def getbatcherrors(self) -> Sequence[Any]:
        return self.double.errors

    def fetchone(self) -> Any:
        return self.rows[0] if self.rows else None

    def fetchall(self) -> list[Any]:
        return self.rows

    def close(self) -> None:
        pass


def error(code: int, offset: int = 0, message: str = "refused") -> Any:
    """An error of a batch, or the details of an error of the driver."""
    return SimpleNamespace(code=code, full_code=f"ORA-{code:05d}", offset=offset, message=f"ORA-{code:05d}: {message}")
