"""Exactly once by the split ledger, on real servers: tries that fail, die, meet, or lose an answer."""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_flinkx import exceptions
from airflow_provider_flinkx.jobs.validation import validate
from airflow_provider_flinkx.pipeline.planning import plan
from airflow_provider_flinkx.pipeline.steps import Run
from airflow_provider_flinkx.plugins.base import KeptRun, RunContext, Split
from airflow_provider_flinkx.plugins.registry import schema_of
from airflow_provider_flinkx.plugins.relational.database import Database as PluginDatabase
from airflow_provider_flinkx.plugins.relational.ledger import FINISHED, RelationalLedger
from airflow_provider_flinkx.plugins.relational.writer import RelationalSplitWriter
from tests.db2_server import Db2Database
from tests.integration.relational.moving import DATABASES
from tests.oracle_server import OracleDatabase
from tests.running import run_job
from tests.servers import Database, MariadbDatabase, PostgresDatabase, SQLServerDatabase

ROWS = 2_000
EXPECTED = (ROWS, ROWS * (ROWS + 1) // 2)
#: Where the login of a test may make no table, in databases whose users are not made by SQL.
CLOSED_SCHEMAS = {Db2Database: "SYSIBM", OracleDatabase: "SYS"}


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Database:
    return filled(request.getfixturevalue(request.param), monkeypatch)


def filled(server: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A new database with rows in `source`, as many splits as ten times of them would be, and an empty `target`."""
    monkeypatch.setattr("airflow_provider_flinkx.plugins.relational.reader.split_count", lambda _rows, _channels: 8)
    made = server.fresh_database()
    made.execute(
        "create table source (id integer not null primary key, text varchar(40))",
        "create table target (id integer, text varchar(40))",
        "insert into source values (1, 'a text')",
    )
    counted = 1
    while counted < ROWS:
        chosen = f"select id + {counted}, text from source where id + {counted} <= {ROWS}"
        made.execute(f"insert into source (id, text) {chosen}")
        counted *= 2
    return made


def new_try(database: Database, *, take_finished: bool = False, setting: Any = None, **writer: Any) -> Run:
    """One more try of the same run, over four splits at least; the target has no key that would stop a double."""
    place = {"username": database.user, "password": database.password, "column": ["id", "text"]}
    scheme = database.jdbc_scheme
    document = {
        "job": {
            "setting": {"speed": {"channel": 4}, **(setting or {})},
            "content": [
                {
                    "reader": {
                        "name": f"{scheme}reader",
                        "parameter": {
                            **place,
                            "connection": [{"jdbcUrl": [database.jdbc_url], "table": ["source"]}],
                            "splitPk": "id",
                        },
                    },
                    "writer": {
                        "name": f"{scheme}writer",
                        "parameter": {
                            **place,
                            "connection": [{"jdbcUrl": database.jdbc_url, "table": ["target"]}],
                            **writer,
                        },
                    },
                }
            ],
        }
    }
    job = validate(document, schema_of=schema_of).job
    return Run(job, RunContext("a-run", uuid.uuid4().hex[:12], channels=4, take_finished=take_finished))


def target(database: Database) -> tuple[int, int]:
    ((count, total),) = database.query("select count(*), coalesce(sum(id), 0) from target")
    return int(count), int(total)


def entries(database: Database) -> list[int]:
    return sorted(int(row[0]) for row in database.query("select split from flinkx_ledger"))


def without_right_to_create(database: Database) -> Database:
    """The same database for a user who may read the source and write the target."""
    name, password = f"u{uuid.uuid4().hex[:10]}", "Pass-word-1"
    if isinstance(database, PostgresDatabase):
        database.execute(
            f"create user {name} password '{password}'",
            f"grant select on source to {name}",
            f"grant select, insert on target to {name}",
        )
    elif isinstance(database, SQLServerDatabase):
        database.execute(
            f"create login {name} with password = '{password}'",
            f"create user {name} for login {name}",
            f"grant select on source to {name}",
            f"grant select, insert on target to {name}",
        )
    else:
        database.execute(
            f"create user {name} identified by '{password}'",
            f"grant select on source to {name}",
            f"grant select, insert on target to {name}",
        )
    return dataclasses.replace(database, user=name, password=password)


def failing_commit(monkeypatch: pytest.MonkeyPatch, database: Database, turn: int, fail: Callable[[Any], None]) -> None:
    """Let the commit number `turn` go wrong, once."""
    kind = type(new_try(database).writer(new_try(database).reader().schema))
    module = __import__(kind.__module__, fromlist=["x"])
    split_writers = [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, RelationalSplitWriter) and each is not RelationalSplitWriter
    ]
    assert split_writers
    count = iter(range(1, 1_000))

    def counted(original: Callable[[Any], None]) -> Callable[[Any], None]:
        def commit(self: Any) -> None:
            if next(count) == turn:
                fail(lambda: original(self))
            else:
                original(self)

        return commit

    for each in split_writers:
        monkeypatch.setattr(each, "commit", counted(each.commit))


def test_a_run_leaves_its_report_beside_its_splits(database: Database) -> None:
    report, _ = run_job(new_try(database))
    assert target(database) == EXPECTED
    assert (report["numWrite"], report["splits"]) == (ROWS, report["splitsDone"])
    assert report["splits"] > 1
    assert entries(database) == [-2, -1, *range(report["splits"])]


def test_the_next_try_goes_on_and_its_figures_are_those_of_all(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(_commit: Any) -> None:
        raise exceptions.ConnectionFailedError("cut before the commit")

    with monkeypatch.context() as patched:
        failing_commit(patched, database, 3, break_down)
        with pytest.raises(exceptions.ConnectionFailedError) as caught:
            run_job(new_try(database))
    written, _ = target(database)
    assert caught.value.report is not None
    assert caught.value.report["numWrite"] == written > 0
    assert entries(database) == [-1, 0, 1]
    # What came in between is no reason to prepare again: preSql would take rows away that count as written.
    report, _ = run_job(new_try(database))
    assert target(database) == EXPECTED
    assert report["numRead"] == report["numWrite"] == ROWS


def test_a_lost_answer_to_a_commit(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(commit: Any) -> None:
        commit()
        raise exceptions.ConnectionFailedError("cut after the commit")

    failing_commit(monkeypatch, database, 2, lose)
    report, _ = run_job(new_try(database))
    assert target(database) == EXPECTED
    assert report["numWrite"] == ROWS


def test_two_tries_at_once_write_each_split_once(database: Database) -> None:
    run_job(new_try(database))
    database.execute("delete from target", "delete from flinkx_ledger")
    reports: list[dict[str, Any]] = []
    errors: list[BaseException] = []

    def one() -> None:
        try:
            reports.append(run_job(new_try(database, take_finished=True))[0])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(2)]
    list(plan(new_try(database)))  # Both find the plan, so that neither takes the other's away.
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert target(database) == EXPECTED
    assert [report["numWrite"] for report in reports] == [ROWS, ROWS]


def test_pre_sql_runs_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    database.execute("insert into target values (-1, 'old')")

    def break_down(_commit: Any) -> None:
        raise exceptions.ConnectionFailedError("cut before the commit")

    with monkeypatch.context() as patched:
        failing_commit(patched, database, 2, break_down)
        with pytest.raises(exceptions.ConnectionFailedError):
            run_job(new_try(database, preSql=["delete from target"]))
    run_job(new_try(database, preSql=["delete from target"]))
    assert target(database) == EXPECTED


def test_the_report_of_a_finished_run_is_taken(database: Database) -> None:
    first, _ = run_job(new_try(database))
    again, _ = run_job(new_try(database, take_finished=True))
    assert again == first
    assert target(database) == EXPECTED
    run_job(new_try(database))
    assert target(database) == (2 * EXPECTED[0], 2 * EXPECTED[1])


def test_without_a_ledger(database: Database) -> None:
    report, _ = run_job(new_try(database, setting={"exactlyOnce": False}))
    assert report["numWrite"] == ROWS
    with pytest.raises(Exception, match=r"(?i)flinkx_ledger|SQLSTATE=42X05"):  # the stand-in names no table
        database.query("select 1 from flinkx_ledger")


def test_a_ledger_of_another_name(database: Database) -> None:
    run_job(new_try(database, ledgerTable="my ledger"))
    quoted = "`my ledger`" if isinstance(database, MariadbDatabase) else '"my ledger"'
    assert len(database.query(f"select split from {quoted}")) > 1


def test_a_user_who_may_not_make_tables(database: Database) -> None:
    """The job runs without a ledger and says so, unless it asks for one."""
    others = {}
    if closed := CLOSED_SCHEMAS.get(type(database)):
        restricted, others = database, {"ledgerTable": f"{closed}.flinkx_ledger"}
    else:
        restricted = without_right_to_create(database)
    report, _ = run_job(new_try(restricted, **others))
    assert target(database) == EXPECTED
    assert any("without a ledger" in warning for warning in report["warnings"])
    with pytest.raises(exceptions.DataError, match=r"(?i)flinkx_ledger"):
        run_job(new_try(restricted, setting={"exactlyOnce": True}, **others))


def test_jobs_that_finish_at_the_same_moment_do_not_wait_for_each_other(database: Database) -> None:
    """Both have told the ledger that they have finished, and none has committed."""
    first, second = (ledger_of(database, key) for key in ("first", "second"))
    first.read()
    with database_of(first).planning("finish") as one, database_of(second).planning("finish") as other:
        first.finish(one, {})
        second.finish(other, {})
    first.forget_old()
    assert entries(database) == [FINISHED, FINISHED]


def test_entries_are_forgotten_after_a_month(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    run_job(new_try(database))
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: 1_000_000_000.0)
        other = ledger_of(database, "another")
        other.begin(KeptRun("", [Split(0, {"condition": "'" * 100_000})], {}), anew=False)
        kept = other.read()
        assert kept is not None
        assert kept.splits[0].spec == {"condition": "'" * 100_000}
    run_job(new_try(database, take_finished=True))
    assert other.read() == kept
    run_job(new_try(database))
    assert other.read() is None
    assert FINISHED in entries(database)


def ledger_of(database: Database, key: str) -> RelationalLedger:
    """The ledger of another run."""
    kept = new_try(database).writer(new_try(database).reader().schema).ledger()
    assert isinstance(kept, RelationalLedger)
    return RelationalLedger(database_of(kept), None, RunContext(key, "an-attempt"))


def database_of(ledger: RelationalLedger) -> PluginDatabase:
    return ledger._database
