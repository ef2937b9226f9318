"""Splits cover a table exactly once, and evenly, whatever its keys are."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_flinkx.plugins.base import Reader
from tests.db2_server import Db2Database
from tests.integration.relational.moving import DATABASES, reader
from tests.oracle_server import OracleDatabase
from tests.servers import Database, MariadbDatabase, PostgresDatabase, SQLServerDatabase

ROWS = 20_000
FIRST_DAY = datetime(2020, 1, 1)
#: what: (PostgreSQL type, expression), (MariaDB type, expression); n counts from 1
KEYS = {
    "even": (("bigint", "n"), ("bigint", "n")),
    "negative": (("integer", "n - 10000"), ("integer", "n - 10000")),
    "skewed": (("bigint", "n::bigint * n * n"), ("bigint", "n * n * n")),
    "with nulls": (("integer", "CASE WHEN n % 5 = 0 THEN NULL ELSE n END"), ("integer", "IF(n % 5 = 0, NULL, n)")),
    "few values": (("integer", "n % 3"), ("integer", "n % 3")),
    "text": (("text", "md5(n::text)"), ("varchar(40)", "MD5(n)")),
    "mixed case": (
        ("text", "CASE WHEN n % 2 = 0 THEN upper(md5(n::text)) ELSE md5(n::text) END"),
        ("varchar(40)", "IF(n % 2 = 0, UPPER(MD5(n)), MD5(n))"),
    ),
    "quotes": (("text", "'a''\\' || n"), ("varchar(40)", "CONCAT('a', CHAR(39), CHAR(92), n)")),
    "date": (("date", "date '2020-01-01' + (n % 4000)"), ("date", "DATE '2020-01-01' + INTERVAL n % 4000 DAY")),
    "timestamp": (
        ("timestamptz", "timestamptz '2020-01-01 UTC' + n * interval '1.000001 s'"),
        ("timestamp(6)", "TIMESTAMP '2020-01-01 00:00:00' + INTERVAL n * 1000001 MICROSECOND"),
    ),
    "decimal": (("numeric(20,5)", "n / 7.0"), ("decimal(20,5)", "n / 7.0")),
    "double": (("float8", "n / 7.0::float8"), ("double", "n / 7.0E0")),
    "uuid": (("uuid", "md5(n::text)::uuid"), ("binary(16)", "UNHEX(MD5(n))")),
}
#: what: SQL Server type, and the text of the value for n; the stand-in has no functions of dates.
SQLSERVER_KEYS: dict[str, tuple[str, Callable[[int], str | None]]] = {
    "even": ("bigint", str),
    "negative": ("integer", lambda n: str(n - 10000)),
    "skewed": ("bigint", lambda n: str(n * n * n)),
    "with nulls": ("integer", lambda n: None if n % 5 == 0 else str(n)),
    "few values": ("integer", lambda n: str(n % 3)),
    "text": ("nvarchar(40)", lambda n: str(n * 7919 % 20011)),
    "mixed case": ("varchar(40)", lambda n: f"{'aA'[n % 2]}{n * 7919 % 20011}"),
    "quotes": ("varchar(40)", lambda n: f"a'\\{n}"),
    "date": ("date", lambda n: f"{FIRST_DAY + timedelta(days=n % 4000):%Y-%m-%d}"),
    "timestamp": ("datetime2(7)", lambda n: str(FIRST_DAY + n * timedelta(seconds=1, microseconds=1))),
    "decimal": ("decimal(20,5)", lambda n: f"{n / 7:.5f}"),
    "double": ("float", lambda n: repr(n / 7)),
    "uuid": ("uniqueidentifier", lambda n: str(uuid.UUID(int=n * 7919 % 20011 << 100))),
}


#: A day that grows with n; DB2 and Derby count days from another one.
DB2_DAY = (
    "DATE(RTRIM(CAST(2000 + n / 300 AS char(4))) || '-' || SUBSTR(CAST(101 + MOD(n, 300) / 25 AS char(3)), 2, 2) "
    "|| '-' || SUBSTR(CAST(101 + MOD(n, 25) AS char(3)), 2, 2))"
)
#: what: (DB2 type, expression); only what Derby knows too.
DB2_KEYS = {
    "even": ("bigint", "n"),
    "negative": ("integer", "n - 10000"),
    "skewed": ("bigint", "CAST(n AS bigint) * n * n"),
    "with nulls": ("integer", "CASE WHEN MOD(n, 5) = 0 THEN CAST(NULL AS integer) ELSE n END"),
    "few values": ("integer", "MOD(n, 3)"),
    "text": ("varchar(40)", "RTRIM(CAST(MOD(n * 7919, 20011) AS char(10)))"),
    "mixed case": (
        "varchar(40)", "CASE WHEN MOD(n, 2) = 0 THEN 'A' ELSE 'a' END || RTRIM(CAST(MOD(n * 7919, 20011) AS char(10)))",
    ),
    "quotes": ("varchar(40)", "'a''\\' || RTRIM(CAST(n AS char(10)))"),
    "date": ("date", DB2_DAY),
    "timestamp": ("timestamp", f"TIMESTAMP({DB2_DAY}, TIME('12:34:56'))"),
    "decimal": ("decimal(20,5)", "CAST(n AS decimal(20,5)) / 7"),
    "double": ("double", "CAST(n AS double) / 7"),
    "uuid": ("varchar(40)", "RTRIM(CAST(MOD(n * 7919, 20011) AS char(10))) || '-0'"),
}  # fmt: skip
ORACLE_KEYS = {
    "even": ("number(19)", "n"),
    "negative": ("number(9)", "n - 10000"),
    "skewed": ("number", "n * n * n"),
    "with nulls": ("number(9)", "CASE WHEN MOD(n, 5) <> 0 THEN n END"),
    "few values": ("number(9)", "MOD(n, 3)"),
    "text": ("nvarchar2(40)", "TO_CHAR(MOD(n * 7919, 20011))"),
    "mixed case": ("varchar2(40)", "CASE WHEN MOD(n, 2) = 0 THEN 'A' ELSE 'a' END || MOD(n * 7919, 20011)"),
    "quotes": ("varchar2(40)", "'a''\\' || n"),
    "date": ("date", "DATE '2020-01-01' + MOD(n, 4000)"),
    "timestamp": ("timestamp(6)", "TIMESTAMP '2020-01-01 00:00:00' + NUMTODSINTERVAL(n * 1.000001, 'SECOND')"),
    "decimal": ("number(20,5)", "n / 7"),
    "double": ("binary_double", "n / 7"),
    "uuid": ("raw(16)", "HEXTORAW(LPAD(TO_CHAR(MOD(n * 7919, 20011), 'FMXXXX'), 32, '0'))"),
}


@pytest.fixture(scope="module")
def left(postgres: PostgresDatabase) -> Database:
    database = postgres.fresh_database()
    database.execute(f"CREATE TABLE numbers AS SELECT n FROM generate_series(1, {ROWS}) n")
    return database


@pytest.fixture(scope="module")
def right(mariadb: MariadbDatabase) -> Database:
    database = mariadb.fresh_database()
    database.execute(f"CREATE TABLE numbers AS SELECT CAST(seq AS SIGNED) AS n FROM seq_1_to_{ROWS}")
    return database


@pytest.fixture(scope="module")
def third(sqlserver: SQLServerDatabase) -> Database:
    database = sqlserver.fresh_database()
    database.execute(f"CREATE TABLE numbers (n int, {', '.join(f'[{kind}] nvarchar(60)' for kind in SQLSERVER_KEYS)})")
    rows: dict[str, Any] = {"n": pa.array(range(1, ROWS + 1), pa.int32())}
    for kind, (_, value) in SQLSERVER_KEYS.items():
        rows[kind] = pa.array([value(n) for n in range(1, ROWS + 1)], pa.string())
    with contextlib.closing(database.connect()) as connection, contextlib.closing(connection.cursor()) as cursor:
        cursor.bulkcopy_arrow("numbers", pa.table(rows))
    return database


@pytest.fixture(scope="module")
def fourth(db2: Db2Database) -> Database:
    database = db2.fresh_database()
    database.execute("CREATE TABLE numbers (n integer NOT NULL)", "INSERT INTO numbers VALUES (1)")
    counted = 1
    while counted < ROWS:
        database.execute(f"INSERT INTO numbers SELECT n + {counted} FROM numbers WHERE n + {counted} <= {ROWS}")
        counted *= 2
    return database


@pytest.fixture(scope="module")
def fifth(oracle: OracleDatabase) -> Database:
    database = oracle.fresh_database()
    database.execute(f"CREATE TABLE numbers AS SELECT LEVEL AS n FROM DUAL CONNECT BY LEVEL <= {ROWS}")
    return database


@pytest.fixture(params=["left", "right", "third", "fourth", "fifth"][: len(DATABASES)])
def database(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def make(database: Database, kind: str, constraint: str = "") -> None:
    if isinstance(database, SQLServerDatabase):
        make_on_sqlserver(database, kind, constraint)
        return
    if isinstance(database, (Db2Database, OracleDatabase)):
        make_from_numbers(database, *keys_of(database)[kind], constraint)
        return
    declared, expression = KEYS[kind][isinstance(database, MariadbDatabase)]
    analyse = "ANALYZE TABLE t" if isinstance(database, MariadbDatabase) else "ANALYZE t"
    null = "NULL" if declared.startswith("timestamp(") else ""
    database.execute(
        "DROP VIEW IF EXISTS v",
        "DROP TABLE IF EXISTS t",
        f"CREATE TABLE t (n integer, k {declared} {null} {constraint})",
        f"INSERT INTO t SELECT n, {expression} FROM numbers",
        analyse,
    )


def keys_of(database: Db2Database | OracleDatabase) -> dict[str, tuple[str, str]]:
    return DB2_KEYS if isinstance(database, Db2Database) else ORACLE_KEYS


def make_from_numbers(database: Db2Database | OracleDatabase, declared: str, expression: str, constraint: str) -> None:
    with contextlib.suppress(Exception):
        database.execute("DROP VIEW v")
    database.drop("t")
    database.execute(
        f"CREATE TABLE t (n integer, k {declared} {'NOT NULL' if constraint else ''} {constraint})",
        f"INSERT INTO t SELECT n, {expression} FROM numbers",
    )


def make_on_sqlserver(database: Database, kind: str, constraint: str) -> None:
    declared, _ = SQLSERVER_KEYS[kind]
    # A unique column of SQL Server may be null once.
    null = "NOT NULL" if constraint == "PRIMARY KEY" else "NULL"
    database.execute(
        "DROP VIEW IF EXISTS v",
        "DROP TABLE IF EXISTS t",
        f"CREATE TABLE t (n integer, k {declared} {null} {constraint})",
        f"INSERT INTO t SELECT n, CAST([{kind}] AS {declared}) FROM numbers",
    )


def numbers_by_split(source: Reader) -> list[list[int]]:
    try:
        return [
            [n for batch in source.read(split) for n in batch.rows.column(0).to_pylist()] for split in source.splits()
        ]
    finally:
        source.close()


@pytest.mark.parametrize("kind", KEYS)
def test_each_row_is_in_exactly_one_split(database: Database, kind: str) -> None:
    make(database, kind)

    parts = numbers_by_split(reader(database, "t", names=["n"], channels=2, splitPk="k"))

    assert sorted(n for part in parts for n in part) == list(range(1, ROWS + 1))
    if kind != "few values":
        assert len(parts) >= 8
        assert max(map(len, parts)) < ROWS / 8 * 2


@pytest.mark.parametrize("constraint", ["PRIMARY KEY", "UNIQUE"])
def test_a_key_is_found(database: Database, constraint: str) -> None:
    make(database, "even", constraint)

    parts = numbers_by_split(reader(database, "t", names=["n"], channels=2))

    assert sorted(n for part in parts for n in part) == list(range(1, ROWS + 1))
    assert len(parts) >= 8


def test_postgres_cuts_by_pages_where_there_is_no_key(left: Database) -> None:
    make(left, "few values")

    parts = numbers_by_split(reader(left, "t", names=["n"]))

    assert sorted(n for part in parts for n in part) == list(range(1, ROWS + 1))
    assert len(parts) == 4


def test_one_split_where_nothing_cuts(database: Database) -> None:
    make(database, "few values")
    database.execute("CREATE VIEW v AS SELECT * FROM t")

    assert len(reader(database, "v", names=["n"], channels=3).splits()) == 1
    assert len(reader(database, None, customSql="SELECT * FROM t", channels=3).splits()) == 1
    assert len(reader(database, "t", names=["n"], channels=3, where="n < 0").splits()) >= 1


def test_a_query_is_cut_by_its_splitpk_and_where_keeps_its_or(database: Database) -> None:
    make(database, "with nulls")
    source = reader(
        database, None, names=["n"], channels=2, customSql="SELECT * FROM t -- all of it", splitPk="k",
        where="n <= 15000 OR n = 16000 -- and no more",
    )  # fmt: skip

    parts = numbers_by_split(source)

    assert sorted(n for part in parts for n in part) == [*range(1, 15001), 16000]
    assert len(parts) >= 8


def test_an_incremental_read_goes_on_where_the_last_one_ended(database: Database) -> None:
    make(database, "timestamp")
    first = reader(database, "t", increColumn="k")
    assert sum(map(len, numbers_by_split(first))) == ROWS
    end = first.location()["endLocation"]
    assert len(end) == 16

    if isinstance(database, (Db2Database, OracleDatabase)):
        addition = re.sub(r"\bn\b", str(ROWS + 1), keys_of(database)["timestamp"][1]) + " FROM numbers WHERE n = 1"
    elif isinstance(database, SQLServerDatabase):
        addition = f"'{SQLSERVER_KEYS['timestamp'][1](ROWS + 1)}'"
    else:
        addition = KEYS["timestamp"][isinstance(database, MariadbDatabase)][1].replace("n *", f"{ROWS + 1} *")
    database.execute(f"INSERT INTO t SELECT {ROWS + 1}, {addition}")
    second = reader(database, "t", increColumn="k", startLocation=end)
    assert [n for part in numbers_by_split(second) for n in part] == [ROWS + 1]
    assert second.location()["startLocation"] == end

    left_out = reader(database, "t", increColumn="1", startLocation=end, useMaxFunc=True)
    assert [n for part in numbers_by_split(left_out) for n in part] == [ROWS]
