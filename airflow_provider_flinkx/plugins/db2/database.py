"""DB2: logins by ibm_db, names, error codes, the catalog."""

# ruff: noqa: S608 -- SQL is made here of the catalog's name
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import ibm_db
import ibm_db_dbi

from airflow_provider_flinkx.exceptions import (
    AccessDeniedError,
    ConnectionFailedError,
    DataError,
    FlinkXError,
    NotFoundError,
)
from airflow_provider_flinkx.plugins.base import Category
from airflow_provider_flinkx.plugins.db2 import url
from airflow_provider_flinkx.plugins.db2.tables import DB2Tables
from airflow_provider_flinkx.plugins.relational.database import CONNECT_SECONDS, Database
from airflow_provider_flinkx.plugins.relational.isolation import RowRefusedError
from airflow_provider_flinkx.plugins.relational.jdbc import Address, Server
from airflow_provider_flinkx.plugins.relational.names import quoted, upper_case


class CatalogColumn(NamedTuple):
    """A row of SYSCAT.COLUMNS, where bytes have code page 0 and `generated` 'A' is always.

    `length` counts `string_units` where there are any, and `key` is the place in the primary key.
    """

    name: str
    type_name: str
    length: int
    scale: int
    code_page: int
    string_units: str | None
    nulls: str
    generated: str
    key: int | None


_STATE = re.compile(r"SQLSTATE=(\w{5})")
_CODE = re.compile(r"SQLCODE=(-?\d+)|\bSQL(\d{4,5})N\b")
_WRAPPING = re.compile(r"^(?:ibm_db_dbi::\w+: )?(?:Exception\(.)?(?:Statement \w+ Failed: |Sending data failed: )?")
#: Classes of SQLSTATE that speak of a row: data, constraint, WITH CHECK OPTION, signalled by a trigger.
_ROW_CLASSES = ("22", "23", "44", "75")
_CATEGORIES = {"23505": Category.DUPLICATE, "23502": Category.NULL}
#: Two source rows of one MERGE meet the same row of the target; one by one they do not.
_TWICE_IN_MERGE = "21506"
_ACCESS_CODES = frozenset({-30082, -551, -552, -1060, -1092, -567})
_ACCESS_STATES = ("42501", "28000", "42502", "08004")
_MISSING_STATES = ("42704", "42703", "42705", "3F000", "42S02", "42S22", "42X04", "42X05", "42Y07")
_MISSING_CODES = frozenset({-30061, -1013, -1031})
_TIMEOUT_STATES = ("57014", "HYT00")
#: Characters of a piece of a long literal, even if each of them is a quote that stands there twice.
_LITERAL = 16_000
_BROKEN_STATES = ("40003", "57011", "57019", "58009", "HY010")


class DB2(Database):
    """A login to a DB2 database."""

    product = "DB2"
    tables_class = DB2Tables
    schemes = frozenset({"db2"})
    default_port = url.DEFAULT_PORT
    long_text = "clob(67108864)"
    #: Schema of the catalog's views.
    catalog: ClassVar[str] = "SYSCAT"
    #: What a length counts, as the catalog and as a declaration has it.
    units: ClassVar[Mapping[str, str]] = {
        "OCTETS": " OCTETS", "CODEUNITS16": " CODEUNITS16", "CODEUNITS32": " CODEUNITS32",
    }  # fmt: skip
    _given_schema: str | None = None

    def read_address(self, parameter: Mapping[str, Any]) -> Address:
        """The address of a URL in the form of DB2."""
        return url.address_of(parameter)

    def connect(self) -> Any:
        """A new connection of ibm_db_dbi, autocommit off; the servers are tried in their order."""
        error: Exception | None = None
        for server in self.address.servers:
            try:
                handle = ibm_db.connect(self._dsn(server), "", "", _OPTIONS)
            except Exception as refused:  # the driver raises nothing more precise
                error = error or refused
                continue
            return self._start_session(_Connection(handle))
        assert error is not None
        raise self.failure(error, "connect") from error

    def quote(self, name: str) -> str:
        """An identifier in double quotes."""
        return quoted(name)

    def literal(self, value: str) -> str:
        """A text as an SQL literal."""
        return "'" + value.replace("'", "''") + "'"

    def long_literal(self, value: str) -> str:
        """A text of ASCII as a CLOB, joined of literals: one alone has 32,672 bytes at most."""
        pieces = [value[start : start + _LITERAL] for start in range(0, len(value), _LITERAL)]
        if len(pieces) == 1:
            return self.literal(value)
        return " || ".join(f"CAST({self.literal(piece)} AS CLOB({_LITERAL}))" for piece in pieces)

    def stored_name(self, written: str) -> str:
        """DB2 knows ordinary names in upper case; FlinkX writes them without quotes (db2.md)."""
        return upper_case(written)

    def version(self, connection: Any) -> str:
        """Product and version, as the server tells the driver."""
        info = ibm_db.server_info(connection.conn_handler)
        return f"{info.DBMS_NAME} {info.DBMS_VER}"

    def more_results(self, cursor: Any) -> bool:  # noqa: ARG002  # the driver raises where there is none
        """Nothing is left to fetch: each statement of a job stands alone."""
        return False

    def place(self, cursor: Any) -> tuple[str, str]:
        """Schema and name of the table in the catalog; without a schema the session's counts."""
        *schema, name = self.table_name
        if schema:
            return schema[-1], name
        if self._given_schema is None:
            cursor.execute("SELECT CURRENT SCHEMA FROM SYSIBM.SYSDUMMY1")
            self._given_schema = str(cursor.fetchone()[0]).rstrip()
        return self._given_schema, name

    def list_tables(self, cursor: Any, place: Sequence[str]) -> Sequence[str]:
        """Names of the tables of a schema, or of the session's."""
        schema = self.literal(place[-1]) if place else "CURRENT SCHEMA"
        cursor.execute(f"SELECT TABNAME FROM {self.catalog}.TABLES WHERE TABSCHEMA = {schema} AND TYPE = 'T'")
        return [str(name) for (name,) in cursor.fetchall()]

    def table_columns(self, cursor: Any) -> Sequence[CatalogColumn]:
        """The table's columns in their order; empty when there is no such table.

        A distinct type counts as the type that it is made of.
        """
        cursor.execute(
            # Of a distinct type the column has no length; in characters (CODEUNITS32) LENGTH counts bytes all the same.
            f"SELECT c.COLNAME, COALESCE(d.SOURCENAME, c.TYPENAME), COALESCE(d.LENGTH, c.STRINGUNITSLENGTH, c.LENGTH), "
            f"COALESCE(d.SCALE, c.SCALE), c.CODEPAGE, c.TYPESTRINGUNITS, c.NULLS, c.GENERATED, c.KEYSEQ "
            f"FROM {self.catalog}.COLUMNS c "
            f"LEFT JOIN {self.catalog}.DATATYPES d "
            "ON d.TYPESCHEMA = c.TYPESCHEMA AND d.TYPENAME = c.TYPENAME AND d.METATYPE = 'T' "
            "WHERE c.TABSCHEMA = ? AND c.TABNAME = ? ORDER BY c.COLNO",
            self.place(cursor),
        )
        return [CatalogColumn(*row) for row in cursor.fetchall()]

    def unique_keys(self, cursor: Any) -> Sequence[Sequence[str]]:
        """Columns of the table's unique indexes, the primary key's first."""
        cursor.execute(
            f"SELECT i.INDNAME, k.COLNAME FROM {self.catalog}.INDEXES i "
            f"JOIN {self.catalog}.INDEXCOLUSE k ON k.INDSCHEMA = i.INDSCHEMA AND k.INDNAME = i.INDNAME "
            "WHERE i.TABSCHEMA = ? AND i.TABNAME = ? AND i.UNIQUERULE IN ('P', 'U') AND k.COLORDER IN ('A', 'D') "
            "ORDER BY CASE WHEN i.UNIQUERULE = 'P' THEN 0 ELSE 1 END, i.INDNAME, k.COLSEQ",
            self.place(cursor),
        )
        keys: dict[str, list[str]] = {}
        for index, column in cursor.fetchall():
            keys.setdefault(index, []).append(column)
        return list(keys.values())

    def referring_tables(self, cursor: Any) -> Sequence[str]:
        """Other tables whose foreign keys refer to the table."""
        place = self.place(cursor)
        cursor.execute(
            f'SELECT DISTINCT TABSCHEMA, TABNAME FROM {self.catalog}."REFERENCES" '
            "WHERE REFTABSCHEMA = ? AND REFTABNAME = ? ORDER BY TABSCHEMA, TABNAME",
            place,
        )
        return [".".join(found) for found in cursor.fetchall() if tuple(found) != place]

    def cardinality(self, cursor: Any) -> int | None:
        """Rows of the table at the last RUNSTATS, -1 before the first one; None when it is no table."""
        cursor.execute(
            f"SELECT CARD FROM {self.catalog}.TABLES WHERE TABSCHEMA = ? AND TABNAME = ? AND TYPE = 'T'",
            self.place(cursor),
        )
        found = cursor.fetchone()
        return None if found is None else int(found[0])

    def failure(self, error: BaseException, doing: str) -> FlinkXError:
        """The error of the driver as one of this package."""
        if isinstance(error, FlinkXError):
            return error
        text = self._text(error)
        state, code = _state(text), _code(text)
        message = self.address.conceal(f"{self}: {doing}: {text}")
        if code in _MISSING_CODES or state in _MISSING_STATES:
            return NotFoundError(message)
        if code in _ACCESS_CODES or state in _ACCESS_STATES:
            return AccessDeniedError(message)
        if state in _TIMEOUT_STATES:
            return DataError(f"{message} (queryTimeOut sets the seconds allowed)")
        broken = state in _BROKEN_STATES or state.startswith("08") or "CLI0106E" in text or "CLI0108E" in text
        return ConnectionFailedError(message) if broken else DataError(message)

    def refusal(self, error: BaseException) -> RowRefusedError | None:
        """The error as one about a row, or None when it is about something else."""
        text = self._text(error)
        state = _state(text)
        if state != _TWICE_IN_MERGE and (not state or state[:2] not in _ROW_CLASSES):
            return None
        category = _CATEGORIES.get(state, Category.CONVERSION if state.startswith("22") else Category.OTHER)
        return RowRefusedError(category, self.address.conceal(text))

    def _text(self, error: BaseException) -> str:
        return _WRAPPING.sub("", " ".join(str(error).split())).replace("[IBM][CLI Driver]", "").strip()

    def _dsn(self, server: Server) -> str:
        seconds = max(2, CONNECT_SECONDS // len(self.address.servers))
        keywords = {
            "DATABASE": self.address.database,
            "HOSTNAME": server.host,
            "PORT": str(server.port),
            "PROTOCOL": "TCPIP",
            "CONNECTTIMEOUT": str(seconds),
            **url.settings(self._parameter, self.address),
            "UID": self.address.user or "",
            "PWD": self.address.password or "",
        }
        return "".join(f"{name}={_quoted(value)};" for name, value in keywords.items())

    def _start_session(self, connection: Any) -> Any:
        statement = ""
        try:
            schema = url.current_schema(self._parameter, self.address)
            chosen = [f"SET SCHEMA {self.quote(self.stored_name(schema))}"] if schema else []
            for statement in (*chosen, *self.session):
                ibm_db.exec_immediate(connection.conn_handler, whole(statement))
            ibm_db.commit(connection.conn_handler)
        except Exception as error:
            connection.close()
            raise self.failure(error, f"session statement {statement!r}") from error
        return connection


def whole(statement: str) -> str:
    """A statement of which the driver sends all: it counts a character beyond U+FFFF as one and sends it as two."""
    return statement + " " * sum(character > "\uffff" for character in statement)


class _Connection(ibm_db_dbi.Connection):  # type: ignore[misc]
    def cursor(self) -> _Cursor:
        return _Cursor(self.conn_handler, self)


class _Cursor(ibm_db_dbi.Cursor):  # type: ignore[misc]
    def execute(self, operation: str, parameters: Sequence[Any] | None = None) -> Any:
        return super().execute(whole(operation), parameters)


_OPTIONS = {ibm_db.SQL_ATTR_AUTOCOMMIT: ibm_db.SQL_AUTOCOMMIT_OFF}


def _state(text: str) -> str:
    found = _STATE.search(text)
    return found[1] if found else ""


def _code(text: str) -> int:
    found = _CODE.search(text)
    return 0 if found is None else int(found[1]) if found[1] else -int(found[2])


def _quoted(value: str) -> str:
    """A value of the driver's connection string; braces keep what would end it."""
    return f"{{{value}}}" if ";" in value else value
