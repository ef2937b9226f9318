"""One database server as the readers and writers of this package see it: logins, names, errors.

Each database has a subclass; drivers are imported there. Planning (metadata, keys, preSql) goes through an
ordinary DB-API connection, rows go through the bulk paths of the database's own reader and writer.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from airflow_provider_flinkx.exceptions import DataError, FlinkXError, JobInvalidError
from airflow_provider_flinkx.plugins.kept import KeptConnections
from airflow_provider_flinkx.plugins.relational.jdbc import Address, address_of, connection_of
from airflow_provider_flinkx.plugins.relational.names import split_table_name
from airflow_provider_flinkx.plugins.relational.tables import Tables

#: Seconds for all servers of an address together. With the start of Flink a refusal comes within fifteen.
CONNECT_SECONDS = 7
#: Seconds for which a connection may have waited for a question: servers and firewalls end those that rest.
_MOST_REST = 10
_QUESTIONS = "questions"


class Database(abc.ABC):
    """A login to one database, made from the parameter of a reader or writer.

    Attributes:
        address: servers, database and login.
        session: statements to run at the start of each connection.
        long_text: column type for texts of some megabytes.
        exact_text: column type for short texts of ASCII, compared letter by letter.
        long_integer: column type for whole numbers of 64 bits.
        table_options: what follows the columns of a CREATE TABLE of ours.
        tables_class: how tables are described and made; None where that is not known.
        kept: see `RunContext.kept`.
    """

    product: ClassVar[str]
    long_text: ClassVar[str] = "text"
    exact_text: ClassVar[str] = "varchar(200)"
    long_integer: ClassVar[str] = "bigint"
    table_options: ClassVar[str] = ""
    tables_class: ClassVar[type[Tables] | None] = None
    schemes: ClassVar[Collection[str]]
    default_port: ClassVar[int]
    kept: KeptConnections | None = None

    def __init__(self, parameter: Mapping[str, Any], timezone: str) -> None:
        self.address = self.read_address(parameter)
        self.session: Sequence[str] = tuple(parameter.get("session") or ())
        self.timezone = timezone
        self._parameter = parameter

    def __str__(self) -> str:
        return f"{self.product} {self.address}"

    def read_address(self, parameter: Mapping[str, Any]) -> Address:
        """Servers, database and login; URLs that are not of the common form are read by the database's own rules."""
        return address_of(parameter, schemes=self.schemes, default_port=self.default_port)

    @abc.abstractmethod
    def connect(self) -> Any:
        """A new DB-API connection outside of a transaction, autocommit off.

        Raises:
            ConnectionFailedError, AccessDeniedError, NotFoundError: within 15 s, with host and database.
        """

    @abc.abstractmethod
    def failure(self, error: BaseException, doing: str) -> FlinkXError:
        """The error of a driver as one of this package: one line, with the server, without a password."""

    @abc.abstractmethod
    def quote(self, name: str) -> str:
        """An identifier in quotes."""

    @abc.abstractmethod
    def literal(self, value: str) -> str:
        """A text as an SQL literal."""

    def long_literal(self, value: str) -> str:
        """A text of ASCII as an SQL literal, however long it is."""
        return self.literal(value)

    def long_value(self, value: Any) -> str:
        """What a cursor gave for a column of `long_text`, as text; while its connection is open."""
        return str(value)

    def version(self, connection: Any) -> str:
        """What the server says of itself; `connection` is one of `connect`."""
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute("SELECT version()")
            return str(cursor.fetchone()[0])

    def list_tables(self, cursor: Any, place: Sequence[str]) -> Sequence[str]:  # noqa: ARG002  # not known here
        """Names of the tables, without views.

        Args:
            cursor: of `planning`.
            place: parts in front of a table's name, such as its schema; none: where names without one are looked for.
        """
        raise JobInvalidError([f"connection[0].table: patterns are not known for {self.product}: name the tables"])

    def stored_name(self, written: str) -> str:
        """How the server stores a name that is written without quotes; unchanged as a rule."""
        return written

    def column_name(self, written: str, names: Collection[str]) -> str:
        """The one of `names` that a job means: as written, else as the server stores a name without quotes."""
        stored = self.stored_name(written)
        return stored if written not in names and stored in names else written

    @property
    def table_name(self) -> tuple[str, ...]:
        """Parts of `connection[0].table`, its schema in front where `connection[0].schema` gives one."""
        connection = connection_of(self._parameter)
        table = connection.get("table")
        if isinstance(table, (list, tuple)):
            table = table[0] if table else None
        if not table:
            raise JobInvalidError(["connection[0].table: missing"])
        parts = split_table_name(table, stored=self.stored_name)
        schema = connection.get("schema")
        return (self.stored_name(schema), *parts) if schema and len(parts) == 1 else parts

    @property
    def table(self) -> str:
        """The table's name in quotes, as it stands in statements."""
        return ".".join(self.quote(part) for part in self.table_name)

    @property
    def tables(self) -> Tables:
        """The table as one that can be described and made.

        Raises:
            JobInvalidError: where that is not known.
        """
        if self.tables_class is None:
            raise JobInvalidError([f"createTable, saveMode, schemaChange: not known for {self.product}"])
        return self.tables_class(self)

    @property
    def table_label(self) -> str:
        """The table's name as it stands in messages."""
        return ".".join(self.table_name)

    @contextlib.contextmanager
    def planning(self, doing: str) -> Iterator[Any]:
        """A cursor in one transaction, committed at the end and taken back on any error.

        Args:
            doing: what the message says was tried when a statement fails.
        """
        connection = self.connect()
        try:
            with self._transaction(connection, doing) as cursor:
                yield cursor
        finally:
            with contextlib.suppress(Exception):
                connection.close()

    @contextlib.contextmanager
    def asking(self, doing: str) -> Iterator[Any]:
        """`planning` by a connection that may have answered before, for questions that leave nothing in its session."""
        connection = self.take_kept(_QUESTIONS, most_seconds=_MOST_REST) or self.connect()
        is_over = False
        try:
            with self._transaction(connection, doing) as cursor:
                yield cursor
            is_over = True
        finally:
            if is_over:
                self.keep_or_close(_QUESTIONS, connection)
            else:
                with contextlib.suppress(Exception):
                    connection.close()

    @contextlib.contextmanager
    def _transaction(self, connection: Any, doing: str) -> Iterator[Any]:
        try:
            with contextlib.closing(connection.cursor()) as cursor:
                yield cursor
            connection.commit()
        except FlinkXError:
            raise
        except Exception as error:
            raise self.failure(error, doing) from error

    @property
    def login(self) -> tuple[Any, ...]:
        """What is alike for connections that are alike."""
        return type(self), self.address, self.session, self._parameter.get("properties"), self.timezone

    def take_kept(self, kind: str, *, most_seconds: float | None = None) -> Any | None:
        """A connection that waits, see `KeptConnections.take`."""
        return self.kept.take(self.login, kind, most_seconds=most_seconds) if self.kept is not None else None

    def keep_or_close(self, kind: str, connection: Any) -> None:
        """Let a connection wait for the next table, or close it where none are kept."""
        if self.kept is not None:
            self.kept.keep(self.login, kind, connection)
        else:
            with contextlib.suppress(Exception):
                connection.close()

    def run_all(self, cursor: Any, key: str, statements: Sequence[str]) -> None:
        """Run the statements of `preSql` or `postSql` (job.md §14); an error names the statement.

        Raises:
            DataError: with the key and the number of the failing statement, counted from 0.
        """
        for number, statement in enumerate(statements):
            try:
                cursor.execute(statement)
                while self.more_results(cursor):
                    pass
            except Exception as error:
                raise self.failure(error, f"{key}[{number}]") from error

    def more_results(self, cursor: Any) -> bool:
        """Step over the result of a statement of a job; whether another one follows."""
        return bool(cursor.nextset())

    def error(self, kind: type[DataError], message: str) -> DataError:
        """An error of this package about this server."""
        return kind(self.address.conceal(f"{self}: {message}"))
