"""Faults in the middle of a whole job in local mode, on real servers: the job fails and says so, no figure lies."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flinkx.clusters.local import LocalCluster
from airflow_provider_flinkx.exceptions import ConnectionFailedError, FlinkXError, JobCancelledError, JobFailedError
from tests.processes import java_of
from tests.servers import PostgresDatabase, await_condition

ROWS = 200_000
#: Slow enough that a fault always comes while rows move; some 8 MB are to move.
BYTES_PER_SECOND = 1_000_000


@pytest.fixture
def database(postgres: PostgresDatabase) -> PostgresDatabase:
    fresh = postgres.fresh_database()
    assert isinstance(fresh, PostgresDatabase)
    fresh.execute(
        "create table source (id bigint primary key, text varchar(40))",
        f"insert into source select g, md5(g::text) from generate_series(1, {ROWS}) g",
        "create table target (id bigint primary key, text varchar(40))",
        "analyze",
    )
    return fresh


def reader(database: PostgresDatabase) -> dict[str, Any]:
    return {
        "name": "postgresqlreader",
        "parameter": {
            "username": database.user,
            "password": database.password,
            "connection": [{"jdbcUrl": [database.jdbc_url], "table": ["source"]}],
            "column": ["id", "text"],
            "splitPk": "id",
        },
    }


def table_writer(database: PostgresDatabase) -> dict[str, Any]:
    return {
        "name": "postgresqlwriter",
        "parameter": {
            "username": database.user,
            "password": database.password,
            "connection": [{"jdbcUrl": database.jdbc_url, "table": ["target"]}],
            "column": ["id", "text"],
            "writeMode": "insert",
        },
    }


def file_writer(folder: Path) -> dict[str, Any]:
    column = [{"name": "id", "type": "bigint"}, {"name": "text", "type": "string"}]
    parameter = {"defaultFS": "file:///", "path": str(folder), "fileType": "parquet", "column": column}
    return {"name": "hdfswriter", "parameter": parameter}


def job(source: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
    setting = {"speed": {"channel": 2, "bytes": BYTES_PER_SECOND}}
    return {"job": {"setting": setting, "content": [{"reader": source, "writer": target}]}}


def run_with_fault(document: dict[str, Any], fault: Callable[[LocalCluster], object]) -> FlinkXError:
    """Run a job, do `fault` once when rows have moved, and return what the job failed with."""
    cluster = LocalCluster()
    struck = threading.Event()

    def on_progress(progress: Any) -> None:
        if progress["numRead"] and not struck.is_set():
            struck.set()
            fault(cluster)

    with pytest.raises(FlinkXError) as caught:
        cluster.run(document, job_key="fault", on_progress=on_progress)
    assert struck.is_set(), caught.value
    return caught.value


def kill_java(cluster: LocalCluster) -> None:
    assert cluster._driver._process
    os.kill(java_of(cluster._driver._process.pid), signal.SIGKILL)


def visible_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not any(p.startswith(".") for p in path.parts)]


def whole_splits_only(database: PostgresDatabase) -> int:
    """Rows of the target; all of them equal the source's rows."""
    wrong = "count(*) filter (where source.text is distinct from target.text)"
    (rows, wrong) = database.query(f"select count(*), {wrong} from target left join source using (id)")[0]
    assert wrong == 0
    return int(rows)


def test_a_killed_jvm_leaves_only_whole_rows_and_says_so(database: PostgresDatabase) -> None:
    error = run_with_fault(job(reader(database), table_writer(database)), kill_java)
    assert isinstance(error, JobFailedError)
    assert whole_splits_only(database) < ROWS


def test_a_killed_jvm_publishes_no_file(database: PostgresDatabase, tmp_path: Path) -> None:
    run_with_fault(job(reader(database), file_writer(tmp_path)), kill_java)
    assert visible_files(tmp_path) == []
    # The next run of the same key removes what the dead one left, and only then are files there.
    document = job(reader(database), file_writer(tmp_path))
    del document["job"]["setting"]["speed"]["bytes"]
    report = LocalCluster().run(document, job_key="fault")
    assert report["numWrite"] == ROWS
    assert visible_files(tmp_path)
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_cut_connections_fail_the_job_with_figures_that_hold(database: PostgresDatabase) -> None:
    def cut(_cluster: LocalCluster) -> None:
        database.query(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            f"where pid <> pg_backend_pid() and datname = '{database.database}'"
        )

    error = run_with_fault(job(reader(database), table_writer(database)), cut)
    assert isinstance(error, ConnectionFailedError)
    assert database.host in str(error)
    assert database.password not in str(error)
    assert error.report is not None
    assert error.report["numWrite"] == whole_splits_only(database)


def test_cancel_rolls_back_and_ends_in_time(database: PostgresDatabase) -> None:
    error = run_with_fault(
        job(reader(database), table_writer(database)),
        lambda cluster: threading.Thread(target=cluster.cancel).start(),
    )
    assert isinstance(error, JobCancelledError)
    assert whole_splits_only(database) < ROWS
    others = f"select 1 from pg_stat_activity where datname = '{database.database}' and pid <> pg_backend_pid()"
    await_condition(lambda: not database.query(others), 20, "the job's sessions have ended")


def test_a_cancelled_job_stops_its_query_in_the_server(database: PostgresDatabase) -> None:
    source = reader(database)
    del source["parameter"]["splitPk"]
    source["parameter"]["customSql"] = "select id, text from source where id = 1 and pg_sleep(600) is not null"
    document = job(source, table_writer(database))
    cluster = LocalCluster()
    errors: list[FlinkXError] = []

    def run() -> None:
        with pytest.raises(FlinkXError) as caught:
            cluster.run(document, job_key="fault")
        errors.append(caught.value)

    running = f"select 1 from pg_stat_activity where datname = '{database.database}' and query like '%pg_sleep(600)%'"
    thread = threading.Thread(target=run)
    thread.start()
    try:
        await_condition(lambda: database.query(f"{running} and pid <> pg_backend_pid()"), 60, "the query runs")
    finally:
        cluster.cancel()
        thread.join(20)
    assert isinstance(errors[0], JobCancelledError)
    await_condition(lambda: not database.query(f"{running} and pid <> pg_backend_pid()"), 20, "the query has ended")
