"""MySQL and MariaDB: logins by PyMySQL, names, error codes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pymysql
from pymysql.constants import CLIENT, COMMAND

from airflow_provider_flinkx.exceptions import (
    AccessDeniedError,
    ConnectionFailedError,
    DataError,
    FlinkXError,
    NotFoundError,
)
from airflow_provider_flinkx.plugins.base import Category
from airflow_provider_flinkx.plugins.mysql import url
from airflow_provider_flinkx.plugins.mysql.tables import MySQLTables
from airflow_provider_flinkx.plugins.relational.database import CONNECT_SECONDS, Database
from airflow_provider_flinkx.plugins.relational.isolation import RowRefusedError
from airflow_provider_flinkx.plugins.relational.jdbc import Server
from airflow_provider_flinkx.plugins.relational.names import quoted

#: Every session has UTC, backslash escapes as this package writes them, and patience with a slow other side.
SESSION = (
    "SET time_zone = '+00:00'",
    "SET sql_mode = REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', '')",
    "SET net_write_timeout = 3600, net_read_timeout = 3600",
)
_ACCESS_CODES = frozenset({1044, 1045, 1130, 1142, 1143, 1227, 1251, 1370, 1698, 1820, 2059, 2061})
_MISSING_CODES = frozenset({1049, 1051, 1054, 1109, 1146})
_BROKEN_CODES = frozenset(
    {0, 1040, 1053, 1077, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1927, 2002, 2003, 2005, 2006, 2013, 2014, 2026,
     2055}
)  # fmt: skip
_TIMEOUT_CODES = frozenset({1969, 3024})
_DUPLICATE_CODES = frozenset({1022, 1062, 1169, 1586, 1859})
_NULL_CODES = frozenset({1048, 1263, 1364})
_CONSTRAINT_CODES = frozenset({1216, 1217, 1369, 1451, 1452, 1526, 1644, 1761, 3819, 4025})
_CONVERSION_CODES = frozenset(
    {1264, 1265, 1292, 1366, 1367, 1406, 1411, 1416, 1426, 1427, 1441, 1690, 3140, 3141, 3156, 3903, 4038, 4079}
)
_AT_ROW = re.compile(r"at row (\d+)")
_CODE = re.compile(r"ERROR (\d{4})")
_TABLES = """
SELECT TABLE_NAME FROM information_schema.TABLES
WHERE TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')
"""


class MySQL(Database):
    """A login to a MySQL or MariaDB database.

    Attributes:
        server: the server that answered the last `connect`.
        tls: what PyMySQL must be told when the URL asks for encryption; empty otherwise.
    """

    product = "MySQL"
    tables_class = MySQLTables
    long_text = "longtext CHARACTER SET utf8mb4"
    table_options = " ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    schemes = url.SCHEMES
    default_port = url.DEFAULT_PORT

    def __init__(self, parameter: Mapping[str, Any], timezone: str) -> None:
        super().__init__(parameter, timezone)
        self.settings = url.settings(parameter, self.address)
        self.session = (*url.session(self.settings), *self.session)
        self.server: Server = self.address.servers[0]
        self.tls = url.tls(self.settings)

    def connect(
        self, *, local_files: bool = False, flags: int = 0, tls: Mapping[str, Any] | None = None
    ) -> pymysql.Connection[Any]:
        """A new connection with our session settings; the servers are tried in their order.

        Args:
            local_files: whether the server may ask for the file of a LOAD DATA LOCAL.
            flags: more of PyMySQL's CLIENT bits.
            tls: in place of what the URL says.
        """
        error: Exception | None = None
        for server in self.address.servers:
            try:
                connection = self._login(server, local_files, flags, self.tls if tls is None else tls)
            except (pymysql.Error, OSError, UnicodeError) as refused:
                error = error or refused
                continue
            self.server = server
            return self._start_session(connection)
        assert error is not None
        raise self.failure(error, "connect") from error

    def needs_encryption(self) -> bool:
        """Whether the URL asks for encryption, or the server refuses this login without it.

        PyMySQL encrypts unasked where the server can; connectorx never does.
        """
        if self.tls and self.tls != url.OPEN:
            return True
        try:
            self.connect(tls=url.OPEN).close()
        except FlinkXError:
            self.connect().close()
            return True
        return False

    def cancel_later(self, mark: str, seconds: float) -> Callable[[], None]:
        """Have the server end the query that has this text in it, unless what is returned is called before.

        A thread of ours could not do it in time: connectorx keeps Python's interpreter to itself while it waits.
        """
        connection = self.connect(flags=CLIENT.MULTI_STATEMENTS)
        # Sent without waiting for the answer, for which the driver has no public way. A sleep that was called off by
        # closing the connection is not zero, and then no query is found.
        connection._execute_command(
            COMMAND.COM_QUERY,
            f"SET @slept = SLEEP({seconds:f}); SET @found = (SELECT MIN(ID) FROM information_schema.PROCESSLIST "  # noqa: S608
            f"WHERE @slept = 0 AND ID <> CONNECTION_ID() AND INFO LIKE '%{mark}%'); KILL QUERY @found",
        )
        force_close: Callable[[], None] = connection._force_close
        return force_close

    def quote(self, name: str) -> str:
        """An identifier in back-ticks."""
        return quoted(name, "`", "`")

    def literal(self, value: str) -> str:
        """A text as an SQL literal; sessions read backslashes as escapes."""
        return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"

    @property
    def url(self) -> str:
        """The URL, with the password in it, of the server that answered, as connectorx takes it."""
        user, password = (quote(text or "", safe="") for text in (self.address.user, self.address.password))
        return f"mysql://{user}:{password}@{self.server}/{quote(self.address.database, safe='')}"

    def list_tables(self, cursor: Any, place: Sequence[str]) -> Sequence[str]:
        """Names of the tables of a database; no place: of that of the URL."""
        cursor.execute(_TABLES, (place[-1] if place else None,))
        return [name for (name,) in cursor.fetchall()]

    @property
    def table_place(self) -> tuple[str | None, str]:
        """Database and name of the table; no database means that of the URL."""
        *place, name = self.table_name
        return (place[-1] if place else None), name

    def failure(self, error: BaseException, doing: str) -> FlinkXError:
        """The error of a driver as one of this package."""
        if isinstance(error, FlinkXError):
            return error
        code, text = _code_and_text(error)
        text = text.replace(self.url, str(self))
        message = self.address.conceal(f"{self}: {doing}: {text}")
        if code in _ACCESS_CODES:
            return AccessDeniedError(message)
        if code in _MISSING_CODES:
            return NotFoundError(message)
        if code in _TIMEOUT_CODES:
            return DataError(f"{message} (the server's own limit; a statement in `session` may raise it)")
        broken = code in _BROKEN_CODES or any(words in text for words in ("IO error", "IoError", "DriverError"))
        return ConnectionFailedError(message) if broken else DataError(message)

    def refusal(self, error: BaseException) -> RowRefusedError | None:
        """The error as one about a row, or None when it is about something else."""
        code, text = _code_and_text(error)
        known = _DUPLICATE_CODES | _NULL_CODES | _CONSTRAINT_CODES | _CONVERSION_CODES
        if code not in known and not isinstance(error, (pymysql.DataError, pymysql.IntegrityError)):
            return None
        return refusal_of(code, self.address.conceal(text))

    def _login(self, server: Server, local_files: bool, flags: int, tls: Mapping[str, Any]) -> pymysql.Connection[Any]:
        seconds = max(2, CONNECT_SECONDS // len(self.address.servers))
        connection = pymysql.connect(
            host=server.host,
            port=server.port,
            user=self.address.user,
            password=self.address.password or "",
            database=self.address.database or None,
            charset="utf8mb4",
            connect_timeout=seconds,
            read_timeout=seconds,
            local_infile=local_files,
            client_flag=CLIENT.FOUND_ROWS | flags,
            max_allowed_packet=1 << 30,
            **tls,
        )
        # connect_timeout ends with the TCP connect, so a server that accepts and says nothing would hold the job
        # for ever. Statements may take longer than the login; the driver has no public way to say so.
        connection._read_timeout = None
        return connection

    def _start_session(self, connection: pymysql.Connection[Any]) -> pymysql.Connection[Any]:
        try:
            with connection.cursor() as cursor:
                for statement in (*SESSION, *self.session):
                    cursor.execute(statement)
        except pymysql.Error as error:
            connection.close()
            raise self.failure(error, f"session statement {statement!r}") from error
        return connection


def refusal_of(code: int, text: str) -> RowRefusedError:
    """A refused row by the code and the text of an error or a warning."""
    if code in _DUPLICATE_CODES:
        category = Category.DUPLICATE
    elif code in _NULL_CODES:
        category = Category.NULL
    else:
        category = Category.OTHER if code in _CONSTRAINT_CODES else Category.CONVERSION
    row = _AT_ROW.search(text)
    return RowRefusedError(category, text, int(row[1]) - 1 if row else None)


def _code_and_text(error: BaseException) -> tuple[int, str]:
    """Number and words of an error of PyMySQL, or of connectorx, which has them in its text."""
    if isinstance(error, pymysql.Error) and len(error.args) >= 2 and isinstance(error.args[0], int):
        return error.args[0], str(error.args[1])
    if isinstance(error, OSError):
        return 2003, str(error)
    text = str(error)
    found = _CODE.search(text)
    return (int(found[1]) if found else -1), text
