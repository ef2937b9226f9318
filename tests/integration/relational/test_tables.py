"""Target tables that a job makes, empties, replaces or widens.

SQL Server is the stand-in, unless FLINKX_TEST_SQLSERVER_URL names a real one: its DDL is PostgreSQL's then. So is DB2,
unless FLINKX_TEST_DB2_URL names one; Oracle takes part where FLINKX_TEST_ORACLE_URL does.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pytest

from airflow_provider_flinkx.exceptions import ConnectionFailedError, DataError, FlinkXError, JobInvalidError
from airflow_provider_flinkx.jobs.model import Column
from airflow_provider_flinkx.plugins.base import Category
from airflow_provider_flinkx.plugins.db2.database import DB2
from tests.db2_server import Db2Database
from tests.integration.relational import test_ledger as tries
from tests.integration.relational import test_round_trips as types
from tests.integration.relational.moving import DATABASES, move, reader, writer
from tests.oracle_server import OracleDatabase
from tests.running import run_job
from tests.servers import Database, MariadbDatabase, PostgresDatabase, SQLServerDatabase

POSTGRES = list(types.POSTGRES_TYPES)
MARIADB = [*types.MARIADB_TYPES, *types.MARIADB_EXPRESSIONS]
SQLSERVER = list(types.SQLSERVER_TYPES)
_NO_NUMBERS = {"NaN", "Infinity", "-Infinity"}
_NO_DATES = {"0044-03-15 BC", "5874897-12-31", "infinity", "-infinity"}
_NO_TIMESTAMPS = {
    "294276-12-31 23:59:59.999999", "294270-02-28 01:02:03.5", "40000-02-29", "20000-01-01 00:00:00",
    "0044-03-15 00:00:00 BC", "infinity", "-infinity",
}  # fmt: skip
_BEYOND_POSTGRES = {
    "real": _NO_NUMBERS,
    "double precision": _NO_NUMBERS,
    "numeric(18,2)": {"NaN"},
    "date": _NO_DATES,
    "timestamp": _NO_TIMESTAMPS,
    "timestamptz": {"infinity", "-infinity"},
}
_ZEROS = {"date": {"0000-00-00", "2024-00-00"}, "datetime": {"0000-00-00 00:00:00"}}
_WITH_U0000 = set(types.MARIADB_EXPRESSIONS["longtext"])
#: (source, target) -> values that the target has in no type but text, by their type: their rows are rejected.
BEYOND: Mapping[tuple[str, str], Mapping[str, set[str]]] = {
    ("left", "right"): _BEYOND_POSTGRES,
    ("left", "third"): {**_BEYOND_POSTGRES, "time": {"24:00:00"}},
    ("right", "left"): {**_ZEROS, "longtext": _WITH_U0000},
    ("right", "third"): _ZEROS,
    ("third", "left"): {},
    ("third", "right"): {},
}
#: Values that come back equal, but in another form; U+0000, which the PostgreSQL behind the stand-in lacks.
NOT_COMPARED: Mapping[tuple[str, str], Mapping[str, set[str]]] = {
    ("left", "right"): {"real": {"-0"}},  # a zero has no sign in MariaDB
    ("right", "third"): {"longtext": _WITH_U0000},
    ("third", "left"): {"datetimeoffset(3)": {"'2024-02-29 12:34:56.789 -12:00'"}},  # an instant, without its offset
    ("third", "right"): {"datetimeoffset(3)": {"'2024-02-29 12:34:56.789 -12:00'"}},
}
#: (source, target) -> type of the source -> what the target's catalog says of the column that is made for it.
MADE = {
    ("left", "right"): {
        "boolean": "tinyint(1)",
        "smallint": "smallint(6)",
        "bigint": "bigint(20)",
        "real": "double",
        "numeric(18,2)": "decimal(18,2)",
        "numeric(60,20)": "decimal(60,20)",
        "numeric(38,38)": "varchar(41)",
        "numeric": "longtext",
        "text": "longtext",
        "varchar(5)": "varchar(5)",
        "char(5)": "varchar(5)",
        "bytea": "longblob",
        "date": "date",
        "time": "time(6)",
        "time(3)": "time(3)",
        "timestamp(0)": "datetime",
        "timestamptz": "datetime(6)",
        "uuid": "varchar(36)",
        "jsonb": "longtext",
        "integer[]": "longtext",
        "bit(9)": "varchar(9)",
        "interval": "longtext",
        "mood": "longtext",
        "positive": "int(11)",
    },
    ("right", "left"): {
        "tinyint unsigned": "smallint",
        "int unsigned zerofill": "bigint",
        "bigint unsigned": "numeric(20,0)",
        "mediumint": "integer",
        "float": "real",
        "double": "double precision",
        "decimal(65,30)": "numeric(65,30)",
        "year": "smallint",
        "datetime(3)": "timestamp(3) without time zone",
        "timestamp(6) null": "timestamp with time zone",
        "time": "interval",
        "char(5)": "character varying(5)",
        "varchar(20)": "character varying(20)",
        "mediumtext": "text",
        "enum('a','b ''c')": "character varying(4)",
        "json": "text",
        "uuid": "uuid",
        "binary(4)": "bytea",
        "bit(1)": "boolean",
        "bit(9)": "numeric(20,0)",
        "geometry": "bytea",
    },
    ("left", "third"): {
        "boolean": "bit",
        "smallint": "smallint",
        "bigint": "bigint",
        "real": "float",
        "numeric(18,2)": "decimal(18,2)",
        "numeric(60,20)": "varchar(63)",
        "numeric(38,38)": "decimal(38,38)",
        "numeric": "nvarchar(max)",
        "text": "nvarchar(max)",
        "varchar(5)": "nvarchar(10)",
        "char(5)": "nvarchar(10)",
        "bytea": "varbinary(max)",
        "date": "date",
        "time": "time(6)",
        "time(3)": "time(3)",
        "timestamp(0)": "datetime2(0)",
        "timestamp": "datetime2(6)",
        "timestamptz": "datetimeoffset(6)",
        "uuid": "uniqueidentifier",
        "jsonb": "nvarchar(max)",
        "interval": "nvarchar(max)",
        "positive": "int",
    },
    ("right", "third"): {
        "tinyint": "smallint",
        "tinyint unsigned": "tinyint",
        "smallint unsigned": "int",
        "int unsigned zerofill": "bigint",
        "bigint unsigned": "decimal(20,0)",
        "float": "float",
        "decimal(65,30)": "varchar(68)",
        "year": "smallint",
        "datetime(3)": "datetime2(3)",
        "timestamp(6) null": "datetimeoffset(6)",
        "time(6)": "varchar(17)",
        "varchar(20)": "nvarchar(40)",
        "enum('a','b ''c')": "nvarchar(8)",
        "json": "nvarchar(max)",
        "uuid": "uniqueidentifier",
        "binary(4)": "varbinary(4)",
        "varbinary(300)": "varbinary(300)",
        "blob": "varbinary(max)",
        "bit(1)": "bit",
        "bit(64)": "decimal(20,0)",
    },
    ("third", "left"): {
        "tinyint": "smallint",
        "decimal(38,0)": "numeric(38,0)",
        "money": "numeric(19,4)",
        "smallmoney": "numeric(10,4)",
        "real": "real",
        "float": "double precision",
        "time(3)": "time(3) without time zone",
        "time": "character varying(16)",
        "datetime": "timestamp(3) without time zone",
        "smalldatetime": "timestamp(0) without time zone",
        "datetime2(3)": "timestamp(3) without time zone",
        "datetime2": "character varying(27)",
        "datetimeoffset": "character varying(34)",
        "datetimeoffset(3)": "timestamp(3) with time zone",
        "char(5)": "character varying(5)",
        "nvarchar(4)": "character varying(4)",
        "nvarchar(max)": "text",
        "binary(4)": "bytea",
        "uniqueidentifier": "uuid",
        "xml": "text",
    },
    ("third", "right"): {
        "tinyint": "tinyint(3) unsigned",
        "money": "decimal(19,4)",
        "real": "double",
        "datetime": "datetime(3)",
        "datetime2": "varchar(27)",
        "datetimeoffset(3)": "datetime(3)",
        "nvarchar(4)": "varchar(4)",
        "varbinary(300)": "varbinary(300)",
        "varbinary(max)": "longblob",
        "uniqueidentifier": "varchar(36)",
    },
}

#: Type of the source -> what the catalog of DB2's stand-in says of the column that is made for it.
MADE_IN_DB2 = {
    "left": {
        "boolean": "BOOLEAN 1 0",
        "smallint": "SMALLINT 5 0",
        "bigint": "BIGINT 19 0",
        "numeric(18,2)": "DECIMAL 18 2",
        "numeric(60,20)": "VARCHAR 63 0",
        "varchar(5)": "VARCHAR 20 0",
        "char(5)": "VARCHAR 20 0",
        "bytea": "BLOB 1073741824 0",
        "date": "DATE 10 0",
        "time": "VARCHAR 15 0",
        "time(3)": "VARCHAR 12 0",
        "timestamp": "TIMESTAMP 26 6",
        "timestamptz": "TIMESTAMP 26 6",
        "uuid": "VARCHAR 36 0",
    },
    "right": {
        "tinyint": "SMALLINT 5 0",
        "bigint unsigned": "DECIMAL 20 0",
        "decimal(65,30)": "VARCHAR 68 0",
        "datetime(6)": "TIMESTAMP 26 6",
        "time(6)": "VARCHAR 17 0",
        "varchar(20)": "VARCHAR 80 0",
        "bit(1)": "BOOLEAN 1 0",
    },
}


@pytest.fixture(scope="module")
def left(postgres: PostgresDatabase) -> Database:
    database = postgres.fresh_database()
    database.execute(*types.POSTGRES_SETUP)
    return database


@pytest.fixture(scope="module")
def right(mariadb: MariadbDatabase) -> Database:
    return mariadb.fresh_database()


@pytest.fixture(scope="module")
def third(sqlserver: SQLServerDatabase) -> Database:
    return sqlserver.fresh_database()


@pytest.fixture(scope="module")
def fourth(db2: Db2Database) -> Database:
    return db2.fresh_database()


@pytest.fixture(scope="module")
def fifth(oracle: OracleDatabase) -> Database:
    return oracle.fresh_database()


def kinds_of(database: Database) -> list[str]:
    """Every type of a product."""
    if isinstance(database, SQLServerDatabase):
        return SQLSERVER
    return POSTGRES if isinstance(database, PostgresDatabase) else MARIADB


def declared(database: Database, table: str, column: str = "v") -> str:
    """The type of a column as the server's catalog has it."""
    if isinstance(database, SQLServerDatabase):
        described = f"sys.dm_exec_describe_first_result_set(N'SELECT {column} FROM {table}', NULL, 0)"
        return str(database.query(f"SELECT name, system_type_name FROM {described}")[0][1])
    if isinstance(database, Db2Database):
        query = f"SELECT TYPENAME, LENGTH, SCALE FROM {DB2.catalog}.COLUMNS WHERE TABSCHEMA = '{database.schema}'"
        return "{} {} {}".format(
            *database.query(f"{query} AND TABNAME = '{table.upper()}' AND COLNAME = '{column.upper()}'")[0]
        )
    if isinstance(database, OracleDatabase):
        query = "SELECT DATA_TYPE, DATA_LENGTH, DATA_PRECISION, DATA_SCALE FROM USER_TAB_COLUMNS"
        found = database.query(f"{query} WHERE TABLE_NAME = '{table.upper()}' AND COLUMN_NAME = '{column.upper()}'")[0]
        return " ".join(map(str, found))
    if isinstance(database, PostgresDatabase):
        query = f"SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{table}'::regclass"
        query += f" AND attname = '{column}'"
    else:
        query = "SELECT COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()"
        query += f" AND TABLE_NAME = '{table}' AND COLUMN_NAME = '{column}'"
    ((found,),) = database.query(query)
    return str(found.decode() if isinstance(found, bytes) else found)


def literals(database: Database, kind: str, lost: Collection[str] = ()) -> list[str]:
    """The values of a type but for some, as literals of its own database."""
    if isinstance(database, SQLServerDatabase):
        return [value for value in types.SQLSERVER_TYPES[kind] if value not in lost]
    if isinstance(database, PostgresDatabase):
        values = [value for value in types.POSTGRES_TYPES[kind] if value not in lost]
        return [f"'{value.replace(chr(39), chr(39) * 2)}'::{kind}" for value in values]
    values = types.MARIADB_EXPRESSIONS.get(kind) or [types.quoted(value) for value in types.MARIADB_TYPES[kind]]
    return [value for value in values if value not in lost and value not in map(types.quoted, lost)]


def create(database: Database, table: str, kinds: Iterable[str]) -> None:
    """A table with a column for each type, named v0, v1 ..."""
    columns = ", ".join(
        f"v{place} {kind} NULL" for place, kind in enumerate(kind.removesuffix(" null") for kind in kinds)
    )
    database.execute(f"DROP TABLE IF EXISTS {table}", f"CREATE TABLE {table} (id integer PRIMARY KEY, {columns})")


def fill(database: Database, columns: Mapping[str, list[str]]) -> None:
    """Such a table `source`, with as many rows as the type with most values needs, and one of nulls."""
    create(database, "source", columns)
    height = max(map(len, columns.values())) + 1
    rows = [
        ", ".join([str(row), *(values[row] if row < len(values) else "NULL" for values in columns.values())])
        for row in range(height)
    ]
    with contextlib.closing(database.connect()) as connection, contextlib.closing(connection.cursor()) as cursor:
        if isinstance(database, MariadbDatabase):
            cursor.execute("SET sql_mode = '', time_zone = '+00:00'")
        for row in rows:
            cursor.execute(f"INSERT INTO source VALUES ({row})")


def content(database: Database, table: str, kinds: Iterable[str]) -> list[tuple[object, ...]]:
    """Every value of a table, exactly."""
    shown = "HEX(v), CAST(v AS BINARY)"
    if isinstance(database, PostgresDatabase):
        shown = "encode(textsend(v::text), 'hex')"
    values = [
        re.sub(r"\bv\b", f"v{place}", types.shown(kind) if isinstance(database, SQLServerDatabase) else shown)
        for place, kind in enumerate(kinds)
    ]
    return database.query(f"SELECT id, {', '.join(values)} FROM {table} ORDER BY id")


@pytest.mark.parametrize(("source", "target"), MADE)
def test_a_made_table_holds_what_the_other_product_has(
    request: pytest.FixtureRequest, source: str, target: str
) -> None:
    """From a table with all types into one that is made for it, and back into one like it."""
    given, made = request.getfixturevalue(source), request.getfixturevalue(target)
    lost = [found.get((source, target), {}) for found in (BEYOND, NOT_COMPARED)]
    kinds = kinds_of(given)
    fill(given, {kind: literals(given, kind, set().union(*(each.get(kind, ()) for each in lost))) for kind in kinds})
    create(given, "back", kinds)
    made.execute("DROP TABLE IF EXISTS made")

    assert move(reader(given, "source"), writer(made, "made", createTable=True)).rejects == []
    assert move(reader(made, "made"), writer(given, "back")).rejects == []

    assert content(given, "back", kinds) == content(given, "source", kinds)
    wanted = MADE[source, target]
    assert {kind: declared(made, "made", f"v{kinds.index(kind)}") for kind in wanted} == wanted


@pytest.mark.parametrize(("source", "target", "kind"), [(*pair, kind) for pair in BEYOND for kind in BEYOND[pair]])
def test_what_the_other_product_does_not_have_is_rejected(
    request: pytest.FixtureRequest, source: str, target: str, kind: str
) -> None:
    given, made = request.getfixturevalue(source), request.getfixturevalue(target)
    lost = BEYOND[source, target][kind]
    kept = set(literals(given, kind, lost))
    values = [value for value in literals(given, kind) if value not in kept]
    fill(given, {kind: values})
    made.execute("DROP TABLE IF EXISTS made")
    assert len(move(reader(given, "source"), writer(made, "made", createTable=True)).rejects) == len(values)
    assert made.query("SELECT id, v0 FROM made") == [(len(values), None)]


@pytest.mark.parametrize("server", ["left", "right", "third"])
def test_a_database_makes_the_same_types_of_its_own(request: pytest.FixtureRequest, server: str) -> None:
    # Types of the user's need not be in another database.
    others = {"mood": "text", "positive": "integer"}
    database = request.getfixturevalue(server)
    kinds = kinds_of(database)
    fill(database, {kind: literals(database, kind) for kind in kinds})
    database.execute("DROP TABLE IF EXISTS made")
    assert move(reader(database, "source"), writer(database, "made", createTable=True)).rejects == []
    assert content(database, "made", kinds) == content(database, "source", kinds)
    for place, kind in enumerate(kinds):
        wanted = others.get(kind) or declared(database, "source", f"v{place}")
        assert declared(database, "made", f"v{place}") == wanted


def test_a_table_made_in_db2_holds_what_other_products_have(
    fourth: Db2Database, left: Database, right: Database
) -> None:
    """There and back, as far as the stand-in has the type, and the driver can read it from there."""
    sides = {"left": (left, MADE_IN_DB2["left"]), "right": (right, MADE_IN_DB2["right"])}
    for name, (given, wanted) in sides.items():
        lost = BEYOND[name, "third"]
        kinds = [kind for kind in kinds_of(given) if not fourth.is_stand_in or kind in wanted]
        beyond = {kind: lost.get(kind, set()) if kind != "time" else set() for kind in kinds}
        if fourth.is_stand_in:  # Java leaves out the days that were left out in 1582
            beyond["date"] = {*lost["date"], "1582-10-10"}
        fill(given, {kind: literals(given, kind, beyond[kind]) for kind in kinds})
        create(given, "back", kinds)
        fourth.drop("made")
        assert move(reader(given, "source"), writer(fourth, "made", createTable=True)).rejects == []
        assert move(reader(fourth, "made"), writer(given, "back")).rejects == []
        assert content(given, "back", kinds) == content(given, "source", kinds)
        assert {kind: declared(fourth, "made", f"v{kinds.index(kind)}") for kind in wanted} == wanted


def test_tables_of_db2_are_made_elsewhere_and_again(fourth: Db2Database, left: Database) -> None:
    kinds = {
        "a": "integer NOT NULL", "b": "varchar(20) NOT NULL", "c": "decimal(31,5)", "d": "timestamp", "e": "time",
        "f": "blob(1000)", "g": "date", "h": "boolean", "i": "double",
    }  # fmt: skip
    fourth.drop("source", "made")
    columns = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
    values = "1, 'é', 1.5, '2024-02-29 24:00:00', '23:59:59', cast(x'00ff' as blob), '2024-02-29', true, 0.1"
    fourth.execute(
        f"CREATE TABLE source ({columns}, PRIMARY KEY (b, a))",
        f"INSERT INTO source VALUES ({values.replace(' 24:', ' 23:')})",
    )
    for target in (fourth, left):
        target.drop("made")
        assert move(reader(fourth, "source"), writer(target, "made", createTable=True)).rejects == []
    assert fourth.query("SELECT * FROM made") == fourth.query("SELECT * FROM source")
    assert [declared(fourth, "made", name) for name in kinds] == [declared(fourth, "source", name) for name in kinds]
    made = [declared(left, "made", name.upper()) for name in kinds]
    assert made == [
        "integer", "character varying(20)", "numeric(31,5)", "timestamp without time zone", "time(0) without time zone",
        "bytea", "date", "boolean", "double precision",
    ]  # fmt: skip
    for database in (fourth, left):
        again = move(reader(fourth, "source"), writer(database, "made"))
        assert [reject.category for reject in again.rejects] == [Category.DUPLICATE]


@pytest.fixture(params=["left", "right", "third", "fourth", "fifth"][: len(DATABASES)])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(request.param)
    found.drop("child", "source", "target")
    return found


def test_nullability_and_the_key_go_along(left: Database, right: Database, third: Database) -> None:
    """A text key that differs in letter case and blanks only is a key still; blanks count nothing in SQL Server."""
    create = "CREATE TABLE source (b varchar(20), n integer NOT NULL, a text, c integer, PRIMARY KEY (a, b))"
    rows = "INSERT INTO source VALUES ('x', 1, 'k', NULL), ('x', 2, 'K', 1), ('x ', 3, 'k', 2), ('x', 4, 'k ', 3)"
    left.execute("DROP TABLE IF EXISTS source", create, rows)
    for target, most in ((left, 4), (right, 4), (third, 2)):
        target.execute("DROP TABLE IF EXISTS made")
        moved = move(reader(left, "source", where=f"n <= {most}"), writer(target, "made", createTable=True))
        assert (moved.rejects, moved.written) == ([], most)
        with pytest.raises(Exception, match=r"(?i)duplicate"):
            target.execute("INSERT INTO made VALUES ('x', 9, 'k', 9)")
        with pytest.raises(Exception, match=r"(?i)null"):
            target.execute("INSERT INTO made VALUES ('y', NULL, 'k', 9)")
        target.execute("INSERT INTO made VALUES ('y', 5, 'k', NULL)")
        usage = "information_schema.key_column_usage WHERE table_name = 'made'"
        key = target.query(f"SELECT column_name FROM {usage} ORDER BY ordinal_position")
        assert [name for (name,) in key] == ["a", "b"]


def test_a_part_of_a_key_is_none(left: Database, right: Database) -> None:
    left.execute("DROP TABLE IF EXISTS source", "CREATE TABLE source (a integer, b integer, PRIMARY KEY (a, b))")
    left.execute("INSERT INTO source VALUES (1, 1), (1, 2)")
    right.execute("DROP TABLE IF EXISTS made")
    assert move(reader(left, "source", names=["a"]), writer(right, "made", createTable=True)).written == 2


def test_names_constants_and_queries(left: Database, right: Database) -> None:
    left.execute("DROP TABLE IF EXISTS source", "CREATE TABLE source (a numeric(10,2) PRIMARY KEY, b varchar(7))")
    left.execute("INSERT INTO source VALUES (1.5, 'x')")
    right.execute("DROP TABLE IF EXISTS made", "DROP TABLE IF EXISTS queried")
    columns = ["b", Column(value="7", type="int"), "a"]
    move(reader(left, "source", names=columns), writer(right, "made", names=["x", "y z", "a`b"], createTable=True))
    assert [declared(right, "made", name) for name in ("x", "y z", "a`b")] == ["varchar(7)", "int(11)", "decimal(10,2)"]
    assert [str(value) for value in right.query("SELECT * FROM made")[0]] == ["x", "7", "1.50"]

    query = reader(left, None, customSql="SELECT a, b, now() AS at FROM source")
    move(query, writer(right, "queried", createTable=True))
    assert [declared(right, "queried", name) for name in ("a", "b", "at")] == [
        "decimal(10,2)",
        "longtext",
        "datetime(6)",
    ]


def test_instants_stay_instants_where_an_hour_occurs_twice(left: Database, right: Database) -> None:
    left.execute("DROP TABLE IF EXISTS source", "CREATE TABLE source (id integer, v timestamptz)")
    left.execute("INSERT INTO source VALUES (1, '2024-10-27 00:30+00'), (2, '2024-10-27 01:30+00')")
    right.execute("DROP TABLE IF EXISTS made")
    zone = "Europe/Berlin"
    move(reader(left, "source", timezone=zone), writer(right, "made", timezone=zone, createTable=True))
    assert declared(right, "made") == "timestamp(6)"
    left.execute("DROP TABLE IF EXISTS back", "CREATE TABLE back (LIKE source)")
    move(reader(right, "made", timezone=zone), writer(left, "back", timezone=zone))
    assert left.query("SELECT * FROM back ORDER BY id") == left.query("SELECT * FROM source ORDER BY id")


def test_long_texts_leave_the_row_where_it_would_be_too_long(left: Database, right: Database) -> None:
    kinds = ", ".join(f"v{place} varchar({length})" for place, length in enumerate([4000, 9000, 5000, 20]))
    left.execute("DROP TABLE IF EXISTS source", f"CREATE TABLE source ({kinds})")
    left.execute("INSERT INTO source VALUES (repeat('é', 4000), repeat('é', 9000), repeat('é', 5000), 'x')")
    right.execute("DROP TABLE IF EXISTS made")
    assert move(reader(left, "source"), writer(right, "made", createTable=True)).rejects == []
    assert [declared(right, "made", f"v{place}") for place in range(4)] == [
        "varchar(4000)", "longtext", "varchar(5000)", "varchar(20)",
    ]  # fmt: skip


def numbers(database: Database) -> list[int]:
    return sorted(int(row[0]) for row in database.query("SELECT id FROM target"))


def with_rows(database: Database) -> None:
    integer = "number(9)" if isinstance(database, OracleDatabase) else "integer"  # which has 38 digits there
    database.execute(
        f"CREATE TABLE source (id {integer} NOT NULL PRIMARY KEY, v varchar(5))",
        "INSERT INTO source VALUES (1, 'a')",
        "CREATE TABLE target (id decimal(19) NOT NULL, v varchar(9))",
        "INSERT INTO target VALUES (8, 'old')",
    )


@pytest.mark.parametrize(("mode", "wanted"), [("append", [1, 8]), ("truncate", [1]), ("recreate", [1])])
def test_what_becomes_of_rows_that_are_there(database: Database, mode: str, wanted: list[int]) -> None:
    with_rows(database)
    move(reader(database, "source"), writer(database, "target", saveMode=mode))
    assert numbers(database) == wanted
    same = declared(database, "target") == declared(database, "source")
    assert same == (mode == "recreate")


def test_rows_that_are_there_end_the_job(database: Database) -> None:
    with_rows(database)
    with pytest.raises(DataError, match=r"(?i)table target holds rows, and saveMode is error"):
        move(reader(database, "source"), writer(database, "target", saveMode="error"))
    assert numbers(database) == [8]
    database.execute("DELETE FROM target")
    move(reader(database, "source"), writer(database, "target", saveMode="error"))
    assert numbers(database) == [1]


@pytest.mark.parametrize("mode", ["truncate", "recreate"])
def test_rows_stay_where_the_job_cannot_begin(database: Database, mode: str) -> None:
    """The column is not there; or, where a table is made anew, another one needs the old one."""
    with_rows(database)
    if mode == "recreate":
        database.execute("ALTER TABLE target ADD PRIMARY KEY (id)")
        database.execute("CREATE TABLE child (id decimal(19), FOREIGN KEY (id) REFERENCES target (id))")
        target = writer(database, "target", saveMode=mode)
    else:
        target = writer(database, "target", names=["id", "missing"], saveMode=mode)
    with pytest.raises(FlinkXError):
        move(reader(database, "source"), target)
    assert numbers(database) == [8]
    assert declared(database, "target") != declared(database, "source")


def test_a_table_that_cannot_be_made_leaves_the_old_one(database: Database) -> None:
    with_rows(database)
    columns = [Column(name="id"), Column(name="v")]
    bad_name = "ctid" if isinstance(database, PostgresDatabase) else "x" * 129
    with pytest.raises(FlinkXError):
        move(
            reader(database, "source", names=columns),
            writer(database, "target", names=["id", bad_name], saveMode="recreate"),
        )
    assert numbers(database) == [8]


def test_pre_sql_comes_after_the_table(database: Database) -> None:
    with_rows(database)
    insert = "INSERT INTO target VALUES (5, 'new')"
    move(reader(database, "source"), writer(database, "target", saveMode="truncate", preSql=[insert]))
    assert numbers(database) == [1, 5]


def test_without_create_table_there_is_none(database: Database) -> None:
    with_rows(database)
    database.execute("DROP TABLE target")
    for mode in ("append", "truncate", "error"):
        with pytest.raises(FlinkXError, match=r"(?i)target"):
            move(reader(database, "source"), writer(database, "target", saveMode=mode))
    move(reader(database, "source"), writer(database, "target", saveMode="recreate"))
    assert numbers(database) == [1]


def test_differences_are_told_all_at_once_before_a_row_moves(left: Database, right: Database) -> None:
    columns = "id bigint, short varchar(50), amount numeric(20,4), at timestamp, added text"
    left.execute("DROP TABLE IF EXISTS source", f"CREATE TABLE source ({columns})")
    left.execute("INSERT INTO source VALUES (1, 'a', 1, '2024-01-01', 'x')")
    target = "CREATE TABLE target (id int, short varchar(20), amount decimal(24,4), at datetime(3))"
    right.execute("DROP TABLE IF EXISTS target", target)
    with pytest.raises(DataError) as caught:
        move(reader(left, "source"), writer(right, "target", schemaChange="fail"))
    assert str(caught.value).partition(": ")[2] == (
        "table target differs from the source: added text is missing; "
        "id is int(11) and cannot hold every bigint; "
        "short is varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci and cannot hold every "
        "character varying(50); "
        "at is datetime(3) and cannot hold every timestamp without time zone; schemaChange add adds missing columns"
    )
    with pytest.raises(DataError, match="cannot hold every bigint"):
        move(reader(left, "source"), writer(right, "target", schemaChange="add"))
    assert right.query("SELECT * FROM target") == []


def test_differences_from_a_table_of_sqlserver(left: Database, third: Database) -> None:
    columns = "id bigint, short varchar(50), long varchar(9), at timestamp, key uuid"
    left.execute("DROP TABLE IF EXISTS source", f"CREATE TABLE source ({columns})")
    target = "id int, short nvarchar(50), long nvarchar(18), at datetime, [key] uniqueidentifier"
    third.execute("DROP TABLE IF EXISTS target", f"CREATE TABLE target ({target})")
    with pytest.raises(DataError) as caught:
        move(reader(left, "source"), writer(third, "target", schemaChange="fail"))
    collation = "COLLATE SQL_Latin1_General_CP1_CI_AS"
    assert str(caught.value).partition(": ")[2] == (
        "table target differs from the source: id is int and cannot hold every bigint; "
        f"short is nvarchar(50) {collation} and cannot hold every character varying(50); "
        "at is datetime and cannot hold every timestamp without time zone"
    )


@pytest.mark.parametrize("server", ["left", "third"])
def test_a_table_in_a_schema_of_its_own(request: pytest.FixtureRequest, server: str) -> None:
    database = request.getfixturevalue(server)
    database.execute("DROP TABLE IF EXISTS source", "CREATE SCHEMA apart")
    database.execute("CREATE TABLE source (id integer PRIMARY KEY)", "INSERT INTO source VALUES (1)")
    for mode in ("recreate", "truncate", "recreate"):
        move(reader(database, "source"), writer(database, "apart.made", saveMode=mode, createTable=True))
        assert database.query("SELECT id FROM apart.made") == [(1,)]


def test_missing_columns_are_added(database: Database) -> None:
    with_rows(database)
    database.execute("ALTER TABLE source ADD more numeric(10,2) DEFAULT 1.5 NOT NULL")
    database.execute("ALTER TABLE source ADD flag varchar(300)")
    for _ in range(2):
        move(reader(database, "source"), writer(database, "target", schemaChange="add", saveMode="truncate"))
    ((number, text, more, flag),) = database.query("SELECT id, v, more, flag FROM target")
    assert (int(number), text, float(more), flag) == (1, "a", 1.5, None)
    assert declared(database, "target", "more") == declared(database, "source", "more")


def test_missing_columns_are_left_out(database: Database) -> None:
    """Columns are found by their names, wherever they stand; a row is still looked at by its place in the batch."""
    with_rows(database)
    database.execute(
        "ALTER TABLE source ADD more varchar(300)", "INSERT INTO source VALUES (2, 'b', 'x'), (3, 'c', NULL)"
    )
    database.execute("DROP TABLE target", "CREATE TABLE target (more varchar(1), other int, id int CHECK (id <> 2))")
    moved = move(reader(database, "source"), writer(database, "target", schemaChange="ignore"))
    rows = [{name.lower(): value for name, value in reject.row.items()} for reject in moved.rejects]
    assert rows == [{"id": 2, "more": "x"}]
    assert sorted(database.query("SELECT id, more, other FROM target")) == [(1, None, None), (3, None, None)]


def test_a_table_without_differences_is_taken(database: Database) -> None:
    with_rows(database)
    for change in ("fail", "add", "ignore"):
        move(reader(database, "source"), writer(database, "target", schemaChange=change, saveMode="truncate"))
        assert numbers(database) == [1]


@pytest.fixture(params=DATABASES)
def run_between(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database with many splits in `source`, and a row in `target`."""
    made = tries.filled(request.getfixturevalue(request.param), monkeypatch)
    made.execute("INSERT INTO target VALUES (1, 'old')")
    return made


@pytest.mark.parametrize("mode", ["truncate", "recreate", "error"])
def test_the_table_is_emptied_once_for_all_tries(
    run_between: Database, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = run_between
    if mode == "error":
        database.execute("DELETE FROM target")

    def break_down(_commit: Any) -> None:
        raise ConnectionFailedError("cut before the commit")

    with monkeypatch.context() as patched:
        tries.failing_commit(patched, database, 3, break_down)
        with pytest.raises(ConnectionFailedError):
            run_job(tries.new_try(database, setting={"verify": "count"}, saveMode=mode))
    assert 0 < tries.target(database)[0] < tries.ROWS
    report, _ = run_job(tries.new_try(database, setting={"verify": "count"}, saveMode=mode))
    assert tries.target(database) == tries.EXPECTED
    assert report["verify"] == {"source": tries.ROWS, "target": tries.ROWS, "equal": True}


def test_rows_that_got_lost_fail_the_job(postgres: PostgresDatabase) -> None:
    database = postgres.fresh_database()
    database.execute(
        "CREATE TABLE source AS SELECT id, 'x' AS text FROM generate_series(1, 100) AS id",
        "CREATE TABLE target (id bigint, text text)",
        "INSERT INTO target VALUES (0, 'old')",
        "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.id % 10 = 0 THEN RETURN NULL; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER lose BEFORE INSERT ON target FOR EACH ROW EXECUTE FUNCTION lose()",
    )
    with pytest.raises(
        DataError, match="100 rows were read and not rejected, but the table had 1 rows and has 91"
    ) as caught:
        run_job(tries.new_try(database, setting={"verify": "count"}))
    assert caught.value.report is not None
    assert caught.value.report["verify"] == {"source": 100, "target": 90, "equal": False}


def test_rows_that_are_overwritten_are_not_counted(run_between: Database) -> None:
    with pytest.raises(JobInvalidError, match=r"job\.setting\.verify"):
        run_job(tries.new_try(run_between, setting={"verify": "count"}, writeMode="update", saveMode="truncate"))
    assert tries.target(run_between)[0] == 1
