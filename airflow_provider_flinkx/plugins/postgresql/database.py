"""PostgreSQL: logins by psycopg (planning) and ADBC (rows), names, error codes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import adbc_driver_manager
import adbc_driver_postgresql.dbapi
import psycopg
from psycopg import conninfo

from airflow_provider_flinkx.exceptions import (
    AccessDeniedError,
    ConnectionFailedError,
    DataError,
    FlinkXError,
    NotFoundError,
)
from airflow_provider_flinkx.plugins.base import Category
from airflow_provider_flinkx.plugins.postgresql import url
from airflow_provider_flinkx.plugins.postgresql.tables import PostgreSQLTables
from airflow_provider_flinkx.plugins.relational.database import CONNECT_SECONDS, Database
from airflow_provider_flinkx.plugins.relational.isolation import RowRefusedError
from airflow_provider_flinkx.plugins.relational.names import quoted

#: Every session speaks the same, whatever the server's or role's settings are.
_SESSION = (
    "SET TimeZone TO 'UTC'",
    "SET DateStyle TO 'ISO, YMD'",
    "SET IntervalStyle TO 'postgres'",
    "SET standard_conforming_strings TO on",
    "SET extra_float_digits TO 1",
    "SET client_encoding TO 'UTF8'",
    # A query whose job was killed ends instead of going on for nobody; since PostgreSQL 14, not on every platform.
    "SELECT set_config(name, '5s', false) FROM pg_settings "
    "WHERE name = 'client_connection_check_interval' AND version() LIKE '%linux%'",
)
_TABLES = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhrelid = c.oid)
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%%'
  AND CASE WHEN %(schema)s::text IS NULL THEN pg_table_is_visible(c.oid) ELSE n.nspname = %(schema)s END
"""
_COPY_LINE = re.compile(r"COPY .*, line (\d+)")
#: Classes of SQLSTATE that speak of a row: data, constraint, WITH CHECK OPTION, raised by a trigger.
_ROW_CLASSES = ("22", "23", "44", "P0")
_CATEGORIES = {"23505": Category.DUPLICATE, "23502": Category.NULL}
_ACCESS_STATES = ("42501", "28000", "28P01")
_MISSING_STATES = ("42P01", "42703", "3F000", "3D000", "42704")
_BROKEN_STATES = ("57P01", "57P02", "57P03", "57P05")


class PostgreSQL(Database):
    """A login to a PostgreSQL database."""

    product = "PostgreSQL"
    tables_class = PostgreSQLTables
    schemes = url.SCHEMES
    default_port = url.DEFAULT_PORT

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A new psycopg connection with our session settings."""
        try:
            # Never prepared: a pooler between us and the server may not know the statement the next time.
            connection = psycopg.connect(self._conninfo, autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            raise self.failure(error, "connect") from error
        try:
            for statement in (*_SESSION, *self.session):
                connection.execute(statement.encode())
        except psycopg.Error as error:
            connection.close()
            raise self.failure(error, f"session statement {statement!r}") from error
        connection.autocommit = False
        return connection

    def connect_rows(self) -> RowConnection:
        """A new ADBC connection with our session settings."""
        return RowConnection(self)

    def list_tables(self, cursor: Any, place: Sequence[str]) -> Sequence[str]:
        """Names of the tables of a schema, or of the search path; parts of other tables stand in those already."""
        cursor.execute(_TABLES, {"schema": place[-1] if place else None})
        return [name for (name,) in cursor.fetchall()]

    def quote(self, name: str) -> str:
        """An identifier in double quotes."""
        return quoted(name)

    def literal(self, value: str) -> str:
        """A text as an SQL literal; sessions have standard_conforming_strings on."""
        return "'" + value.replace("'", "''") + "'"

    def failure(self, error: BaseException, doing: str) -> FlinkXError:
        """The error of psycopg or ADBC as one of this package."""
        if isinstance(error, FlinkXError):
            return error
        state = getattr(error, "sqlstate", None)
        text = self.address.conceal(_message(error))
        message = self.address.conceal(f"{self}: {doing}: {text}")
        if state is None:
            return self._stateless(error, text)(message)
        if state in _ACCESS_STATES:
            return AccessDeniedError(message)
        if state in _MISSING_STATES:
            return NotFoundError(message)
        if state in _BROKEN_STATES or state.startswith("08"):
            return ConnectionFailedError(message)
        if state == "57014":
            return DataError(f"{message} (by the server's own limit, which `session` may raise, or by hand)")
        return DataError(message)

    def refusal(self, error: BaseException) -> RowRefusedError | None:
        """The error as one about a row, or None when it is about something else."""
        state = getattr(error, "sqlstate", None)
        if state is None or state[:2] not in _ROW_CLASSES:
            return None
        category = _CATEGORIES.get(state, Category.CONVERSION if state.startswith("22") else Category.OTHER)
        line = _COPY_LINE.search(str(error))
        return RowRefusedError(category, self.address.conceal(_message(error)), int(line[1]) - 1 if line else None)

    @property
    def _conninfo(self) -> str:
        """Libpq's connection string of the address."""
        address = self.address
        return conninfo.make_conninfo(
            "",
            host=",".join(server.host for server in address.servers),
            port=",".join(str(server.port) for server in address.servers),
            dbname=address.database or None,
            user=address.user,
            password=address.password,
            connect_timeout=max(2, CONNECT_SECONDS // len(address.servers)),
            **url.settings(self._parameter, address),
        )

    @staticmethod
    def _stateless(error: BaseException, text: str) -> type[DataError]:
        """The kind of an error without SQLSTATE: libpq's own, of which only the text is known."""
        if "authentication failed" in text or "no pg_hba.conf entry" in text or "no password supplied" in text:
            return AccessDeniedError
        if "FATAL: role" in text and "does not exist" in text:
            return AccessDeniedError
        if "FATAL: database" in text and "does not exist" in text:
            return NotFoundError
        connection_errors = (psycopg.OperationalError, adbc_driver_manager.OperationalError, OSError)
        return ConnectionFailedError if isinstance(error, connection_errors) else DataError


class RowConnection:
    """An ADBC connection whose transactions are ours: the driver's own handling gives up savepoints."""

    def __init__(self, database: PostgreSQL) -> None:
        self.database = database
        try:
            self._connection = adbc_driver_postgresql.dbapi.connect(database._conninfo, autocommit=True)
            self.cursor = self._connection.cursor()
        except adbc_driver_manager.Error as error:
            raise database.failure(error, "connect") from error
        try:
            for statement in (*_SESSION, *database.session):
                self.execute(statement)
        except adbc_driver_manager.Error as error:
            self.close()
            raise database.failure(error, "session") from error

    def execute(self, statement: str) -> None:
        """Run a statement that returns no rows."""
        handle = self.cursor.adbc_statement
        handle.set_sql_query(statement)
        handle.execute_update()

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """All rows of a small query."""
        self.cursor.execute(statement)
        rows: list[tuple[Any, ...]] = self.cursor.fetchall()
        return rows

    def batches(self, statement: str, batch_bytes: int) -> Iterator[Any]:
        """Stream a query as record batches of about this many bytes."""
        self.cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(batch_bytes)})
        self.cursor.execute(statement)
        yield from self.cursor.fetch_record_batch()

    def cancel(self) -> None:
        """Stop the running statement; may be called from another thread."""
        self.cursor.adbc_cancel()

    def close(self) -> None:
        """Close, also when the server is gone."""
        for part in (self.cursor, self._connection):
            try:
                part.close()
            except Exception:  # noqa: S112  # nothing is left to save: an open transaction ends with its connection
                continue


def _message(error: BaseException) -> str:
    """The server's own words, without the driver's wrapping."""
    text = str(error)
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        detail = error.diag.message_detail
        return f"{error.diag.message_primary} ({detail})" if detail else error.diag.message_primary
    text = re.sub(r"^[A-Z_]+: \[libpq\] ", "", text)
    text = re.sub(r"^Failed to execute (?:COPY statement|query '.*?'): (?:PGRES_FATAL_ERROR )?", "", text, flags=re.S)
    text = re.sub(r"\. SQLSTATE: \w+\s*$", "", text)
    return text.removeprefix("ERROR:").strip()
