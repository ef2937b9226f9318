"""`consistent` in a job of many tables: all tables of a server are read as they were at one moment.

Rows move from one table to the other and back, each in one transaction: at every moment each row is in one of them.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_flinkx.clusters.session import SessionCluster
from airflow_provider_flinkx.clusters.settings import ClusterSettings
from airflow_provider_flinkx.jobs.validation import validate
from airflow_provider_flinkx.pipeline.planning import plan
from airflow_provider_flinkx.pipeline.report import Counters
from airflow_provider_flinkx.pipeline.steps import Report, Run, Sync, shared_state
from airflow_provider_flinkx.plugins.base import RunContext, Split
from airflow_provider_flinkx.plugins.registry import schema_of
from airflow_provider_flinkx.plugins.relational.reader import RelationalReader
from tests.flink_cluster import FlinkCluster
from tests.running import run_job
from tests.servers import Database, MariadbDatabase, SQLServerDatabase

ROWS = 400
SERVERS = ["postgres", "mariadb", "sqlserver"]


class Moving:
    """Two tables that rows move between, and two that they are read into."""

    def __init__(self, server: Database) -> None:
        self.database = server.fresh_database()
        if isinstance(self.database, SQLServerDatabase):
            self.database.execute("alter database current set allow_snapshot_isolation on")
        self.begin = "start transaction" if isinstance(server, MariadbDatabase) else "begin transaction"
        for name in ("source_a", "source_b", "read_source_a", "read_source_b"):
            self.database.execute(f"create table {name} (id integer primary key)")
        self.database.execute(f"insert into source_a values {','.join(f'({n})' for n in range(ROWS // 2))}")
        self.database.execute(f"insert into source_b values {','.join(f'({n})' for n in range(ROWS // 2, ROWS))}")
        self.moves = 0

    def move(self) -> None:
        """Move the first row of one table to the other, and the last row of that one to the first."""
        ((first,),) = self.database.query("select min(id) from source_a")
        ((last,),) = self.database.query("select max(id) from source_b")
        for number, one, other in ((first, "source_a", "source_b"), (last, "source_b", "source_a")):
            self.database.execute(
                self.begin,
                f"insert into {other} values ({number})",
                f"delete from {one} where id = {number}",
                "commit",
            )
        self.moves += 1

    def read(self) -> list[int]:
        return sorted(
            int(number)
            for name in ("read_source_a", "read_source_b")
            for (number,) in self.database.query(f"select id from {name}")
        )

    def document(self, *, channels: int, consistent: bool = True) -> dict[str, Any]:
        login = {"username": self.database.user, "password": self.database.password, "column": ["*"]}
        url, scheme = self.database.jdbc_url, self.database.jdbc_scheme
        reading = {"connection": [{"jdbcUrl": [url], "table": ["source_*"]}], "consistent": consistent}
        writing = {"connection": [{"jdbcUrl": url, "table": ["read_{table}"]}]}
        content = {
            "reader": {"name": f"{scheme}reader", "parameter": {**login, **reading}},
            "writer": {"name": f"{scheme}writer", "parameter": {**login, **writing}},
        }
        return {"job": {"setting": {"speed": {"channel": channels}}, "content": [content]}}

    def run(self, *, channels: int = 1, consistent: bool = True) -> Run:
        job = validate(self.document(channels=channels, consistent=consistent), schema_of=schema_of).job
        return Run(job, RunContext("a-run", uuid.uuid4().hex[:12], channels=channels))

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Rows move from now on, again and again."""
        end, started = threading.Event(), threading.Event()

        def work() -> None:
            while not end.is_set():
                self.move()
                started.set()

        thread = threading.Thread(target=work)
        thread.start()
        started.wait()
        try:
            yield
        finally:
            end.set()
            thread.join()


@pytest.fixture
def four_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_flinkx.plugins.relational.reader.split_count", lambda _rows, _channels: 4)


@pytest.fixture(params=SERVERS)
def tables(request: pytest.FixtureRequest, four_splits: None) -> Moving:
    return Moving(request.getfixturevalue(request.param))


@pytest.fixture
def postgres_tables(postgres: Database, four_splits: None) -> Moving:
    return Moving(postgres)


def in_turn(tables: Moving, run: Run, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Rows move after each table is planned and before each split is read; the channels take the splits in turn."""
    splits = RelationalReader.splits

    def then_move(self: RelationalReader) -> Any:
        found = splits(self)
        tables.move()
        return found

    monkeypatch.setattr(RelationalReader, "splits", then_move)
    first, *messages = json.loads(json.dumps(list(plan(run))))
    assert first["kind"] == "plan", first
    channels = [Sync(run, Counters().add) for _ in range(run.context.channels)]
    report, result = Report(run), None
    report.add(first)
    for place, message in enumerate(messages):
        arguments = {name: message[name] for name in ("ledger", "context", "table")}
        result = report.add(channels[place % len(channels)].split(Split(**message["split"]), **arguments))
        tables.move()
    report.abort()
    for channel in channels:
        channel.close()
    assert len(messages) == 8
    assert result is not None
    return result


def test_no_row_is_in_both_tables_or_in_neither(tables: Moving, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tables.run()
    report = in_turn(tables, run, monkeypatch)
    assert tables.read() == list(range(ROWS))
    assert [each["snapshot"] for each in report["tables"]] == [report["tables"][0]["snapshot"]] * 2
    assert shared_state(run).holds == []


def test_channels_share_the_snapshot(postgres_tables: Moving, monkeypatch: pytest.MonkeyPatch) -> None:
    in_turn(postgres_tables, postgres_tables.run(channels=3), monkeypatch)
    assert postgres_tables.read() == list(range(ROWS))


def test_without_it_rows_are_in_both_or_in_neither(tables: Moving, monkeypatch: pytest.MonkeyPatch) -> None:
    in_turn(tables, tables.run(consistent=False), monkeypatch)
    assert tables.read() != list(range(ROWS))


def test_each_server_has_a_moment_of_its_own(mariadb: Database, four_splits: None) -> None:
    """Two servers, read into one table while rows move in both."""
    first, second = Moving(mariadb), Moving(mariadb)
    first.database.execute("create table read_both (id integer)")
    document = first.document(channels=1)
    content = document["job"]["content"][0]
    (own,) = content["reader"]["parameter"]["connection"]
    other = {**own, "jdbcUrl": [second.database.jdbc_url]}
    content["reader"] = {
        "name": "mysqldreader",
        "parameter": {**content["reader"]["parameter"], "connection": [own, other]},
    }
    content["writer"]["parameter"]["connection"][0]["table"] = ["read_both"]
    job = validate(document, schema_of=schema_of).job
    with first.moving(), second.moving():
        report, _ = run_job(Run(job, RunContext("a-run", uuid.uuid4().hex[:12])))
    assert len(report["tables"]) == 4
    assert report["warnings"] == ["consistent: the tables of one server are of one moment, each server of its own"]
    read = sorted(number for (number,) in first.database.query("select id from read_both"))
    assert read == sorted([*range(ROWS), *range(ROWS)])


def test_rows_move_all_the_time(tables: Moving) -> None:
    with tables.moving():
        run_job(tables.run())
        assert tables.read() == list(range(ROWS))
    assert tables.moves


def test_all_workers_of_a_cluster_share_the_snapshot(postgres: Database, flink_cluster: FlinkCluster) -> None:
    tables = Moving(postgres)
    cluster = SessionCluster(ClusterSettings(mode="standalone", rest_addresses=flink_cluster.rest_addresses))
    with tables.moving():
        started = cluster.start(tables.document(channels=4), job_key=f"consistent-{uuid.uuid4().hex[:8]}")
        cluster.wait(started.job_id)
        assert tables.read() == list(range(ROWS))
    report = cluster.result(started.job_id)
    assert [each["snapshot"] for each in report["tables"]] == [report["tables"][0]["snapshot"]] * 2


def test_a_snapshot_that_ended_between_two_tables_fails_the_job(
    postgres_tables: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is held until the job has ended; nobody begins another one for the tables that are left."""
    run = postgres_tables.run()
    _, *messages = json.loads(json.dumps(list(plan(run))))
    assert len(shared_state(run).holds) == 1
    shared_state(run).let_go()
    sync = Sync(run, Counters().add)
    message = messages[-1]
    answer = sync.split(Split(**message["split"]), ledger=message["ledger"], table=message["table"])
    sync.close()
    assert answer["kind"] == "failed"
    assert "snapshot of the plan" in answer["error"]["message"]


def test_a_table_without_snapshots_is_refused(mariadb: Database) -> None:
    tables = Moving(mariadb)
    tables.database.execute("alter table source_b engine = MyISAM")
    with pytest.raises(Exception, match=r"table source_b is of the engine MyISAM"):
        run_job(tables.run())
