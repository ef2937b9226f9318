"""Oracle: logins by python-oracledb in thin mode, names, error codes, the catalog."""

# ruff: noqa: S608 -- SQL is made here of quoted names
from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import oracledb

from airflow_provider_flinkx.exceptions import (
    AccessDeniedError,
    ConnectionFailedError,
    DataError,
    FlinkXError,
    NotFoundError,
)
from airflow_provider_flinkx.plugins.base import Category
from airflow_provider_flinkx.plugins.oracle import url
from airflow_provider_flinkx.plugins.oracle.tables import OracleTables
from airflow_provider_flinkx.plugins.oracle.types import TargetColumn
from airflow_provider_flinkx.plugins.relational.database import CONNECT_SECONDS, Database
from airflow_provider_flinkx.plugins.relational.isolation import RowRefusedError
from airflow_provider_flinkx.plugins.relational.names import quoted, upper_case

#: Numbers have a point, and keys are ordered as they are compared, whatever the server's own settings are.
SESSION = "ALTER SESSION SET NLS_NUMERIC_CHARACTERS = '.,' NLS_SORT = BINARY NLS_COMP = BINARY"
_ACCESS_CODES = frozenset({1005, 1017, 1031, 1045, 28000, 28001, 28002, 28009})
_MISSING_CODES = frozenset({904, 942, 1435, 2289, 4043, 12504, 12505, 12514})
_MISSING_DRIVER_CODES = ("DPY-6001", "DPY-6003", "DPY-4000", "DPY-4026", "DPY-4027")
_BROKEN_CODES = frozenset(
    {28, 1012, 1033, 1034, 1089, 1090, 1092, 2396, 3113, 3114, 3135, 12170, 12516, 12519, 12520, 12528, 12537, 12541,
     12543, 12547, 12570, 12571}
)  # fmt: skip
_BROKEN_DRIVER_CODES = ("DPY-1001", "DPY-4011", "DPY-6000", "DPY-6002", "DPY-6004", "DPY-6005", "DPY-6006", "DPY-6010")
_TIMEOUTS = ("DPY-4024", "ORA-01013")
_DUPLICATE_CODES = frozenset({1, 1452})
_NULL_CODES = frozenset({1400, 1407})
_CONSTRAINT_CODES = frozenset({1402, 2290, 2291, 2292, 14400, 14401, 14402})
_CONVERSION_CODES = frozenset(
    {910, 932, 1401, 1426, 1438, 1461, 1465, 1481, 1489, 1722, 6502, 12899, 19011, 22835, 29275, 31011, 40441, 40587,
     51805, 51862, *range(1830, 1900)}
)  # fmt: skip
#: What to do about an error that says little.
_HINTS = {
    1466: "it was made or altered after the snapshot, or a moment before; try again",
    1555: "the undo of the rows as they were is gone: raise UNDO_RETENTION, or read faster, with more channels",
    8181: "the database no longer knows the snapshot, as after a restore: run the job under another key",
}
#: Codes of a function or view that a user may not use: as if it were not there.
_NOT_ALLOWED_CODES = frozenset({904, 942, 1031, 6550})
_SCN_QUERIES = (
    "SELECT TO_CHAR(DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER) FROM DUAL",
    "SELECT TO_CHAR(CURRENT_SCN) FROM V$DATABASE",
)
#: Raised by triggers with RAISE_APPLICATION_ERROR.
_APPLICATION_CODES = range(20000, 21000)

_PLACE = """
SELECT OWNER, TABLE_NAME FROM ALL_TABLES WHERE OWNER = :1 AND TABLE_NAME = :2
UNION ALL
SELECT TABLE_OWNER, TABLE_NAME FROM ALL_SYNONYMS WHERE OWNER IN (:3, 'PUBLIC') AND SYNONYM_NAME = :4
"""
_TABLES = """
SELECT TABLE_NAME FROM ALL_TABLES
WHERE OWNER = COALESCE(:1, SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA')) AND NESTED = 'NO' AND SECONDARY = 'N'
  AND COALESCE(IOT_TYPE, 'IOT') = 'IOT' AND TABLE_NAME NOT LIKE 'BIN$%'
"""
_COLUMNS = """
SELECT COLUMN_NAME, DATA_TYPE, DATA_PRECISION, DATA_SCALE, NULLABLE FROM ALL_TAB_COLS
WHERE OWNER = :1 AND TABLE_NAME = :2 AND HIDDEN_COLUMN = 'NO' AND VIRTUAL_COLUMN = 'NO'
ORDER BY COLUMN_ID
"""
_UNIQUE_KEYS = """
SELECT i.INDEX_NAME, k.COLUMN_NAME FROM ALL_INDEXES i
JOIN ALL_IND_COLUMNS k ON k.INDEX_OWNER = i.OWNER AND k.INDEX_NAME = i.INDEX_NAME
LEFT JOIN ALL_CONSTRAINTS c
  ON c.OWNER = i.TABLE_OWNER AND c.TABLE_NAME = i.TABLE_NAME AND c.INDEX_NAME = i.INDEX_NAME AND c.CONSTRAINT_TYPE = 'P'
WHERE i.TABLE_OWNER = :1 AND i.TABLE_NAME = :2 AND i.UNIQUENESS = 'UNIQUE' AND i.INDEX_TYPE NOT LIKE 'FUNCTION%'
ORDER BY CASE WHEN c.CONSTRAINT_TYPE = 'P' THEN 0 ELSE 1 END, i.INDEX_NAME, k.COLUMN_POSITION
"""
#: Characters of a piece of a long literal, even if each of them is a quote that stands there twice.
_LITERAL = 2_000
_NUMBERS = re.compile(r"\(.*?\)")


class Oracle(Database):
    """A login to an Oracle database."""

    product = "Oracle"
    tables_class = OracleTables
    schemes = frozenset({"oracle"})
    default_port = url.DEFAULT_PORT
    long_text = "CLOB"
    exact_text = "VARCHAR2(200)"
    long_integer = "NUMBER(19)"
    address: url.OracleAddress

    def read_address(self, parameter: Mapping[str, Any]) -> url.OracleAddress:
        """The address of a URL in one of Oracle's forms."""
        return url.address_of(parameter)

    def connect(self) -> Any:
        """A new connection of python-oracledb with our session settings; autocommit is off."""
        statement = "connect"
        try:
            connection = self._login()
            with connection.cursor() as cursor:
                for statement in (SESSION, *self.session):
                    cursor.execute(statement)
        except (oracledb.Error, OSError, ValueError) as error:
            raise self.failure(error, statement if statement == "connect" else f"session {statement!r}") from error
        connection.call_timeout = url.read_timeout(self._parameter)
        return connection

    def quote(self, name: str) -> str:
        """An identifier in double quotes."""
        return quoted(name)

    def literal(self, value: str) -> str:
        """A text as an SQL literal."""
        return "'" + value.replace("'", "''") + "'"

    def long_literal(self, value: str) -> str:
        """A text of ASCII as a CLOB, joined of literals: one alone has 4000 bytes at most."""
        pieces = [value[start : start + _LITERAL] for start in range(0, len(value), _LITERAL)]
        return " || ".join(f"TO_CLOB({self.literal(piece)})" for piece in pieces)

    def long_value(self, value: Any) -> str:
        """The text of a CLOB, of which the driver gives a locator unless it is set to fetch them (`fetch_lobs`)."""
        return value if isinstance(value, str) else str(value.read())

    def stored_name(self, written: str) -> str:
        """Oracle knows names without quotes in upper case."""
        return upper_case(written)

    def version(self, connection: Any) -> str:
        """Product and version, as the driver learnt at the login."""
        return f"Oracle Database {connection.version}"

    def more_results(self, cursor: Any) -> bool:  # noqa: ARG002  # the driver has no such call
        """Each statement of a job stands alone."""
        return False

    def place(self, cursor: Any) -> tuple[str, str] | None:
        """Owner and name of the table, also of the one behind a synonym; None for a view or no table."""
        *schema, name = self.table_name
        if schema:
            owner = schema[-1]
        else:
            cursor.execute("SELECT SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA') FROM DUAL")
            owner = str(cursor.fetchone()[0])
        cursor.execute(_PLACE, [owner, name, owner, name])
        found = cursor.fetchone()
        return None if found is None else (str(found[0]), str(found[1]))

    def list_tables(self, cursor: Any, place: Sequence[str]) -> Sequence[str]:
        """Names of the tables of a schema, or of the session's."""
        cursor.execute(_TABLES, [place[-1] if place else None])
        return [str(name) for (name,) in cursor.fetchall()]

    def table_columns(self, cursor: Any) -> Sequence[TargetColumn]:
        """The columns of the table that can be written, in their order; empty when it is no table."""
        place = self.place(cursor)
        if place is None:
            return ()
        cursor.execute(_COLUMNS, list(place))
        return [
            TargetColumn(name, _NUMBERS.sub("", kind), precision, scale, nullable == "Y")
            for name, kind, precision, scale, nullable in cursor.fetchall()
        ]

    def unique_keys(self, cursor: Any) -> Sequence[Sequence[str]]:
        """Columns of the table's unique indexes, the primary key's first."""
        place = self.place(cursor)
        if place is None:
            return ()
        cursor.execute(_UNIQUE_KEYS, list(place))
        keys: dict[str, list[str]] = {}
        for index, column in cursor.fetchall():
            keys.setdefault(index, []).append(column)
        return list(keys.values())

    def current_scn(self, cursor: Any) -> str:
        """The system change number of now.

        Raises:
            AccessDeniedError: the user may ask nobody for it.
        """
        for query in _SCN_QUERIES:
            try:
                cursor.execute(query)
            except oracledb.Error as error:
                if _described(error)[0] not in _NOT_ALLOWED_CODES:
                    raise
            else:
                return str(int(cursor.fetchone()[0]))
        message = f"consistent: {self.address.user} may not see the SCN: GRANT EXECUTE ON DBMS_FLASHBACK, or "
        raise self.error(AccessDeniedError, f"{message}SELECT ON V_$DATABASE, to this user")

    def check_flashback(self, cursor: Any, scn: str) -> None:
        """Raise what keeps the table from being read as of an SCN."""
        try:
            cursor.execute(f"SELECT 1 FROM {self.table} AS OF SCN {scn} WHERE 1 = 0")
        except oracledb.Error as error:
            if _described(error)[0] != 1031:
                raise
            message = f"consistent: {self.address.user} may not read {self.table_label} as it was: GRANT FLASHBACK ON "
            raise self.error(AccessDeniedError, f"{message}{self.table_label} to this user") from error

    def failure(self, error: BaseException, doing: str) -> FlinkXError:
        """The error of the driver as one of this package."""
        if isinstance(error, FlinkXError):
            return error
        code, full_code, text = _described(error)
        text += f" ({_HINTS[code]})" if code in _HINTS else ""
        message = self.address.conceal(f"{self}: {doing}: {text}")
        if code in _ACCESS_CODES:
            return AccessDeniedError(message)
        if code in _MISSING_CODES or full_code in _MISSING_DRIVER_CODES:
            return NotFoundError(message)
        if full_code in _TIMEOUTS:
            return DataError(f"{message} (queryTimeOut sets the seconds allowed)")
        broken = code in _BROKEN_CODES or full_code in _BROKEN_DRIVER_CODES or isinstance(error, OSError)
        return ConnectionFailedError(message) if broken else DataError(message)

    def refusal(self, error: Any) -> RowRefusedError | None:
        """An error of a batch as one about its row, or None when it is about something else."""
        if error.code in _DUPLICATE_CODES:
            category = Category.DUPLICATE
        elif error.code in _NULL_CODES:
            category = Category.NULL
        elif error.code in _CONSTRAINT_CODES or error.code in _APPLICATION_CODES:
            category = Category.OTHER
        elif error.code in _CONVERSION_CODES:
            category = Category.CONVERSION
        else:
            return None
        return RowRefusedError(category, self.address.conceal(error.message))

    def _login(self) -> Any:
        """A connection, in time: the driver waits for ever on a server that accepts and says nothing."""
        arguments = url.settings(self._parameter, self.address)
        mode = arguments.pop("mode", None)
        if mode:
            arguments["mode"] = oracledb.AuthMode[f"{mode.upper()}"]
        arguments.setdefault("tcp_connect_timeout", max(2, CONNECT_SECONDS // max(1, len(self.address.servers))))
        answers: list[Any] = []

        def log_in() -> None:
            try:
                answers.append(
                    oracledb.connect(
                        user=self.address.user, password=self.address.password, dsn=self.address.dsn, **arguments
                    )
                )
            except BaseException as error:  # handed to the caller's thread
                answers.append(error)

        attempt = threading.Thread(target=log_in, daemon=True)
        attempt.start()
        attempt.join(CONNECT_SECONDS)
        if not answers:
            raise self.error(ConnectionFailedError, f"connect: no answer within {CONNECT_SECONDS} s")
        if isinstance(answers[0], BaseException):
            raise answers[0]
        return answers[0]


def _described(error: BaseException) -> tuple[int, str, str]:
    """Number, code and words of an error of the driver; its hints and links are left out."""
    details = error.args[0] if isinstance(error, oracledb.Error) and error.args else None
    if details is None or not hasattr(details, "full_code"):
        return 0, "", str(error)
    return int(details.code or 0), str(details.full_code), str(details.message).partition("\nHelp:")[0]
