"""What cannot work is refused in one line, with host and name and without the password."""

from __future__ import annotations

import dataclasses
import socket
from typing import Any

import pytest

from airflow_provider_flinkx.exceptions import (
    AccessDeniedError,
    ConnectionFailedError,
    DataError,
    FlinkXError,
    JobInvalidError,
    NotFoundError,
)
from tests.db2_server import Db2Database
from tests.integration.relational.moving import DATABASES, move, reader, writer
from tests.oracle_server import OracleDatabase
from tests.servers import Database, MariadbDatabase, PostgresDatabase, SQLServerDatabase, free_port


@pytest.fixture(scope="module", params=DATABASES)
def database(request: pytest.FixtureRequest) -> Database:
    server: Database = request.getfixturevalue(request.param)
    return server.fresh_database()


@pytest.fixture(autouse=True)
def tables(database: Database) -> None:
    database.drop("source", "target", "made")
    database.execute("CREATE TABLE source (id integer NOT NULL PRIMARY KEY)", "INSERT INTO source VALUES (1), (2)")
    database.execute("CREATE TABLE target (id integer NOT NULL PRIMARY KEY)")


@pytest.fixture
def killable(database: Database) -> Database:
    """A database that can end a session of ours."""
    if getattr(database, "is_stand_in", False):
        with pytest.raises(Exception, match="SQLSTATE=42"):
            kill_others(database)
        pytest.xfail("Derby has no statement that ends a session")
    return database


def refusal(kind: type[FlinkXError], action: Any, database: Database) -> str:
    with pytest.raises(kind) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    assert database.password not in message
    return message


def test_wrong_password(database: Database) -> None:
    wrong = dataclasses.replace(database, password="no/such:word@1%")
    message = refusal(AccessDeniedError, lambda: reader(wrong, "source").schema, wrong)
    assert f"{database.host}:{database.port}" in message


def test_unreachable_host(database: Database) -> None:
    nobody = dataclasses.replace(database, port=free_port())
    message = refusal(ConnectionFailedError, lambda: reader(nobody, "source").schema, nobody)
    assert f"{nobody.host}:{nobody.port}" in message


def test_a_server_that_accepts_and_says_nothing_is_given_up(database: Database) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mute = dataclasses.replace(database, port=silent.getsockname()[1])
        refusal(ConnectionFailedError, lambda: reader(mute, "source").schema, mute)


@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)  # a URL of SQL Server names one host
def test_the_second_of_two_hosts_is_tried(database: Database) -> None:
    source = reader(database, "source")
    url = database.jdbc_url.replace("://", f"://127.0.0.1:{free_port()},")
    source = type(source)(
        {**source.parameter, "connection": [{"jdbcUrl": url, "table": ["source"]}]}, (), source.context
    )
    assert move(source, writer(database, "target")).written == 2


@pytest.mark.parametrize("name", ["nothere", "no schema.nothere"])
def test_missing_table(database: Database, name: str) -> None:
    assert "nothere" in refusal(NotFoundError, lambda: reader(database, name).schema, database).lower()
    schema = reader(database, "source").schema
    assert "nothere" in refusal(NotFoundError, lambda: writer(database, name).prepare(schema), database).lower()


def test_missing_column(database: Database) -> None:
    assert "nope" in refusal(NotFoundError, lambda: reader(database, "source", names=["nope"]).schema, database)
    schema = reader(database, "source").schema
    assert "nope" in refusal(
        NotFoundError, lambda: writer(database, "target", names=["nope"]).prepare(schema), database
    )


def test_different_numbers_of_columns(database: Database) -> None:
    schema = reader(database, "source", names=["id"]).schema
    database.execute("ALTER TABLE target ADD b integer")
    with pytest.raises(JobInvalidError, match="1 columns, the writer takes 2"):
        writer(database, "target").prepare(schema)


def test_a_failing_presql_leaves_nothing(database: Database) -> None:
    database.execute("INSERT INTO target VALUES (7)")
    target = writer(database, "target", preSql=["DELETE FROM target", "DELETE FROM nothere"])
    assert "preSql[1]" in refusal(NotFoundError, lambda: move(reader(database, "source"), target), database)
    assert database.query("SELECT id FROM target") == [(7,)]


def test_presql_makes_the_table_and_postsql_sees_the_rows(database: Database) -> None:
    target = writer(
        database, "made", preSql=["CREATE TABLE made (id integer NOT NULL PRIMARY KEY)"],
        postSql=["UPDATE made SET id = id + 100 WHERE id = 2"],
    )  # fmt: skip
    assert move(reader(database, "source"), target).written == 2
    assert database.query("SELECT id FROM made ORDER BY id") == [(1,), (102,)]


def test_mixed_case_and_reserved_names(database: Database) -> None:
    quote = "`" if isinstance(database, MariadbDatabase) else '"'
    name = f"{quote}Order Group{quote}"
    database.drop(name)
    database.execute(f"CREATE TABLE {name} ({quote}Select{quote} integer, {quote}a%b.c{quote} integer)")
    target = writer(database, "Order Group", names=["a%b.c", "Select"])
    both = reader(database, None, customSql="SELECT id, id * 10 AS ten FROM source")
    assert move(both, target).rejects == []
    back = reader(
        database, "Order Group", names=["Select", "a%b.c"], splitPk="Select", where=f"{quote}Select{quote} > 10"
    )
    rows = [row for split in back.splits() for batch in back.read(split) for row in batch.rows.to_pylist()]
    assert rows == [{"Select": 20, "a%b.c": 2}]
    back.close()


def test_a_lost_connection_while_writing_leaves_nothing_of_the_split(killable: Database) -> None:
    database = killable
    source, target = reader(database, "source"), writer(database, "target", fields=["id"])
    target.prepare(source.schema)
    (split,) = source.splits()
    part = target.open(split, source.schema)
    (batch,) = source.read(split)
    assert part.write(batch.rows).written == 2
    kill_others(database)

    def rest() -> None:
        part.write(batch.rows.slice(0, 0))
        part.commit()

    refusal(ConnectionFailedError, rest, database)
    part.rollback()
    target.close()
    source.close()
    assert database.query("SELECT * FROM target") == []


def test_a_lost_connection_while_reading_is_an_error_not_an_end(killable: Database) -> None:
    database = killable
    query = "SELECT seq, REPEAT('x', 200) AS t FROM seq_1_to_3000000"
    if isinstance(database, PostgresDatabase):
        database.execute("CREATE TABLE big AS SELECT n, repeat('x', 1000) FROM generate_series(1, 60000) n")
        query = "SELECT * FROM big"
    if isinstance(database, SQLServerDatabase):
        digits = "(VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9))"
        five = " CROSS JOIN ".join(f"{digits} AS d{place} (n)" for place in range(5))
        database.execute(
            "CREATE TABLE big (n int, t varchar(1000))",
            f"INSERT INTO big SELECT d0.n, REPLICATE('x', 1000) FROM {five} WHERE d0.n < 6",
        )
        query = "SELECT * FROM big"
    if isinstance(database, Db2Database):
        digits = "(VALUES 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)"
        query = "SELECT REPEAT('x', 1000) AS t FROM " + ", ".join(f"{digits} AS d{place} (n)" for place in range(5))
    if isinstance(database, OracleDatabase):
        query = "SELECT RPAD('x', 1000, 'x') AS t FROM DUAL CONNECT BY LEVEL <= 60000"
    source = reader(database, None, customSql=query)
    (split,) = source.splits()
    batches = source.read(split)
    next(batches)
    kill_others(database)
    refusal(ConnectionFailedError, lambda: list(batches), database)
    source.close()


def kill_others(database: Database) -> None:
    """End all other connections to the database on the server's side."""
    if isinstance(database, PostgresDatabase):
        database.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return
    if isinstance(database, SQLServerDatabase):
        others = "SELECT session_id FROM sys.dm_exec_sessions WHERE database_id = DB_ID() AND session_id <> @@SPID"
        for (number,) in database.query(others):
            database.execute(f"KILL {number}")
        return
    if isinstance(database, Db2Database):
        others = (
            "SELECT APPLICATION_HANDLE FROM TABLE(MON_GET_CONNECTION(NULL, -1)) "
            "WHERE APPLICATION_HANDLE <> MON_GET_APPLICATION_HANDLE()"
        )
        for (number,) in database.query(others):
            database.execute(f"CALL SYSPROC.ADMIN_CMD('FORCE APPLICATION ({number})')")
        return
    if isinstance(database, OracleDatabase):
        others = "SELECT SID, SERIAL# FROM V$SESSION WHERE USERNAME = USER AND SID <> SYS_CONTEXT('USERENV', 'SID')"
        for session, serial in database.query(others):
            database.execute(f"ALTER SYSTEM KILL SESSION '{session},{serial}' IMMEDIATE")
        return
    mine = "SELECT id FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND id <> CONNECTION_ID()"
    for (number,) in database.query(mine):
        try:
            database.execute(f"KILL {number}")
        except Exception as error:
            if error.args[0] != 1094:  # it ended by itself
                raise


def test_sensible_errors_of_statements(database: Database) -> None:
    refusal(DataError, lambda: list(reader(database, "source", where="id = = 1").splits()) and move(
        reader(database, "source", where="id = = 1"), writer(database, "target")), database)  # fmt: skip
