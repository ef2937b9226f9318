"""Jobs of many tables on a session cluster: plan, four channels and report in Python workers of two TaskManagers."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_provider_flinkx.clusters.session import SessionCluster
from airflow_provider_flinkx.clusters.settings import ClusterSettings
from airflow_provider_flinkx.exceptions import DataError, FlinkXError
from tests.flink_cluster import FlinkCluster
from tests.servers import Database

ROWS = {"orders": 40_000, "customers": 3, "nothing": 0, "items": 25_000}
KINDS = "id bigint primary key, note varchar(20), amount numeric(12,2), day date"


@pytest.fixture(params=["postgres", "mariadb"])
def source(request: pytest.FixtureRequest) -> Database:
    database: Database = request.getfixturevalue(request.param).fresh_database()
    for name, count in ROWS.items():
        database.execute(f"create table {name} ({KINDS})")
        for start in range(1, count + 1, 10_000):
            rows = (f"({n}, 'text {n}', {n}.25, '2024-02-29')" for n in range(start, min(start + 10_000, count + 1)))
            database.execute(f"insert into {name} values {','.join(rows)}")
    return database


@pytest.fixture
def target(postgres: Database) -> Database:
    return postgres.fresh_database()


def document(source: Database, writer: dict[str, Any], **setting: Any) -> dict[str, Any]:
    connection = {"jdbcUrl": [source.jdbc_url], "table": ["orders", "[cni]*"]}
    reader = {"username": source.user, "password": source.password, "column": ["*"], "connection": [connection]}
    content = {"reader": {"name": f"{source.jdbc_scheme}reader", "parameter": reader}, "writer": writer}
    return {"job": {"content": [content], "setting": {"speed": {"channel": 4}, **setting}}}


def to_tables(target: Database, **more: Any) -> dict[str, Any]:
    login = {"username": target.user, "password": target.password}
    connection = [{"jdbcUrl": target.jdbc_url, "table": ["ods_{table}"]}]
    parameter = {**login, "column": ["*"], "connection": connection, "createTable": True, **more}
    return {"name": "postgresqlwriter", "parameter": parameter}


def run(cluster: FlinkCluster, job: dict[str, Any], key: str) -> dict[str, Any]:
    session = SessionCluster(ClusterSettings(mode="standalone", rest_addresses=cluster.rest_addresses))
    started = session.start(job, job_key=key)
    session.wait(started.job_id)
    return session.result(started.job_id)


def new_key() -> str:
    return f"many-{uuid.uuid4().hex[:8]}"


def figures(report: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {each["source"]: (each["target"], each["state"], each["numRead"], each["numWrite"], each["nErrors"])
            for each in report["tables"]}  # fmt: skip


@pytest.mark.parametrize("verify", ["count", "checksum"])
def test_each_table_goes_to_its_own(
    source: Database, target: Database, flink_cluster: FlinkCluster, verify: str
) -> None:
    writer = to_tables(target, postSql=["create table done_{table} as select count(*) as n from ods_{table}"])
    report = run(flink_cluster, document(source, writer, exactlyOnce=True, verify=verify), new_key())
    assert figures(report) == {name: (f"ods_{name}", "FINISHED", count, count, 0) for name, count in ROWS.items()}
    for each in report["tables"]:
        assert each["verify"]["equal"], each
        assert each["splits"] == each["splitsDone"] > 0
    rows = sum(ROWS.values())
    assert report["numWrite"] == rows
    assert report["verify"]["equal"]
    if verify == "checksum":
        assert report["verify"]["source"] == report["verify"]["target"] == {"rows": rows}
        for each in report["tables"]:
            assert each["verify"]["source"] == each["verify"]["target"]
            assert each["verify"]["source"]["rows"] == ROWS[each["source"]]
    for name, count in ROWS.items():
        written = target.query(f"select id, note, amount, day from ods_{name} order by id")
        assert written == source.query(f"select id, note, amount, day from {name} order by id")
        assert target.query(f"select n from done_{name}") == [(count,)]


def test_a_value_that_a_trigger_alters_fails_the_job(
    postgres: Database, target: Database, flink_cluster: FlinkCluster
) -> None:
    source = postgres.fresh_database()
    source.execute(*(f"create table {name} ({KINDS})" for name in ROWS))
    source.execute(*(f"insert into {name} values (1, 'x', 1, '2024-02-29')" for name in ROWS))
    target.execute(
        f"create table ods_items ({KINDS})",
        "create function alter_note() returns trigger language plpgsql as "
        "$$ begin new.note := 'altered'; return new; end $$",
        "create trigger t before insert on ods_items for each row execute function alter_note()",
    )
    with pytest.raises(DataError, match=r"table ods_items: .*columns that differ: note") as caught:
        run(flink_cluster, document(source, to_tables(target), verify="checksum"), new_key())
    assert caught.value.report is not None
    states = {each["source"]: each["state"] for each in caught.value.report["tables"]}
    assert states == {"orders": "WRITTEN", "customers": "WRITTEN", "nothing": "WRITTEN", "items": "FAILED"}


def test_the_next_try_goes_on_in_the_tables_that_are_left(
    source: Database, target: Database, flink_cluster: FlinkCluster
) -> None:
    """One table refuses a row; when it takes it, the other tables are not written again."""
    key = new_key()
    target.execute(f"create table ods_items ({KINDS}, constraint no_such_item check (id <> 20000))")
    job = document(source, to_tables(target), verify="checksum")
    with pytest.raises(FlinkXError, match="rows were rejected") as caught:
        run(flink_cluster, job, key)
    assert caught.value.report is not None
    first = {each["source"]: each for each in caught.value.report["tables"]}
    assert first["items"]["splitsDone"] < first["items"]["splits"]
    target.execute("alter table ods_items drop constraint no_such_item")
    report = run(flink_cluster, job, key)
    assert any("an earlier try had written" in line for line in report["warnings"])
    assert {name: each[3] for name, each in figures(report).items()} == ROWS
    assert report["verify"]["equal"]
    for name, count in ROWS.items():
        assert target.query(f"select count(*), count(distinct id) from ods_{name}") == [(count, count)]


def test_each_table_becomes_a_directory(source: Database, flink_cluster: FlinkCluster, tmp_path: Path) -> None:
    parameter = {"defaultFS": "file:///", "path": f"{tmp_path}/{{table}}", "fileType": "parquet", "column": ["*"]}
    report = run(flink_cluster, document(source, {"name": "hdfswriter", "parameter": parameter}), new_key())
    assert {name: each[:4] for name, each in figures(report).items()} == {
        name: (f"{tmp_path}/{name}", "FINISHED", count, count) for name, count in ROWS.items()
    }
    for name, count in ROWS.items():
        found = [number for file in (tmp_path / name).iterdir() for number in pq.read_table(file)["id"].to_pylist()]
        assert sorted(found) == list(range(1, count + 1))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(ROWS)
