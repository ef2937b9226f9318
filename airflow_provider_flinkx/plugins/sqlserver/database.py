"""SQL Server: logins by mssql-python (planning, reading) and its bulk-loading core (writing), names, error numbers."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from airflow_provider_flinkx.exceptions import (
    AccessDeniedError,
    ConnectionFailedError,
    DataError,
    FlinkXError,
    NotFoundError,
)
from airflow_provider_flinkx.plugins.base import Category
from airflow_provider_flinkx.plugins.relational.database import CONNECT_SECONDS, Database
from airflow_provider_flinkx.plugins.relational.isolation import RowRefusedError
from airflow_provider_flinkx.plugins.relational.names import quoted
from airflow_provider_flinkx.plugins.sqlserver.driver import mssql_py_core, mssql_python
from airflow_provider_flinkx.plugins.sqlserver.tables import SQLServerTables
from airflow_provider_flinkx.plugins.sqlserver.url import DEFAULT_PORT, SQLServerAddress, address_of, settings

#: Every session speaks the same, whatever the server's or login's settings are.
_SESSION = (
    "SET LANGUAGE us_english",
    "SET DATEFORMAT ymd",
    "SET TEXTSIZE 2147483647",
    "SET ANSI_NULLS, ANSI_PADDING, ANSI_WARNINGS, ARITHABORT, CONCAT_NULL_YIELDS_NULL, QUOTED_IDENTIFIER ON",
    "SET NUMERIC_ROUNDABORT OFF",
    # A refused row must not take the whole transaction with it.
    "SET XACT_ABORT OFF",
)
#: Keyword of the connection string -> name in the core's login.
_CORE_NAMES = {
    "Encrypt": "encryption",
    "TrustServerCertificate": "trust_server_certificate",
    "HostNameInCertificate": "host_name_in_certificate",
    "ServerCertificate": "server_certificate",
    "ApplicationIntent": "application_intent",
    "MultiSubnetFailover": "multi_subnet_failover",
    "IpAddressPreference": "ip_address_preference",
    "PacketSize": "packet_size",
}
_ACCESS_NUMBERS = frozenset({229, 230, 262, 297, 300, 916, 1088, 18452, 18456, 18470, 18486, 18487, 18488})
_MISSING_NUMBERS = frozenset({207, 208, 911, 2812, 4060, 4701})
_BROKEN_NUMBERS = frozenset({233, 596, 6005, 10053, 10054, 10060, 40143, 40197, 40501, 40613})
_DUPLICATE_NUMBERS = frozenset({2601, 2627})
_NULL_NUMBERS = frozenset({515})
#: Truncation, overflow, a text that is none of the type, a value that is too long for its index.
_CONVERSION_NUMBERS = frozenset({220, 241, 242, 244, 245, 248, 295, 296, 1007, 1946, 2628, 8114, 8115, 8152, 8169})
#: Foreign keys and checks, views WITH CHECK OPTION, RAISERROR of a trigger, xml that its schema refuses.
_CONSTRAINT_NUMBERS = frozenset({547, 550, 50000, *range(6900, 6999)})
#: Two rows of one MERGE meet in one row of the target, by different keys: alone each of them can be merged.
_TOUCHED_TWICE = 8672
#: What mssql-python says instead of a number.
_ACCESS_WORDS = ("Login failed", "permission was denied", "Invalid authorization specification")
_MISSING_WORDS = ("Base table or view not found", "Column not found", "Cannot open database")
_BROKEN_WORDS = (
    "IO error", "Timeout Error", "Timeout while connecting", "Client unable to establish connection",
    "Communication link failure", "Connection failure", "Connection not open", "Failed to connect", "TLS", "closed",
    "Error Locating Server", "reset by peer", "Server rejected the connection",
)  # fmt: skip
_NUMBER = re.compile(r"Sql Error: (\d+): Class \d+: State \d+: (.*)", re.DOTALL)
_PLACE = re.compile(r" on \S* in \S* at line \d+$")
_WRAPPING = re.compile(r"^Driver Error: (.*?)(?:; DDBC Error: (?:\[[^\]]*\])*(.*))?$", re.DOTALL)


class SQLServer(Database):
    """A login to a SQL Server database."""

    product = "SQL Server"
    schemes = frozenset({"sqlserver"})
    default_port = DEFAULT_PORT
    long_text = "nvarchar(max)"
    exact_text = "varchar(200) COLLATE Latin1_General_BIN2"
    tables_class = SQLServerTables
    address: SQLServerAddress

    def __init__(self, parameter: Mapping[str, Any], timezone: str) -> None:
        super().__init__(parameter, timezone)
        self.settings = settings(parameter, self.address)

    def read_address(self, parameter: Mapping[str, Any]) -> SQLServerAddress:
        """Servers, database and login of both drivers' URLs."""
        return address_of(parameter)

    def connect(self) -> Any:
        """A new mssql-python connection with our session settings."""
        try:
            connection = mssql_python.connect(self._connection_string, autocommit=True, timeout=CONNECT_SECONDS)
        except (mssql_python.Error, RuntimeError, OSError) as error:
            raise self.failure(error, "connect") from error
        try:
            with contextlib.closing(connection.cursor()) as cursor:
                for statement in (*_SESSION, *self.session):
                    cursor.execute(statement)
        except mssql_python.Error as error:
            connection.close()
            raise self.failure(error, f"session statement {statement!r}") from error
        connection.autocommit = False
        return connection

    def connect_rows(self) -> RowConnection:
        """A new connection that bulk-loads, with our session settings."""
        return RowConnection(self)

    def version(self, connection: Any) -> str:
        """The first line of `@@VERSION`."""
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute("SELECT @@VERSION")
            return str(cursor.fetchone()[0]).partition("\n")[0]

    def quote(self, name: str) -> str:
        """An identifier in brackets."""
        return quoted(name, "[", "]")

    def literal(self, value: str) -> str:
        """A text as an SQL literal."""
        return "N'" + value.replace("'", "''") + "'"

    @property
    def catalog(self) -> str:
        """The schema of the system views of the table's database, which a name of three parts gives."""
        return f"{self.quote(self.table_name[-3])}.sys" if len(self.table_name) == 3 else "sys"

    def list_tables(self, cursor: Any, place: Sequence[str]) -> Sequence[str]:
        """Names of the tables of a schema, or of the user's own; the first of two parts is a database."""
        views = f"{self.quote(place[-2])}.INFORMATION_SCHEMA" if len(place) > 1 else "INFORMATION_SCHEMA"
        schema = self.literal(place[-1]) if place else "SCHEMA_NAME()"
        cursor.execute(
            f"SELECT TABLE_NAME FROM {views}.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA = {schema}"  # noqa: S608  # quoted names
        )
        return [str(name) for (name,) in cursor.fetchall()]

    def failure(self, error: BaseException, doing: str) -> FlinkXError:
        """The error of the driver or its core as one of this package."""
        if isinstance(error, FlinkXError):
            return error
        return self.statement_failure(*number_and_text(error), doing)

    def statement_failure(self, number: int | None, text: str, doing: str) -> FlinkXError:
        """An error of the server, by its number if that is known, as one of this package."""
        message = self.address.conceal(f"{self}: {doing}: {text}")
        if number in _ACCESS_NUMBERS or any(words in text for words in _ACCESS_WORDS):
            return AccessDeniedError(message)
        if number in _MISSING_NUMBERS or any(words in text for words in _MISSING_WORDS):
            return NotFoundError(message)
        if "Timeout expired" in text and "connecting" not in text:
            return DataError(f"{message} (queryTimeOut sets the seconds allowed)")
        if "snapshot isolation is not allowed" in text:  # 3952
            return DataError(f"{message} (SET ALLOW_SNAPSHOT_ISOLATION ON; or leave consistent out)")
        if "certificate" in text.lower():
            message += " (trustServerCertificate=true in jdbcUrl accepts any certificate)"
        broken = number in _BROKEN_NUMBERS or (number is None and any(words in text for words in _BROKEN_WORDS))
        return ConnectionFailedError(message) if broken else DataError(message)

    def refusal(self, error: BaseException) -> RowRefusedError | None:
        """The error as one about a row, or None when it is about something else."""
        number, text = number_and_text(error)
        if number in _DUPLICATE_NUMBERS:
            category = Category.DUPLICATE
        elif number in _NULL_NUMBERS:
            category = Category.NULL
        elif number in _CONVERSION_NUMBERS:
            category = Category.CONVERSION
        elif number in _CONSTRAINT_NUMBERS or number == _TOUCHED_TWICE:
            category = Category.OTHER
        else:
            return None
        return RowRefusedError(category, self.address.conceal(text))

    @property
    def _connection_string(self) -> str:
        parts = {"Server": self.address.server, "UID": self.address.user or "", "PWD": self.address.password or ""}
        if self.address.database:
            parts["Database"] = self.address.database
        return ";".join(f"{name}={_in_braces(value)}" for name, value in {**parts, **self.settings}.items())

    @property
    def core_login(self) -> dict[str, Any]:
        """The login as the driver's core takes it."""
        given: dict[str, Any] = {
            core: self.settings[name] for name, core in _CORE_NAMES.items() if name in self.settings
        }
        if "packet_size" in given:
            given["packet_size"] = int(given["packet_size"])
        return {
            "server": self.address.server,
            "user_name": self.address.user or "",
            "password": self.address.password or "",
            "connect_timeout": CONNECT_SECONDS,
            **({"database": self.address.database} if self.address.database else {}),
            **given,
        }


class RowConnection:
    """A connection of the driver's core: it bulk-loads Arrow batches inside of a transaction of ours.

    mssql-python itself bulk-loads by a second connection, outside of the transaction.
    """

    def __init__(self, database: SQLServer) -> None:
        self.database = database
        try:
            self._connection = mssql_py_core.PyCoreConnection(database.core_login)
            self._cursor = self._connection.cursor()
        except (mssql_py_core.Error, RuntimeError) as error:
            raise database.failure(error, "connect") from error
        try:
            for statement in (*_SESSION, *database.session):
                self.execute(statement)
        except (mssql_py_core.Error, RuntimeError) as error:
            self.close()
            raise database.failure(error, f"session statement {statement!r}") from error

    def execute(self, statement: str) -> None:
        """Run a statement whose rows, if any, are of no interest."""
        self._cursor.execute(statement)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """All rows of a small query."""
        self._cursor.execute(statement)
        return [tuple(row) for row in self._cursor.fetchall()]

    def load(self, table: str, rows: pa.RecordBatch) -> None:
        """Append rows to a table whose columns have their names."""
        self._cursor.bulkcopy_arrow(table, rows, timeout=0, column_mappings=list(rows.schema.names), keep_nulls=True)

    def close(self) -> None:
        """Close, also when the server is gone."""
        for part in (self._cursor, self._connection):
            with contextlib.suppress(Exception):  # nothing is left to save: an open transaction ends with it
                part.close()


def number_and_text(error: BaseException) -> tuple[int | None, str]:
    """Number (where the core tells it) and words of an error, without the driver's wrapping."""
    text = str(error)
    if found := _NUMBER.search(text):
        return int(found[1]), _PLACE.sub("", found[2].strip())
    if found := _WRAPPING.match(text):
        kind, words = found.groups()
        return None, f"{words.strip()} ({kind})" if words else kind
    return None, text


def _in_braces(value: str) -> str:
    """A value of a connection string."""
    return "{" + value.replace("}", "}}") + "}"
