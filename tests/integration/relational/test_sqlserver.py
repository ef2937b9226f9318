"""What SQL Server alone does: identity columns, MERGE by several keys, and values that it would change unasked.

Without FLINKX_TEST_SQLSERVER_URL these run on the stand-in: the driver and the wire are real, the server is not.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from airflow_provider_flinkx.clusters.local import LocalCluster
from airflow_provider_flinkx.exceptions import DataError, JobInvalidError
from airflow_provider_flinkx.plugins.base import Category
from tests.integration.relational.moving import Moved, move, parameter, reader, writer
from tests.servers import Database, PostgresDatabase, SQLServerDatabase


@pytest.fixture(scope="module")
def database(sqlserver: SQLServerDatabase) -> Database:
    return sqlserver.fresh_database()


@pytest.fixture(scope="module")
def other(postgres: PostgresDatabase) -> Database:
    return postgres.fresh_database()


def tables(database: Database, source: str, target: str, *rows: str) -> None:
    database.execute("DROP TABLE IF EXISTS source", "DROP TABLE IF EXISTS target")
    database.execute(f"CREATE TABLE source ({source})", f"CREATE TABLE target ({target})")
    if rows:
        database.execute(f"INSERT INTO source VALUES {', '.join(rows)}")


def moved(database: Database, **others: Any) -> Moved:
    names = others.pop("names", ())
    source = reader(database, None, names=names, customSql="SELECT TOP 1000 * FROM source ORDER BY n")
    return move(source, writer(database, "target", names=names, **others))


@pytest.mark.parametrize("mode", ["insert", "update", "replace"])
def test_values_of_an_identity_column_are_kept(database: Database, mode: str) -> None:
    tables(database, "n int, v int", "n int IDENTITY(1,1) PRIMARY KEY, v int", "(7, 1)", "(3, 2)")

    assert moved(database, names=["n", "v"], writeMode=mode).rejects == []

    assert database.query("SELECT n, v FROM target ORDER BY n") == [(3, 2), (7, 1)]


def test_an_identity_column_is_counted_up_when_the_job_does_not_name_it(database: Database) -> None:
    tables(database, "v int", "n int IDENTITY(1,1) PRIMARY KEY, v int", "(10)", "(20)")

    assert move(reader(database, "source"), writer(database, "target")).rejects == []

    assert database.query("SELECT n, v FROM target ORDER BY v") == [(1, 10), (2, 20)]


def test_an_identity_column_cannot_be_overwritten(database: Database) -> None:
    tables(database, "n int, v int", "n int IDENTITY(1,1), v int UNIQUE", "(7, 1)")
    with pytest.raises(JobInvalidError, match="identity column n cannot be updated"):
        moved(database, names=["n", "v"], writeMode="update")


@pytest.mark.parametrize(("mode", "other"), [("update", "kept"), ("replace", None)])
def test_replace_clears_the_columns_that_are_not_written(database: Database, mode: str, other: str | None) -> None:
    target = "n int PRIMARY KEY, v int, other varchar(9), fixed int NOT NULL DEFAULT 1"
    tables(database, "n int, v int", target, "(1, 10)")
    database.execute("INSERT INTO target VALUES (1, 1, 'kept', 5)")

    assert moved(database, names=["n", "v"], writeMode=mode).rejects == []

    assert database.query("SELECT n, v, other, fixed FROM target") == [(1, 10, other, 5)]


@pytest.mark.parametrize("key", [{"any": ["n"]}, ["n"]])
@pytest.mark.parametrize("mode", ["update", "replace"])
def test_the_last_row_of_a_key_wins_in_both_forms_of_updatekey(database: Database, mode: str, key: Any) -> None:
    tables(database, "n int, v int", "n int, v int", "(1, 10)", "(2, 20)", "(3, 30)")
    database.execute("INSERT INTO target VALUES (2, 2)", "INSERT INTO source VALUES (4, 40)")
    source = reader(database, None, customSql="SELECT TOP 9 n % 3 AS n, v FROM source ORDER BY v")

    assert move(source, writer(database, "target", names=["n", "v"], writeMode=mode, updateKey=key)).rejects == []

    assert database.query("SELECT n, v FROM target ORDER BY n") == [(0, 30), (1, 40), (2, 20)]


def test_rows_are_overwritten_by_any_of_several_keys(database: Database) -> None:
    tables(database, "n int, name varchar(9), v int", "n int, name varchar(9), v int", "(1, 'x', 10)", "(3, 'b', 20)")
    database.execute("INSERT INTO target VALUES (1, 'a', 1), (2, 'b', 2)", "INSERT INTO source VALUES (4, 'd', 40)")
    database.execute("INSERT INTO source VALUES (5, 'd', 50)")

    keys = {"first": ["n"], "second": ["name"]}
    assert moved(database, names=["n", "name", "v"], writeMode="update", updateKey=keys).rejects == []

    assert database.query("SELECT n, name, v FROM target ORDER BY n") == [(1, "x", 10), (3, "b", 20), (5, "d", 50)]


def test_without_any_key_rows_are_inserted(database: Database) -> None:
    tables(database, "n int", "n int", "(1)", "(1)")
    assert moved(database, writeMode="update").written == 2
    assert database.query("SELECT n FROM target") == [(1,), (1,)]


def test_a_key_must_be_written(database: Database) -> None:
    tables(database, "n int, v int", "n int, v int", "(1, 1)")
    with pytest.raises(JobInvalidError, match="updateKey: column v is not among the columns"):
        moved(database, names=["n"], writeMode="update", updateKey=["v"])


#: target type: (source type, values that would be changed without an error)
CHANGED = {
    "datetime": ("datetime2(7)", ["'2024-01-01 00:00:00.001'", "'1752-12-31 00:00:00'", "'2024-01-01 00:00:00.0031'"]),
    "smalldatetime": ("datetime2(7)", ["'2024-01-01 00:00:01'", "'2079-06-07 00:00:00'"]),
    "datetime2(3)": ("datetime2(7)", ["'2024-01-01 00:00:00.1234'", "'2024-01-01 00:00:00.1230001'"]),
    "datetimeoffset(0)": ("datetimeoffset(7)", ["'2024-01-01 00:00:00.1 +05:30'", "'2024-01-01 00:00:00.1 +00:00'"]),
    "time(0)": ("time(7)", ["'12:00:00.5'", "'12:00:00.0000001'"]),
    "date": ("datetime2(7)", ["'2024-01-01 00:00:01'"]),
    "varchar(5)": ("nvarchar(40)", ["N'日本'", "N'abcde '", "N'ā'"]),
    "nvarchar(3)": ("nvarchar(40)", ["N'😀😀'", "N'abc '"]),
    "binary(2)": ("varbinary(9)", ["0x01", "0x010203"]),
    "uniqueidentifier": ("nvarchar(80)", ["N'F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6 and more'", "N'F81D4FAE'"]),
    "xml": ("nvarchar(80)", ["N'<a>'", "N'a & b'"]),
    "decimal(5,2)": ("decimal(9,4)", ["1.0001", "1000"]),
    "money": ("decimal(38,6)", ["0.00001", "922337203685477.5808"]),
    "tinyint": ("int", ["256", "-1"]),
    "bit": ("int", ["2"]),
    "real": ("float", ["0.1"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGED)
def test_a_value_that_the_server_would_change_is_rejected_and_no_other(database: Database, kind: str) -> None:
    source, values = CHANGED[kind]
    rows = [f"({number}, {value})" for number, value in enumerate(["NULL", *values, "NULL"])]
    tables(database, f"n int, v {source}", f"n int PRIMARY KEY, v {kind}", *rows)

    result = moved(database)

    assert [(reject.category, reject.row["n"]) for reject in result.rejects] == [
        (Category.CONVERSION, number) for number in range(1, len(values) + 1)
    ]
    assert database.query("SELECT n, v FROM target ORDER BY n") == [(0, None), (len(values) + 1, None)]


CROSSING = {
    # SQL Server type: (PostgreSQL type, values as both write them)
    "bit": ("boolean", ["'1'", "'0'"]),
    "int": ("integer", ["-2147483648"]),
    "decimal(38,10)": ("numeric(38,10)", ["1234567890123456789012345678.0123456789"]),
    "float": ("double precision", ["1.7976931348623157E308"]),
    "date": ("date", ["'0001-01-01'", "'9999-12-31'"]),
    "time": ("time", ["'23:59:59.999999'"]),
    "datetime2": ("timestamp", ["'2024-02-29 12:34:56.123456'"]),
    "datetimeoffset": ("timestamptz", ["'2024-02-29 12:34:56.123456 +05:30'", "'2024-02-29 12:34:56 +00:00'"]),
    "nvarchar(max)": ("text", ["'é'", "''"]),
    "varbinary(max)": ("bytea", ["NULL"]),
    "uniqueidentifier": ("uuid", ["'F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6'"]),
}


@pytest.mark.parametrize("kind", CROSSING)
def test_to_postgres_and_back(database: Database, other: Database, kind: str) -> None:
    elsewhere, values = CROSSING[kind]
    tables(database, f"n int, v {kind}", f"n int, v {kind}", *(f"({n}, {v})" for n, v in enumerate([*values, "NULL"])))
    other.execute("DROP TABLE IF EXISTS t", "DROP TABLE IF EXISTS wanted", f"CREATE TABLE t (n integer, v {elsewhere})")
    other.execute("CREATE TABLE wanted (LIKE t)")
    other.execute(f"INSERT INTO wanted VALUES {', '.join(f'({n}, {v})' for n, v in enumerate([*values, 'NULL']))}")

    assert move(reader(database, "source"), writer(other, "t")).rejects == []
    assert move(reader(other, "t"), writer(database, "target")).rejects == []

    assert other.query("SELECT n, v FROM t ORDER BY n") == other.query("SELECT n, v FROM wanted ORDER BY n")
    same = "SELECT n, v FROM {} ORDER BY n"
    assert database.query(same.format("target")) == database.query(same.format("source"))


@pytest.mark.parametrize(("server", "kind"), [("postgres", "timestamp"), ("mariadb", "datetime(6)")])
def test_a_value_of_100_ns_is_not_rounded_elsewhere(
    database: Database, request: pytest.FixtureRequest, server: str, kind: str
) -> None:
    rows = "(1, '2024-01-01 00:00:00.1234567')", "(2, '2024-01-01 00:00:00.5')"
    tables(database, "n int, v datetime2", "n int", *rows)
    elsewhere: Database = request.getfixturevalue(server).fresh_database()
    elsewhere.execute(f"CREATE TABLE t (n integer, v {kind})")

    result = move(reader(database, "source"), writer(elsewhere, "t"))

    assert [(reject.category, reject.row) for reject in result.rejects] == [
        (Category.CONVERSION, {"n": 1, "v": "2024-01-01 00:00:00.1234567"})
    ]
    assert elsewhere.query("SELECT n, v FROM t") == [(2, datetime(2024, 1, 1, 0, 0, 0, 500_000))]


def test_a_batch_of_many_columns_and_rows(database: Database) -> None:
    names = [f"c{place}" for place in range(30)]
    columns = ", ".join(f"{name} nvarchar(50)" for name in names)
    tables(database, f"n int, {columns}", f"n int PRIMARY KEY, {columns}")
    digits = "(VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9))"
    many = " CROSS JOIN ".join(f"{digits} AS d{place} (n)" for place in range(4))
    values = ", ".join("N'value'" for _ in names)
    database.execute(f"INSERT INTO source SELECT d0.n + 10 * d1.n + 100 * d2.n + 1000 * d3.n, {values} FROM {many}")

    assert move(reader(database, "source"), writer(database, "target")).written == 10_000

    assert database.query("SELECT COUNT(*), COUNT(DISTINCT n), MIN(c29) FROM target") == [(10_000, 10_000, "value")]


def test_a_failing_session_statement_is_named(database: Database) -> None:
    tables(database, "n int", "n int")
    with pytest.raises(DataError, match="session statement 'DELETE FROM nothere'"):
        reader(database, "source", session=["DELETE FROM nothere"]).splits()


@pytest.mark.parametrize("no_lock", [False, True])
def test_with_no_lock(database: Database, no_lock: bool) -> None:
    tables(database, "n int", "n int", "(1)")
    source = reader(database, "source", withNoLock=no_lock)

    assert ("WITH (NOLOCK)" in source.statement("", ["1"])) is no_lock
    assert move(source, writer(database, "target")).written == 1


def test_a_whole_job_in_flink(database: Database) -> None:
    """Its interpreter runs in threads of Java, where an import of the driver can wait for itself for ever."""
    tables(database, "n int", "n int", "(1)", "(2)")
    ends = {
        name: {"name": f"sqlserver{name}", "parameter": {**parameter(database, table), "column": ["n"]}}
        for name, table in (("reader", "source"), ("writer", "target"))
    }

    report = LocalCluster().run({"job": {"content": [ends]}}, job_key="sqlserver")

    assert report["numWrite"] == 2
    assert database.query("SELECT n FROM target ORDER BY n") == [(1,), (2,)]
