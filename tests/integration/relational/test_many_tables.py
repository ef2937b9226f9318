"""Jobs of many tables on real servers: patterns, tables of their own and one table, tries that fail and go on."""

from __future__ import annotations

import dataclasses
import itertools
import json
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flinkx.exceptions import DataError, JobFailedError, NotFoundError
from airflow_provider_flinkx.jobs.validation import validate
from airflow_provider_flinkx.pipeline.steps import Run
from airflow_provider_flinkx.plugins.base import RunContext
from airflow_provider_flinkx.plugins.db2.database import DB2
from airflow_provider_flinkx.plugins.postgresql.database import PostgreSQL
from airflow_provider_flinkx.plugins.registry import schema_of
from airflow_provider_flinkx.plugins.relational.writer import RelationalSplitWriter
from airflow_provider_flinkx.plugins.sqlserver.database import SQLServer
from tests.integration.relational.moving import DATABASES, reader
from tests.running import run_job
from tests.servers import Database

LARGE = 12_000


@pytest.fixture(params=["postgres to mariadb", "mariadb to postgres"])
def pair(request: pytest.FixtureRequest) -> tuple[Database, Database]:
    """A source with four tables that are read and one that is not, and an empty target."""
    source, target = (request.getfixturevalue(name).fresh_database() for name in request.param.split(" to "))
    text = "varchar(20)"
    source.execute(
        f"create table orders_2023 (id bigint primary key, note {text})",
        f"create table orders_2024 (id bigint primary key, note {text})",
        f"create table customers (id bigint primary key, name {text}, born date)",
        "create table empty_one (id bigint primary key)",
        "create table left_out (id bigint primary key)",
        "insert into orders_2024 values (1, 'one'), (2, 'two'), (3, null)",
        "insert into customers values (7, 'Ada', '1815-12-10'), (8, 'Zoë', null)",
        "insert into left_out values (1)",
    )
    rows = ",".join(f"({number}, 'text {number}')" for number in range(1, LARGE + 1))
    source.execute(f"insert into orders_2023 values {rows}")
    return source, target


def endpoint(database: Database, side: str, tables: list[str], **others: Any) -> dict[str, Any]:
    url = database.jdbc_url
    connection = {"jdbcUrl": [url] if side == "reader" else url, "table": tables}
    login = {"username": database.user, "password": database.password}
    return {
        "name": f"{database.jdbc_scheme}{side}",
        "parameter": {"column": ["*"], **login, "connection": [connection], **others},
    }


def new_try(reader: dict[str, Any], writer: dict[str, Any], *, take_finished: bool = False, **setting: Any) -> Run:
    document = {"job": {"content": [{"reader": reader, "writer": writer}], "setting": setting}}
    job = validate(document, schema_of=schema_of, strict=True).job
    return Run(job, RunContext("a-run", uuid.uuid4().hex[:12], channels=2, take_finished=take_finished))


def rows_of(database: Database, table: str) -> list[tuple[Any, ...]]:
    return sorted(database.query(f"select * from {table}"))


TABLES = ["orders_*", "customers", "empty_?ne"]
NAMES = ["orders_2023", "orders_2024", "customers", "empty_one"]


def test_tables_go_to_their_own_over_two_tries(
    pair: tuple[Database, Database], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second try finds a table more and one row less to take; it goes on with the plan of the first."""
    source, target = pair
    # One of the tables is there and takes no `two`.
    target.execute(
        "create table ods_orders_2024 (id bigint primary key, note varchar(20), check (note <> 'two'))",
        "create table finished (name varchar(40))",
    )
    arguments = (
        endpoint(source, "reader", TABLES),
        endpoint(
            target, "writer", ["ods_{table}"], createTable=True, schemaChange="fail",
            postSql=["insert into finished values ('all')", "insert into finished values ('{table}')"],
        ),
    )  # fmt: skip
    setting = {
        "speed": {"channel": 2}, "errorLimit": {"record": 1}, "verify": "count", "dirty": {"path": str(tmp_path)},
    }  # fmt: skip
    with monkeypatch.context() as patch:
        _fail_in_table(patch, new_try(*arguments, **setting), "ods_customers")
        with pytest.raises(JobFailedError, match="broken on purpose") as caught:
            run_job(new_try(*arguments, **setting))
    assert caught.value.report is not None
    states = {each["source"]: each["state"] for each in caught.value.report["tables"]}
    assert states == {
        "orders_2023": "WRITTEN", "orders_2024": "WRITTEN", "customers": "FAILED", "empty_one": "UNFINISHED",
    }  # fmt: skip
    source.execute("create table orders_2025 (id bigint primary key)")
    report, _ = run_job(new_try(*arguments, **setting))
    for name in NAMES:
        expected = [row for row in rows_of(source, name) if name != "orders_2024" or row[1] != "two"]
        assert rows_of(target, f"ods_{name}") == expected
    figures = [
        (each["source"], each["target"], each["numRead"], each["numWrite"], each["nErrors"], each["verify"]["equal"])
        for each in report["tables"]
    ]
    assert figures == [
        ("orders_2023", "ods_orders_2023", LARGE, LARGE, 0, True),
        ("orders_2024", "ods_orders_2024", 3, 2, 1, True),
        ("customers", "ods_customers", 2, 2, 0, True),
        ("empty_one", "ods_empty_one", 0, 0, 0, True),
    ]
    assert (report["numRead"], report["numWrite"], report["nErrors"]) == (LARGE + 5, LARGE + 4, 1)
    assert any("an earlier try had written" in line for line in report["warnings"])
    rejected = [json.loads(line) for file in tmp_path.rglob("*.jsonl") for line in file.read_text().splitlines()]
    assert {(each["table"], each["row"]["id"]) for each in rejected} == {("orders_2024", 2)}
    assert rows_of(target, "finished") == sorted((name,) for name in ["all", *NAMES])
    taken, _ = run_job(new_try(*arguments, take_finished=True, **setting))
    assert taken == report


def test_tables_of_one_shape_go_into_one(pair: tuple[Database, Database]) -> None:
    source, target = pair
    writer = endpoint(target, "writer", ["orders"], createTable=True, writeMode="update", updateKey=["id"])
    report, _ = run_job(new_try(endpoint(source, "reader", ["orders_2*"], where="id > 2"), writer))
    newer = {row[0]: row for name in NAMES[:2] for row in rows_of(source, name) if row[0] > 2}
    assert rows_of(target, "orders") == sorted(newer.values())
    assert [(each["source"], each["target"], each["numWrite"]) for each in report["tables"]] == [
        ("orders_2023", "orders", LARGE - 2),
        ("orders_2024", "orders", 1),
    ]


def test_tables_that_differ_are_told_before_anything_is_made(pair: tuple[Database, Database]) -> None:
    source, target = pair
    source.execute("create table orders_text (id varchar(20) primary key, note varchar(20))")
    with pytest.raises(DataError, match=r"differ from orders_2023: orders_text has id as (character varying|varchar)"):
        run_job(new_try(endpoint(source, "reader", ["orders*"]), endpoint(target, "writer", ["one"], createTable=True)))
    with pytest.raises(NotFoundError, match=r"no table matches nothing_\*; there are customers, empty_one, left_out"):
        run_job(new_try(endpoint(source, "reader", ["nothing_*"]), endpoint(target, "writer", ["one"])))
    with pytest.raises(Exception, match="one"):
        rows_of(target, "one")


def test_no_target_is_touched_when_one_cannot_be(postgres: Database, mariadb: Database) -> None:
    source, target = mariadb.fresh_database(), postgres.fresh_database()
    for name in "abc":
        source.execute(f"create table {name} (id bigint primary key)", f"insert into {name} values (1)")
        column = "other" if name == "c" else "id"
        target.execute(f"create table {name} ({column} bigint)", f"insert into {name} values (7)")
    writer = endpoint(target, "writer", ["{table}"], saveMode="truncate", schemaChange="fail", preSql=["select 1"])
    with pytest.raises(DataError, match=r"table c differs from the source: id bigint.* is missing"):
        run_job(new_try(endpoint(source, "reader", ["?"]), writer))
    with pytest.raises(NotFoundError, match=r"preSql\[0\].*nowhere"):
        wrong = {**writer["parameter"], "schemaChange": "ignore", "preSql": ["delete from nowhere"]}
        run_job(new_try(endpoint(source, "reader", ["[ab]"]), {**writer, "parameter": wrong}))
    assert [rows_of(target, name) for name in "abc"] == [[(7,)]] * 3


def test_versioned_tables_of_mariadb_are_listed(mariadb: Database) -> None:
    database = mariadb.fresh_database()
    database.execute("create table kept (id bigint) with system versioning", "create view seen as select 1")
    assert [table.name for table in reader(database, "*").tables()] == ["kept"]


def servers(mariadb: Database) -> tuple[Database, Database]:
    """Two databases, each with a login that sees nothing of the other."""
    made = []
    for number in (1, 2):
        database = mariadb.fresh_database()
        user, password = f"u{uuid.uuid4().hex[:10]}", f"Pass-{number}"
        database.execute(
            f"create user {user} identified by '{password}'",
            f"grant select on {database.database}.* to {user}",
            *(f"create table shop_{letter} (id bigint primary key, note varchar(20))" for letter in "ab"),
            *(f"insert into shop_{letter} values ({number}{place}, 'x'), ({number}{place + 5}, null)"
              for place, letter in enumerate("ab")),
        )  # fmt: skip
        made.append(dataclasses.replace(database, user=user, password=password))
    return made[0], made[1]


def many_servers(databases: Sequence[Database], tables: list[str], **others: Any) -> dict[str, Any]:
    """The second one has a login of its own, the first one that of the reader."""
    first, *rest = databases
    connection: list[dict[str, Any]] = [{"jdbcUrl": [first.jdbc_url], "table": tables}]
    for each in rest:
        login = {"username": each.user, "password": each.password}
        connection.append({**login, "jdbcUrl": [each.jdbc_url], "table": tables})
    parameter = {
        "username": first.user,
        "password": first.password,
        "connection": connection,
        "column": ["*"],
        **others,
    }
    return {"name": "mysqldreader", "parameter": parameter}


def test_many_servers_are_read_into_one_table(
    mariadb: Database, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = servers(mariadb)
    target = postgres.fresh_database()
    read = many_servers([first, second], ["shop_a", "shop_b"], where="note is null or id < 20 or id = 21", splitPk="id")
    writer = endpoint(target, "writer", ["shop"], createTable=True)
    with monkeypatch.context() as patch:
        _fail_in_table(patch, new_try(read, writer), "shop", turn=3)
        with pytest.raises(JobFailedError, match="broken on purpose"):
            run_job(new_try(read, writer, verify="count"))
    assert len(rows_of(target, "shop")) == 4
    report, _ = run_job(new_try(read, writer, verify="count"))
    assert sorted(number for number, _ in rows_of(target, "shop")) == [10, 11, 15, 16, 21, 25, 26]
    places = [f"{each.host}:{each.port}/{each.database}" for each in (first, second)]
    assert [(each["source"], each["target"], each["numWrite"]) for each in report["tables"]] == [
        (f"{places[0]} shop_a", "shop", 2), (f"{places[0]} shop_b", "shop", 2),
        (f"{places[1]} shop_a", "shop", 1), (f"{places[1]} shop_b", "shop", 2),
    ]  # fmt: skip
    assert report["verify"] == {"source": 7, "target": 7, "equal": True}


def test_one_table_of_one_server_is_an_ordinary_job(mariadb: Database, postgres: Database) -> None:
    (_, second), target = servers(mariadb), postgres.fresh_database()
    read = many_servers([second], ["shop_a"])
    read["parameter"]["connection"][0] |= {"username": second.user, "password": second.password}
    read["parameter"] |= {"username": "nobody", "password": "wrong"}
    report, _ = run_job(new_try(read, endpoint(target, "writer", ["shop"], createTable=True)))
    assert rows_of(target, "shop") == [(20, "x"), (25, None)]
    assert "tables" not in report


@pytest.mark.parametrize("verify", [None, "checksum"])
@pytest.mark.parametrize(
    ("server", "kind"),
    [("postgres", PostgreSQL), ("sqlserver", SQLServer), ("db2", DB2)],
    ids=["postgres", "sqlserver", "db2"],
)
def test_more_tables_need_no_more_connections(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, server: str, kind: Any, verify: str | None
) -> None:
    """Not with MySQL as the source: connectorx connects for each query."""
    database = request.getfixturevalue(server)
    logins = {number: _logins(database, kind, number, monkeypatch, verify) for number in (2, 9)}
    assert logins[9] == logins[2]


def _logins(server: Database, kind: Any, tables: int, monkeypatch: pytest.MonkeyPatch, verify: str | None) -> int:
    """How often a job of so many tables has connected."""
    source, target = server.fresh_database(), server.fresh_database()
    for number in range(tables):
        source.execute(f"create table t{number} (id bigint primary key)", f"insert into t{number} values ({number})")
        if kind is DB2:
            target.execute(f"create table t{number} (id bigint)")
    logins: list[str] = []

    def counted(login: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def connect(self: Any) -> Any:
            logins.append(str(self))
            return login(self)

        return connect

    with monkeypatch.context() as patch:
        for name in {"connect", "connect_rows"} & kind.__dict__.keys():
            patch.setattr(kind, name, counted(getattr(kind, name)))
        # The stand-in of DB2 cannot describe a table.
        writer = endpoint(target, "writer", ["{table}"], createTable=kind is not DB2)
        report, _ = run_job(new_try(endpoint(source, "reader", ["[tT]?"]), writer, verify=verify))
    assert report["numWrite"] == tables
    return len(logins)


def _fail_in_table(patch: pytest.MonkeyPatch, run: Run, table: str, turn: int = 1) -> None:
    """Let the commits of a table fail from this one on."""
    kind = run.writer_class().open.__annotations__["return"]
    module = __import__(run.writer_class().__module__, fromlist=["x"])
    split_writer: type[RelationalSplitWriter] = getattr(module, kind)
    original, turns = split_writer.commit, itertools.count(1)

    def commit(self: Any) -> None:
        if self.writer.database.table_label == table and next(turns) >= turn:
            raise OSError("broken on purpose")
        original(self)

    patch.setattr(split_writer, "commit", commit)


@pytest.mark.parametrize("fixture", DATABASES)
def test_tables_are_listed(fixture: str, request: pytest.FixtureRequest) -> None:
    database = request.getfixturevalue(fixture).fresh_database()
    for name in ("part_b", "part_a", "other", "flinkx_ledger"):
        database.execute(f"create table {name} (id integer)")
    found = [table.name.lower() for table in reader(database, "*").tables()]
    assert found == ["other", "part_a", "part_b"]
    assert [table.name.lower() for table in reader(database, "part_[ab]").tables()] == ["part_a", "part_b"]


def test_parts_of_a_table_are_not_listed_beside_it(postgres: Database) -> None:
    database = postgres.fresh_database()
    database.execute(
        "create table orders (id bigint) partition by range (id)",
        "create table orders_1 partition of orders for values from (0) to (10)",
        "create schema shop",
        'create table shop."or.ders" (id bigint)',
        "create view orders_view as select * from orders",
    )
    assert [table.table for table in reader(database, "orders*").tables()] == ["orders"]
    (found,) = reader(database, "shop.*").tables()
    assert (found.table, found.name, found.label) == ('shop."or.ders"', "or.ders", "shop.or.ders")
