"""`consistent`: what a job reads is what was there at one moment, whatever others write meanwhile.

On real servers; SQL Server may be the stand-in, whose snapshots are PostgreSQL's (FLINKX_TEST_SQLSERVER_URL names a
real one).
"""

from __future__ import annotations

import contextlib
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_flinkx import exceptions
from airflow_provider_flinkx.clusters.session import SessionCluster
from airflow_provider_flinkx.clusters.settings import ClusterSettings
from airflow_provider_flinkx.jobs.validation import validate
from airflow_provider_flinkx.pipeline.planning import plan
from airflow_provider_flinkx.pipeline.report import Counters
from airflow_provider_flinkx.pipeline.steps import Report, Run, Sync, shared_state
from airflow_provider_flinkx.plugins.base import RunContext, Split
from airflow_provider_flinkx.plugins.registry import schema_of
from tests.flink_cluster import FlinkCluster
from tests.integration.relational.moving import DATABASES, reader
from tests.oracle_server import OracleDatabase
from tests.running import run_job
from tests.servers import Database, PostgresDatabase, SQLServerDatabase, await_condition

ACCOUNTS = 400
CENTS = 100 * ACCOUNTS
MANY = 40_000


@pytest.fixture(params=[database for database in DATABASES if database != "db2"])
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Database:
    return accounts(request.getfixturevalue(request.param), monkeypatch)


@pytest.fixture
def postgres_database(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    return accounts(postgres, monkeypatch)


@pytest.fixture
def mariadb_database(mariadb: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    return accounts(mariadb, monkeypatch)


def accounts(server: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Accounts among which money is moved: their sum is the same at every moment."""
    monkeypatch.setattr("airflow_provider_flinkx.plugins.relational.reader.split_count", lambda _rows, _channels: 4)
    made = server.fresh_database()
    if isinstance(made, SQLServerDatabase):
        made.execute("alter database current set allow_snapshot_isolation on")
    made.execute("create table source (id integer primary key, cents integer)")
    made.execute("create table target (id integer, cents integer)")
    made.execute(f"insert into source values {','.join(f'({n}, 100)' for n in range(ACCOUNTS))}")
    if isinstance(made, OracleDatabase):
        await_condition(lambda: reads_the_past(made), 60, "a new table can be read as of an SCN")
    return made


def reads_the_past(database: Database) -> bool:
    with contextlib.suppress(Exception):
        ((scn,),) = database.query("select to_char(current_scn) from v$database")
        return bool(database.query(f"select count(*) from source as of scn {scn}"))
    return False


def document(
    database: Database, *, consistent: bool = True, channels: int = 1, reading: Any = None, **writer: Any
) -> dict[str, Any]:
    scheme = database.jdbc_scheme
    login = {"username": database.user, "password": database.password, "column": ["id", "cents"]}
    read = {
        "connection": [{"jdbcUrl": [database.jdbc_url], "table": ["source"]}],
        "consistent": consistent,
        **(reading or {}),
    }
    write = {"connection": [{"jdbcUrl": database.jdbc_url, "table": ["target"]}], **writer}
    content = {
        "reader": {"name": f"{scheme}reader", "parameter": {**login, **read}},
        "writer": {"name": f"{scheme}writer", "parameter": {**login, **write}},
    }
    return {"job": {"setting": {"speed": {"channel": channels}}, "content": [content]}}


def new_run(database: Database, *, channels: int = 1, **others: Any) -> Run:
    job = validate(document(database, channels=channels, **others), schema_of=schema_of).job
    return Run(job, RunContext("a-run", uuid.uuid4().hex[:12], channels=channels))


def messages_of(run: Run) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The plan, and its splits; as they pass through Flink."""
    first, *splits = json.loads(json.dumps(list(plan(run))))
    assert first["kind"] == "plan", first
    return first, splits


def transfer(database: Database) -> None:
    """Move money from the last account to the first, add an account and take one away."""
    database.execute(
        f"update source set cents = cents + case when id = 0 then 7 else -7 end where id in (0, {ACCOUNTS - 1})"
    )


def move(sync: Sync, message: dict[str, Any]) -> dict[str, Any]:
    return sync.split(Split(**message["split"]), ledger=message["ledger"], context=message["context"])


def sums(database: Database) -> tuple[int, int]:
    ((rows, cents),) = database.query("select count(*), sum(cents) from target")
    return int(rows), int(cents)


def test_splits_of_one_channel_are_of_one_moment(database: Database) -> None:
    assert_one_moment(database, 1)


def test_splits_of_all_channels_are_of_one_moment(postgres_database: Database) -> None:
    assert_one_moment(postgres_database, 3)


def assert_one_moment(database: Database, channels: int) -> None:
    """Money moves before each split; each channel has a connection of its own."""
    run = new_run(database, channels=channels)
    first, messages = messages_of(run)
    channel = [Sync(run, Counters().add) for _ in range(channels)]
    report = Report(run)
    report.add(first)
    result = None
    for place, message in enumerate(messages):
        result = report.add(move(channel[place % channels], message))
        transfer(database)
    assert result is not None
    report.abort()
    for each in channel:
        each.close()
    assert len(messages) > channels
    assert sums(database) == (ACCOUNTS, CENTS)
    assert shared_state(run).holds == []
    assert result["snapshot"]


def test_without_it_they_are_not(database: Database) -> None:
    run = new_run(database, consistent=False)
    _, messages = messages_of(run)
    sync = Sync(run, Counters().add)
    for message in messages:
        move(sync, message)
        transfer(database)
    sync.close()
    assert sums(database)[1] != CENTS


def test_a_writer_runs_beside(database: Database) -> None:
    with writing(database) as transfers:
        run_job(new_run(database))
        assert sums(database) == (ACCOUNTS, CENTS)
    assert transfers


@contextmanager
def writing(database: Database) -> Iterator[list[int]]:
    """Money moves from now on, again and again; gives a list that grows with each transfer."""
    end, transfers, started = threading.Event(), [], threading.Event()

    def work() -> None:
        while not end.is_set():
            transfer(database)
            transfers.append(1)
            started.set()

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    try:
        yield transfers
    finally:
        end.set()
        thread.join()


def test_all_workers_of_a_cluster_read_the_snapshot(postgres: Database, flink_cluster: FlinkCluster) -> None:
    """The plan and four channels, in the Python workers of four slots on two TaskManagers."""
    database = postgres.fresh_database()
    database.execute(
        f"create table source as select n::bigint as id, 100::bigint as cents from generate_series(0, {MANY - 1}) n",
        "alter table source add primary key (id)",
        "create table target (id bigint, cents bigint)",
    )
    cluster = SessionCluster(ClusterSettings(mode="standalone", rest_addresses=flink_cluster.rest_addresses))
    with writing(database):
        started = cluster.start(document(database, channels=4), job_key=f"consistent-{uuid.uuid4().hex[:8]}")
        cluster.wait(started.job_id)
    report = cluster.result(started.job_id)
    assert report["splits"] > 4
    assert sums(database) == (MANY, 100 * MANY)
    idle = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    await_condition(lambda: database.query(idle) == [(0,)], 20, "the snapshot's transaction has ended")


def test_a_snapshot_whose_holder_is_gone_fails_the_job(postgres_database: Database) -> None:
    run = new_run(postgres_database)
    _, messages = messages_of(run)
    shared_state(run).let_go()
    sync = Sync(run, Counters().add)
    answer = move(sync, messages[0])
    sync.close()
    assert answer["kind"] == "failed"
    assert "snapshot of the plan" in answer["error"]["message"]
    assert postgres_database.query("select count(*) from target") == [(0,)]


def test_a_torn_snapshot_is_not_mended_with_another_one(database: Database) -> None:
    run = new_run(database)
    _, messages = messages_of(run)
    sync = Sync(run, Counters().add)
    assert move(sync, messages[0])["kind"] == "done"
    sync.close()
    shared_state(run).let_go()
    transfer(database)
    if isinstance(database, OracleDatabase):  # the snapshot is not the first try's own
        run_job(new_run(database))
        assert sums(database) == (ACCOUNTS, CENTS)
        return
    with pytest.raises(exceptions.JobInvalidError, match="snapshot that is gone, has written 1 of"):
        run_job(new_run(database))
    empty = new_run(database, preSql=["delete from target"])
    report, _ = run_job(empty)
    assert sums(database) == (ACCOUNTS, CENTS)
    assert any("begins anew" in line for line in report["warnings"])


def test_drift_between_channels_is_said(database: Database) -> None:
    report, _ = run_job(new_run(database, channels=2))
    said = any("a snapshot of its own" in line for line in report["warnings"])
    assert said != isinstance(database, (PostgresDatabase, OracleDatabase))


def test_a_table_without_snapshots_is_refused(mariadb_database: Database) -> None:
    mariadb_database.execute("alter table source engine = MyISAM")
    with pytest.raises(exceptions.DataError, match="MyISAM"):
        run_job(new_run(mariadb_database))


def test_snapshots_that_a_database_does_not_allow_are_refused(sqlserver: SQLServerDatabase) -> None:
    database = sqlserver.fresh_database()
    database.execute("create table source (id bigint, cents bigint)", "create table target (id bigint, cents bigint)")
    with pytest.raises(exceptions.DataError, match=r"not allowed in database .* SET ALLOW_SNAPSHOT_ISOLATION ON"):
        run_job(new_run(database))
    with pytest.raises(exceptions.JobInvalidError, match="cannot go with withNoLock"):
        run_job(new_run(database, reading={"withNoLock": True}))


@pytest.mark.parametrize("server", ["mariadb", "sqlserver"])
def test_a_channel_begins_no_second_snapshot(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    made = accounts(request.getfixturevalue(server), monkeypatch)
    source = reader(made, "source", consistent=True)
    splits = source.splits()
    assert sum(batch.rows.num_rows for split in splits for batch in source.read(split)) == ACCOUNTS
    source.close()
    with pytest.raises(exceptions.DataError, match="the snapshot of table source has ended"):
        next(source.read(splits[0]))
