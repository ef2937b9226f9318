"""Incremental runs whose location the target keeps, on real servers: failing, retried, abandoned, overlapping."""

from __future__ import annotations

import random
import threading
import uuid
from collections import Counter
from typing import Any

import pytest

from airflow_provider_flinkx import exceptions
from airflow_provider_flinkx.jobs.validation import validate
from airflow_provider_flinkx.pipeline.planning import plan
from airflow_provider_flinkx.pipeline.ranges import check_caller
from airflow_provider_flinkx.pipeline.report import Counters
from airflow_provider_flinkx.pipeline.steps import Report, Run, Sync
from airflow_provider_flinkx.plugins.base import RunContext, Split
from airflow_provider_flinkx.plugins.registry import schema_of
from tests.db2_server import Db2Database
from tests.integration.relational.moving import DATABASES
from tests.running import run_job
from tests.servers import Database

SEED = 20_261_122
KINDS = ("well", "retried", "overlapping", "abandoned", "late")


class Source:
    """A table that grows, and a target without a key that would stop a double."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.rows = 0
        database.execute("create table source (id integer not null primary key, text varchar(40))")
        database.execute("create table target (id integer, text varchar(40))")

    def grow(self, rows: int) -> None:
        if rows:
            new = range(self.rows + 1, self.rows + rows + 1)
            self.database.execute(f"insert into source values {','.join(f'({n}, {chr(39)}{n}{chr(39)})' for n in new)}")
            self.rows += rows

    def written(self) -> Counter[int]:
        return Counter(int(row[0]) for row in self.database.query("select id from target"))


@pytest.fixture(params=[database for database in DATABASES if database != "sqlserver"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Source:
    # A few hundred rows are one split otherwise.
    monkeypatch.setattr("airflow_provider_flinkx.plugins.relational.reader.split_count", lambda _rows, _channels: 4)
    return Source(request.getfixturevalue(request.param).fresh_database())


def new_run(
    database: Database, key: str, *, take_finished: bool = False, setting: Any = None, incremental: Any = None,
    write_mode: str = "insert", **reader: Any,
) -> Run:  # fmt: skip
    """A try of the run `key`."""
    scheme = database.jdbc_scheme
    login = {"username": database.user, "password": database.password, "column": ["id", "text"]}
    read = {
        "connection": [{"jdbcUrl": [database.jdbc_url], "table": ["source"]}],
        "incremental": {"column": "id", "state": "target", **(incremental or {})},
        **reader,
    }
    write = {"connection": [{"jdbcUrl": database.jdbc_url, "table": ["target"]}], "writeMode": write_mode}
    content = {
        "reader": {"name": f"{scheme}reader", "parameter": {**login, **read}},
        "writer": {"name": f"{scheme}writer", "parameter": {**login, **write}},
    }
    job = validate({"job": {"setting": setting or {}, "content": [content]}}, schema_of=schema_of).job
    return Run(job, RunContext(key, uuid.uuid4().hex[:12], take_finished=take_finished))


class SteppedRun:
    """A run that is planned, and moves one split at a time, so that others can come in between."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.messages = list(plan(run))
        self._sync = Sync(run, Counters().add)
        self._report = Report(run)
        self.result: dict[str, Any] | None = None

    def step(self) -> bool:
        """Take the next message; whether there are more."""
        message = self.messages.pop(0)
        if message["kind"] == "split":
            message = self._sync.split(Split(**message["split"]), ledger=message["ledger"], context=message["context"])
        self.result = self._report.add(message) or self.result
        return bool(self.messages)

    def die(self) -> None:
        """End without a word, as a killed worker does."""
        self.messages = []
        self._sync.close()

    def finish(self) -> dict[str, Any]:
        while self.messages:
            self.step()
        self._sync.close()
        assert self.result is not None
        return self.result


@pytest.mark.parametrize("runs", [10, pytest.param(30, marks=pytest.mark.long)])
def test_runs_of_which_some_fail_and_some_overlap(source: Source, runs: int) -> None:
    if isinstance(source.database, Db2Database):
        runs //= 2  # the ledger's CLOBs take their time on the stand-in
    chance = random.Random(SEED)
    abandoned: list[str] = []
    for number in range(runs):
        source.grow(chance.choice((0, 1, 7, 60)))
        kind = KINDS[number % len(KINDS)]
        key = f"run-{number}"
        if kind in ("retried", "abandoned"):
            dying = SteppedRun(new_run(source.database, key))
            for _ in range(chance.randrange(len(dying.messages))):
                dying.step()
            dying.die()
            source.grow(chance.choice((0, 3)))
            if kind == "abandoned":
                abandoned.append(key)
            else:
                run_job(new_run(source.database, key, take_finished=True))
        elif kind == "well":
            run_job(new_run(source.database, key))
        else:
            overlap(source, key, chance, late=kind == "late")
    if abandoned:
        run_job(new_run(source.database, abandoned[0], take_finished=True))
    for last in range(2):  # the first may have gone on with the rows of a run that failed
        run_job(new_run(source.database, f"last-{last}"))
    assert source.written() == Counter(range(1, source.rows + 1))


def overlap(source: Source, key: str, chance: random.Random, *, late: bool) -> None:
    """Two runs in turns; the first may have planned long before the second one comes, and end long after it."""
    first = SteppedRun(new_run(source.database, f"{key}-a"))
    source.grow(chance.choice((0, 5)))
    second = SteppedRun(new_run(source.database, f"{key}-b"))
    while not late and first.messages and second.messages:
        chance.choice((first, second)).step()
    second.finish()
    if late:
        source.grow(2)
        run_job(new_run(source.database, f"{key}-c"))
    first.finish()


def test_runs_at_the_same_moment(source: Source) -> None:
    source.grow(400)
    errors: list[BaseException] = []

    def one(number: int) -> None:
        try:
            run_job(new_run(source.database, f"run-{number}"))
        except BaseException as error:
            errors.append(error)

    run_job(new_run(source.database, "the first"))  # makes the ledger table
    source.grow(400)
    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert source.written() == Counter(range(1, 801))


def test_the_report_says_where_the_next_run_begins(source: Source) -> None:
    source.grow(10)
    first, _ = run_job(new_run(source.database, "a", startLocation="4"))
    assert (first["startLocation"], first["endLocation"], first["numWrite"]) == ("4", "10", 6)
    nothing, _ = run_job(new_run(source.database, "b", startLocation="4"))
    assert (nothing["startLocation"], nothing["endLocation"], nothing["numWrite"]) == ("10", "10", 0)
    source.grow(5)
    second, _ = run_job(new_run(source.database, "c"))
    assert (second["startLocation"], second["endLocation"], second["numWrite"]) == ("10", "15", 5)
    assert source.written() == Counter(range(5, 16))


def test_a_try_after_one_that_finished_without_a_word_takes_its_report(source: Source) -> None:
    source.grow(10)
    first, _ = run_job(new_run(source.database, "a"))
    source.grow(10)
    again, _ = run_job(new_run(source.database, "a", take_finished=True))
    assert again == first
    next_one, _ = run_job(new_run(source.database, "b"))
    assert next_one["numWrite"] == 10
    assert source.written() == Counter(range(1, 21))


def test_a_run_goes_on_with_the_rows_of_one_that_failed(source: Source) -> None:
    source.grow(40)
    failing = SteppedRun(new_run(source.database, "a"))
    failing.step()
    failing.step()
    failing.die()
    source.grow(40)
    report, _ = run_job(new_run(source.database, "b"))
    assert (report["endLocation"], report["numWrite"]) == ("40", 40)
    assert any("earlier" in line for line in report["warnings"])
    assert source.written() == Counter(range(1, 41))


def test_other_sources_have_other_locations(source: Source) -> None:
    source.grow(10)
    run_job(new_run(source.database, "even", where="mod(id, 2) = 0"))
    run_job(new_run(source.database, "odd", where="mod(id, 2) = 1"))
    assert source.written() == Counter(range(1, 11))


def test_a_name_of_its_own_outlives_a_change_of_the_source(source: Source) -> None:
    source.grow(10)
    run_job(new_run(source.database, "a", incremental={"name": "orders"}))
    run_job(new_run(source.database, "b", incremental={"name": "orders"}, where="id > 0"))
    assert source.written() == Counter(range(1, 11))


def test_the_greatest_rows_are_left_to_the_next_run(source: Source) -> None:
    source.grow(10)
    first, _ = run_job(new_run(source.database, "a", useMaxFunc=True))
    assert (first["endLocation"], first["numWrite"]) == ("10", 9)
    source.grow(5)
    run_job(new_run(source.database, "b", useMaxFunc=True))
    assert source.written() == Counter(range(1, 15))


def test_a_location_that_airflow_keeps_is_used_as_it_is_given(source: Source) -> None:
    source.grow(20)
    given: dict[str, Any] = {"incremental": {"state": "airflow", "run": "a"}, "write_mode": "update"}
    first, _ = run_job(new_run(source.database, "a", startLocation="5", endLocation="10", **given))
    assert (first["startLocation"], first["endLocation"], first["numWrite"]) == ("5", "10", 5)
    second, _ = run_job(new_run(source.database, "b", startLocation="10", endLocation="15", useMaxFunc=True, **given))
    assert (second["startLocation"], second["endLocation"], second["numWrite"]) == ("10", "15", 5)
    third, _ = run_job(new_run(source.database, "c", startLocation="15", **given))
    assert (third["startLocation"], third["endLocation"], third["numWrite"]) == ("15", "20", 5)
    assert source.written() == Counter([*range(6, 11), *range(10, 15), *range(16, 21)])


def test_airflow_keeps_no_location_of_inserts_that_a_ledger_could_keep_apart(source: Source) -> None:
    source.grow(10)
    with pytest.raises(exceptions.JobInvalidError, match="take target"):
        run_job(new_run(source.database, "a", incremental={"state": "airflow", "run": "a"}))
    assert source.written() == Counter()


def test_a_location_of_airflow_is_refused_where_no_task_gave_it(source: Source) -> None:
    with pytest.raises(exceptions.JobInvalidError, match=r"incremental.state: airflow is for tasks of Airflow"):
        check_caller(new_run(source.database, "a", incremental={"state": "airflow"}).job)


def test_without_a_ledger_it_is_refused(source: Source) -> None:
    source.grow(10)
    with pytest.raises(exceptions.JobInvalidError, match="exactlyOnce"):
        run_job(new_run(source.database, "a", setting={"exactlyOnce": False}))
    assert source.written() == Counter()
