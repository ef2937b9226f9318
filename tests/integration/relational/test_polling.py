"""Jobs that poll, on real servers: rows that come while they run, other tries, their end."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

import pytest

from airflow_provider_flinkx.clusters.local import LocalCluster
from airflow_provider_flinkx.clusters.session import SessionCluster
from airflow_provider_flinkx.clusters.settings import ClusterSettings
from airflow_provider_flinkx.exceptions import JobCancelledError
from airflow_provider_flinkx.jobs.validation import validate
from airflow_provider_flinkx.pipeline.report import Counters
from airflow_provider_flinkx.pipeline.rounds import Polling, Rounds
from airflow_provider_flinkx.pipeline.steps import Report, Run, Sync
from airflow_provider_flinkx.plugins.base import RunContext, Split
from airflow_provider_flinkx.plugins.registry import schema_of
from tests.faults.table_sync import Try
from tests.flink_cluster import FlinkCluster
from tests.integration.relational.moving import DATABASES
from tests.processes import python_workers
from tests.servers import Database, await_condition

_HOUR = 3_600_000


class Source:
    """A table that grows, and a target without a key that would stop a double."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.rows = 0
        database.execute("create table source (id integer not null primary key, text varchar(40))")
        database.execute("create table target (id integer, text varchar(10))")

    def grow(self, *texts: str) -> None:
        for text in texts:
            self.rows += 1
            self.database.execute(f"insert into source values ({self.rows}, '{text}')")

    def written(self) -> Counter[int]:
        return Counter(int(row[0]) for row in self.database.query("select id from target"))

    @property
    def all_rows(self) -> Counter[int]:
        return Counter(range(1, self.rows + 1))

    def document(self, *, setting: Any = None, **reader: Any) -> dict[str, Any]:
        scheme = self.database.jdbc_scheme
        login = {"username": self.database.user, "password": self.database.password, "column": ["id", "text"]}
        read = {"increColumn": "id", "polling": True, "pollingInterval": 1, **reader}
        content = {
            "reader": {"name": f"{scheme}reader", "parameter": {**login, **self.connection("source"), **read}},
            "writer": {"name": f"{scheme}writer", "parameter": {**login, **self.connection("target")}},
        }
        return {"job": {"setting": setting or {}, "content": [content]}}

    def connection(self, table: str) -> dict[str, Any]:
        return {"connection": [{"jdbcUrl": self.database.jdbc_url, "table": [table]}]}

    def run(self, key: str, **reader: Any) -> Run:
        job = validate(self.document(**reader), schema_of=schema_of).job
        return Run(job, RunContext(key, uuid.uuid4().hex[:12]))


class SteppedJob:
    """A job whose rounds are made one at a time, so that the source can grow between them."""

    def __init__(self, run: Run) -> None:
        self._rounds = Rounds(run)
        self._sync = Sync(run, Counters().add)
        self._report = Report(run)

    def round(self) -> dict[str, Any] | None:
        """Plan and move what there is; the report, when it was the last round."""
        return self.move(self.plan())

    def plan(self) -> list[dict[str, Any]]:
        return list(self._rounds.messages())

    def move(self, messages: list[dict[str, Any]]) -> dict[str, Any] | None:
        result = None
        for message in messages:
            if message["kind"] == "split":
                message = self._sync.split(Split(**message["split"]), ledger=message["ledger"])
            result = self._report.add(message) or result
        return result

    def last_round(self) -> dict[str, Any]:
        self._rounds.polling = Polling(interval=0.001, duration=0.001)
        report = self.round()
        assert report is not None
        return report

    def die(self) -> None:
        """End without a word, as a killed worker does."""
        self._rounds.close()
        self._sync.close()


@pytest.fixture(params=[database for database in DATABASES if database != "sqlserver"])
def source(request: pytest.FixtureRequest) -> Source:
    return Source(request.getfixturevalue(request.param).fresh_database())


def test_each_round_moves_what_has_come_since(source: Source) -> None:
    source.grow("a", "b")
    job = SteppedJob(source.run("polls", startLocation="1", setting={"errorLimit": {"record": 1}}))
    assert job.round() is None
    assert source.written() == Counter([2])
    assert job.round() is None
    source.grow("c", "far too long a text", "e")
    assert job.round() is None
    assert source.written() == Counter([2, 3, 5])
    source.grow("f")
    report = job.last_round()
    job.die()
    assert source.written() == Counter([2, 3, 5, 6])
    assert (report["state"], report["numRead"], report["numWrite"], report["nErrors"]) == ("FINISHED", 5, 4, 1)
    assert (report["startLocation"], report["endLocation"]) == ("1", "6")
    assert (report["splits"], report["splitsDone"]) == (3, 3)


def test_a_table_that_is_empty_at_first(source: Source) -> None:
    job = SteppedJob(source.run("polls"))
    job.round()
    source.grow("a")
    job.round()
    report = job.last_round()
    job.die()
    assert source.written() == Counter([1])
    assert (report["startLocation"], report["endLocation"]) == ("", "1")


def test_the_greatest_value_is_left_to_the_next_round(source: Source) -> None:
    source.grow("a", "b")
    job = SteppedJob(source.run("polls", useMaxFunc=True))
    job.round()
    assert source.written() == Counter([1])
    source.grow("c")
    job.round()
    job.die()
    assert source.written() == Counter([1, 2])


def test_another_try_goes_on_with_the_rounds_of_the_first(source: Source) -> None:
    source.grow("a")
    first = SteppedJob(source.run("polls"))
    first.round()
    source.grow("b")
    first.round()
    source.grow("c")
    first.plan()  # and dies before it has moved the row
    first.die()
    source.grow("d")
    second = SteppedJob(source.run("polls"))
    second.round()
    assert source.written() == Counter([1, 2, 3])
    report = second.last_round()
    second.die()
    assert source.written() == source.all_rows
    assert (report["numRead"], report["numWrite"], report["startLocation"]) == (4, 4, "")


def test_two_tries_at_once_write_each_row_once(source: Source) -> None:
    source.grow("a")
    cut_off = SteppedJob(source.run("polls"))
    cut_off.round()
    other = SteppedJob(source.run("polls"))
    other.round()
    source.grow("b")
    planned = cut_off.plan()
    source.grow("c")
    other.round()  # it finds the plan of the first, without row 3
    cut_off.move(planned)
    assert source.written() == Counter([1, 2])
    cut_off.round()
    other.round()
    for job in (cut_off, other):
        job.die()
    assert source.written() == source.all_rows


def test_without_a_ledger(source: Source) -> None:
    source.grow("a")
    job = SteppedJob(source.run("polls", setting={"exactlyOnce": False}))
    job.round()
    source.grow("b")
    job.round()
    assert job.last_round()["numWrite"] == 2
    job.die()
    assert source.written() == source.all_rows


def test_a_round_that_fails_fails_the_job(source: Source) -> None:
    job = SteppedJob(source.run("polls"))
    job.round()
    source.database.drop("source")
    messages = job.plan()
    job.die()
    assert [message["kind"] for message in messages] == ["failed", "round"]
    assert "source" in messages[0]["error"]["message"].lower()
    assert messages[1]["last"]


@pytest.fixture(params=["postgres", "mariadb"])
def own_source(request: pytest.FixtureRequest) -> Source:
    return Source(request.getfixturevalue(request.param).fresh_database())


def await_rows(source: Source, current: Try) -> None:
    """Wait until all rows that are there have been written, by a job that goes on."""
    await_condition(lambda: not current.running or source.written() == source.all_rows, 60, "the rows")
    assert current.running, current.error


def test_local_mode_until_its_time_is_over(own_source: Source) -> None:
    own_source.grow("a")
    document = own_source.document(pollingInterval=50, pollingDuration=5000, setting={"speed": {"channel": 2}})
    current = Try(LocalCluster(), document, "polls")
    await_rows(own_source, current)
    own_source.grow("b", "c")
    report = current.end(60).report
    assert report is not None, current.error
    assert own_source.written() == own_source.all_rows
    assert (report["numRead"], report["numWrite"], report["endLocation"]) == (3, 3, "3")


def test_local_mode_ends_with_the_error_limit(own_source: Source) -> None:
    own_source.grow("a")
    document = own_source.document(setting={"errorLimit": {"record": 1}, "speed": {"channel": 2}})
    current = Try(LocalCluster(), document, "polls")
    await_rows(own_source, current)
    own_source.grow("far too long a text", "as long as the one before")
    error = current.end(60).error
    assert "2 rows were rejected, errorLimit.record allows 1" in str(error)
    assert error.report["nErrors"] == 2  # type: ignore[union-attr]


def test_a_cluster_until_it_is_cancelled_and_again(own_source: Source, flink_cluster: FlinkCluster) -> None:
    def new_try(*, again: bool) -> tuple[SessionCluster, Try]:
        cluster = SessionCluster(ClusterSettings(mode="standalone", rest_addresses=flink_cluster.rest_addresses))
        return cluster, Try(cluster, document, key, again=again)

    key, document = f"polls-{uuid.uuid4().hex[:8]}", own_source.document(setting={"speed": {"channel": 2}})
    for again in (False, True):
        own_source.grow("a")
        cluster, current = new_try(again=again)
        await_rows(own_source, current)
        for _ in range(3):
            own_source.grow("b", "c")
            await_rows(own_source, current)
        cluster.cancel()
        assert isinstance(current.end(60).error, JobCancelledError)
    assert own_source.written() == own_source.all_rows


def test_a_job_that_waits_for_its_next_round_can_be_cancelled(own_source: Source, flink_cluster: FlinkCluster) -> None:
    own_source.grow("a")
    cluster = SessionCluster(ClusterSettings(mode="standalone", rest_addresses=flink_cluster.rest_addresses))
    current = Try(cluster, own_source.document(pollingInterval=_HOUR), f"polls-{uuid.uuid4().hex[:8]}")
    await_rows(own_source, current)
    cluster.cancel()
    assert isinstance(current.end(60).error, JobCancelledError)
    managers = [daemon.pid for daemon in flink_cluster.task_managers]
    await_condition(lambda: not any(map(python_workers, managers)), 10, "the end of the workers")
