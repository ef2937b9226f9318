"""The `flinkx` command on whole jobs: a real Flink, of the job's own or standalone, PostgreSQL at both ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.flink_cluster import FlinkCluster
from tests.processes import session_members
from tests.servers import PostgresDatabase, await_condition

ROWS = 1000
BAD_ROWS = 3
COMMAND = [sys.executable, "-m", "airflow_provider_flinkx.cli"]


@pytest.fixture(scope="module")
def database(postgres: PostgresDatabase) -> PostgresDatabase:
    database = postgres.fresh_database()
    database.execute(
        "create table source (id bigint primary key, text varchar(20))",
        f"insert into source select i, case when i <= {BAD_ROWS} then null else 'é ' || i end "
        f"from generate_series(1, {ROWS}) i",
        "create table target (id bigint primary key, text varchar(20) not null)",
    )
    return database


def job_file(folder: Path, database: PostgresDatabase, **setting: Any) -> str:
    parameter = {"username": database.user, "password": "${password}", "column": ["id", "text"]}
    reader = {**parameter, "connection": [{"jdbcUrl": [database.jdbc_url], "table": ["source"]}]}
    writer = {
        **parameter,
        "connection": [{"jdbcUrl": database.jdbc_url, "table": ["target"]}],
        "preSql": ["delete from target"],
    }
    content = {
        "reader": {"name": "postgresqlreader", "parameter": reader},
        "writer": {"name": "postgresqlwriter", "parameter": writer},
    }
    path = folder / "job.json"
    path.write_text(
        f"# rows with no text are refused\n{json.dumps({'job': {'content': [content], 'setting': setting}})}"
    )
    return str(path)


def flinkx(*words: str, database: PostgresDatabase) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words, "-p", f"password={database.password}"], capture_output=True, text=True, check=False
    )


def started(words: Sequence[str], database: PostgresDatabase) -> subprocess.Popen[str]:
    """The command in the background, as if in a terminal: a test run in the background of a shell ignores SIGINT."""
    return subprocess.Popen(
        [*COMMAND, *words, "-p", f"password={database.password}"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_job_within_its_error_limit(database: PostgresDatabase, tmp_path: Path) -> None:
    path = job_file(tmp_path, database, errorLimit={"record": BAD_ROWS})
    done = flinkx("-mode", "local", "-job", path, "--json", database=database)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["numRead"], report["numWrite"], report["nErrors"]) == (ROWS, ROWS - BAD_ROWS, BAD_ROWS)
    assert database.query("select count(*), count(text) from target") == [(ROWS - BAD_ROWS, ROWS - BAD_ROWS)]


def test_job_beyond_its_error_limit(database: PostgresDatabase, tmp_path: Path) -> None:
    path = job_file(tmp_path, database, errorLimit={"record": BAD_ROWS - 1})
    done = flinkx("run", path, database=database)
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("FAILED: ")
    assert f"flinkx: error: {BAD_ROWS} rows were rejected, errorLimit.record allows {BAD_ROWS - 1}" in done.stderr


def test_job_that_fails(database: PostgresDatabase, tmp_path: Path) -> None:
    path = job_file(tmp_path, database)
    text = Path(path).read_text().replace('"source"', '"no_such_table"')
    Path(path).write_text(text)
    done = flinkx("run", path, database=database)
    assert done.returncode == 1, done.stderr
    assert "no_such_table" in done.stderr
    assert database.password not in done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_job_leaves_no_process(database: PostgresDatabase, tmp_path: Path, number: signal.Signals) -> None:
    path = job_file(tmp_path, database, speed={"bytes": 1}, errorLimit={})
    process = started(["run", path], database)
    try:
        assert process.stderr
        assert process.stderr.readline().startswith("RUNNING")
        children = _children(process.pid)
        assert children
        process.send_signal(number)
        assert process.wait(timeout=120) == 130
        assert [member for child in children for member in session_members(child)] == []
    finally:
        process.kill()
        process.wait()


def test_job_on_a_cluster(database: PostgresDatabase, flink_cluster: FlinkCluster, tmp_path: Path) -> None:
    path = job_file(tmp_path, database, errorLimit={"record": BAD_ROWS})
    cluster = ["-mode", "standalone", "-flinkconf", str(flink_cluster.conf_folder)]
    done = flinkx(*cluster, "-job", path, "--json", database=database)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["cluster"], report["numRead"], report["nErrors"]) == ("standalone", ROWS, BAD_ROWS)
    assert f"/#/job/running/{report['jobId']}" in done.stderr
    assert database.query("select count(*) from target") == [(ROWS - BAD_ROWS,)]


def test_interruption_cancels_the_job_in_the_cluster(
    database: PostgresDatabase, flink_cluster: FlinkCluster, tmp_path: Path
) -> None:
    path = job_file(tmp_path, database, speed={"bytes": 1}, errorLimit={})
    words = ["run", path, "--mode", "standalone", "--rest-address", flink_cluster.rest_address, "--job-key", "endless"]
    first = started(words, database)
    second = None
    try:
        assert first.stderr
        assert any(line.startswith("RUNNING") for line in first.stderr)
        second = started(words, database)
        assert second.stderr
        assert second.stderr.readline().startswith("Attached to the Flink job ")
        second.send_signal(signal.SIGTERM)
        assert second.wait(timeout=120) == 130
        assert first.wait(timeout=120) == 130
    finally:
        for process in filter(None, (first, second)):
            process.kill()
            process.wait()
    jobs = [job for job in flink_cluster.get("/jobs/overview")["jobs"] if job["name"] == "endless"]
    assert [job["state"] for job in jobs] == ["CANCELED"]
    await_condition(lambda: not _workers(flink_cluster), 120, "the job's Python workers have ended")


def _workers(cluster: FlinkCluster) -> list[int]:
    return [child for daemon in cluster.task_managers for child in _children(daemon.pid)]


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
