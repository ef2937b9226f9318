"""The shortcut from PostgreSQL to PostgreSQL, on a real server: when it is taken, and what a refused row does to it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from airflow_provider_flinkx.clusters.session import SessionCluster
from airflow_provider_flinkx.clusters.settings import ClusterSettings
from airflow_provider_flinkx.exceptions import ErrorLimitExceededError
from airflow_provider_flinkx.jobs.validation import validate
from airflow_provider_flinkx.pipeline.steps import Run
from airflow_provider_flinkx.plugins.base import RunContext
from airflow_provider_flinkx.plugins.postgresql import copying
from airflow_provider_flinkx.plugins.registry import schema_of
from tests.flink_cluster import FlinkCluster
from tests.running import run_job
from tests.servers import Database, PostgresDatabase

ROWS = 100_000
_SHAPE = "id bigint primary key, text varchar(20), amount numeric(10,2), tags text[], at timestamp(3)"
_FILL = (
    "select n, 'text ' || n, n / 100.0, array['a', null, n::text], timestamp '2024-01-01' + n * interval '1.001 s' "
    f"from generate_series(1, {ROWS}) n"
)


@pytest.fixture
def database(postgres: PostgresDatabase) -> Database:
    database = postgres.fresh_database()
    database.execute(f"create table source ({_SHAPE})", f"insert into source {_FILL}", "analyze")
    return database


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each batch that was copied, or was tried to be."""
    rows: list[int] = []
    write = copying.CopyConnection.write

    def counted(self: copying.CopyConnection, table: str, columns: str, batch: Any) -> None:
        rows.append(batch.num_rows)
        write(self, table, columns, batch)

    monkeypatch.setattr(copying.CopyConnection, "write", counted)
    return rows


def run_of(database: Database, **parts: Any) -> Run:
    job = validate(document(database, **parts), schema_of=schema_of).job
    return Run(job, RunContext("copying", uuid.uuid4().hex[:12]))


def document(database: Database, *, setting: Any = None, reader: Any = None, writer: Any = None) -> dict[str, Any]:
    login = {"username": database.user, "password": database.password, "column": ["*"]}
    read = {**login, "connection": [{"jdbcUrl": database.jdbc_url, "table": ["source"]}], **(reader or {})}
    write = {**login, "connection": [{"jdbcUrl": database.jdbc_url, "table": ["target"]}], **(writer or {})}
    content = {
        "reader": {"name": "postgresqlreader", "parameter": read},
        "writer": {"name": "postgresqlwriter", "parameter": write},
    }
    return {"job": {"setting": setting or {}, "content": [content]}}


def columns(**more: Any) -> list[dict[str, Any]]:
    return [{"name": name, **more.get(name, {})} for name in ("id", "text", "amount", "tags", "at")]


def assert_equal(database: Database, where: str = "true") -> None:
    ((rows, same),) = database.query(
        "select count(*), count(*) filter (where s is not distinct from t) from target t left join source s using (id)"
    )
    expected = database.query(f"select count(*) from source where {where}")[0][0]
    assert (rows, same) == (expected, expected)


def test_all_rows_are_copied(database: Database, copied: list[int]) -> None:
    database.execute(f"create table target ({_SHAPE})")
    report, live = run_job(run_of(database, reader={"where": "id % 10 > 0"}))
    assert sum(copied) == report["numRead"] == report["numWrite"] == live.numWrite == ROWS * 9 // 10
    assert report["byteRead"] == report["byteWrite"] > 0
    assert report["splits"] > 1
    assert_equal(database, "id % 10 > 0")


def test_columns_in_another_order(database: Database, copied: list[int]) -> None:
    database.execute(
        'create table target (at timestamp(3), "Text" varchar(20), made int generated always as (id % 7) stored, '
        "id bigint primary key)"
    )
    run_job(run_of(database, reader={"column": ["id", "text", "at"]}, writer={"column": ["id", "Text", "at"]}))
    assert sum(copied) == ROWS
    ((same,),) = database.query(
        'select count(*) from source s join target t using (id, at) where t."Text" = s.text and made = id % 7'
    )
    assert same == ROWS


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        (_SHAPE.replace("varchar(20)", "varchar(19)"), {}),
        (_SHAPE.replace("numeric(10,2)", "numeric(12,4)"), {}),
        (_SHAPE.replace("timestamp(3)", "timestamptz"), {}),
        (_SHAPE, {"writer": {"writeMode": "update"}}),
        (_SHAPE, {"writer": {"batchSize": 1}, "reader": {"where": "id < 100"}}),
        (_SHAPE, {"setting": {"verify": "checksum"}}),
        (_SHAPE, {"setting": {"speed": {"bytes": 100_000_000}}}),
        (_SHAPE, {"reader": {"column": columns(text={"value": "none"})}}),
        (
            _SHAPE.replace("timestamp(3)", "text"),
            {"reader": {"column": columns(at={"type": "string", "format": "yyyy"})}},
        ),
    ],
    ids=["length", "digits", "type", "key", "row by row", "checksum", "throttle", "default", "format"],
)
def test_the_ordinary_way_where_values_are_looked_at(
    database: Database, copied: list[int], shape: str, parameters: dict[str, Any]
) -> None:
    database.execute(f"create table target ({shape})")
    report, _ = run_job(run_of(database, **parameters))
    assert copied == []
    assert report["numWrite"] == database.query("select count(*) from target")[0][0] > 0


def test_types_without_limits_take_those_with(database: Database, copied: list[int]) -> None:
    database.execute("create table target (id bigint, text varchar, amount numeric, tags text[], at timestamp)")
    run_job(run_of(database))
    assert sum(copied) == ROWS


@pytest.mark.parametrize("bad", [(7,), (1, ROWS // 2, ROWS), tuple(range(1, ROWS, 10_000))], ids=len)
def test_refused_rows_are_found_the_ordinary_way(database: Database, copied: list[int], bad: tuple[int, ...]) -> None:
    database.execute(
        f"create table target ({_SHAPE}, check (amount > 0))", f"update source set amount = -1 where id in {(*bad, 0)}"
    )
    report, live = run_job(run_of(database, setting={"errorLimit": {"record": len(bad)}}))
    assert copied
    assert (report["numRead"], report["numWrite"], report["nErrors"]) == (ROWS, ROWS - len(bad), len(bad))
    assert {int(sample["row"]["id"]) for sample in report["dirty_data"]["samples"]} <= set(bad)
    for counter in ("numRead", "numWrite", "nErrors", "otherErrors", "byteRead", "byteWrite"):
        assert getattr(live, counter) == report[counter], counter
    assert_equal(database, "amount > 0")


def test_a_refused_row_on_a_cluster(database: Database, flink_cluster: FlinkCluster) -> None:
    database.execute(
        f"create table target ({_SHAPE}, check (amount > 0))", "update source set amount = -1 where id = 7"
    )
    setting = {"errorLimit": {"record": 1}, "speed": {"channel": 2}}
    cluster = SessionCluster(ClusterSettings(mode="standalone", rest_addresses=flink_cluster.rest_addresses))
    report = cluster.run(document(database, setting=setting), job_key=f"copying-{uuid.uuid4().hex[:8]}")
    assert (report["numRead"], report["numWrite"], report["nErrors"]) == (ROWS, ROWS - 1, 1)
    assert_equal(database, "amount > 0")


def test_the_error_limit_holds(database: Database) -> None:
    database.execute(
        f"create table target ({_SHAPE}, check (amount > 0))", "update source set amount = -1 where id = 7"
    )
    with pytest.raises(ErrorLimitExceededError) as caught:
        run_job(run_of(database))
    assert caught.value.report is not None
    assert caught.value.report["nErrors"] == 1
    assert caught.value.report["numWrite"] == database.query("select count(*) from target")[0][0]


def test_a_deferred_constraint_refuses_a_row_and_not_the_split(database: Database) -> None:
    database.execute(
        "create table parent (id bigint primary key)",
        f"insert into parent select generate_series(2, {ROWS})",
        f"create table target ({_SHAPE}, foreign key (id) references parent deferrable initially deferred)",
    )
    report, _ = run_job(run_of(database, setting={"errorLimit": {"record": 1}}))
    assert (report["numWrite"], report["nErrors"]) == (ROWS - 1, 1)
    assert_equal(database, "id > 1")


def test_a_table_without_rows(database: Database) -> None:
    database.execute(f"create table target ({_SHAPE})", "delete from source")
    report, _ = run_job(run_of(database))
    assert (report["state"], report["numWrite"]) == ("FINISHED", 0)


def test_a_query(database: Database, copied: list[int]) -> None:
    database.execute(f"create table target ({_SHAPE})")
    run_job(run_of(database, reader={"customSql": "select * from source where id <= 5 -- these", "splitPk": "id"}))
    assert sum(copied) == 5
    assert_equal(database, "id <= 5")
