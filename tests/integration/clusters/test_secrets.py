"""Passwords of a job on a standalone cluster are where they must be, and nowhere that others can look."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.flink_cluster import FlinkCluster
from tests.secrecy import family, of_files, of_processes, of_rest, places
from tests.servers import PostgresDatabase

ROWS = 1000
_LOOK_SECONDS = 0.3


@dataclass
class Watched:
    """A job that the `flinkx` command ran, and what was seen meanwhile."""

    password: str
    key: str
    code: int
    output: str
    processes: set[str]
    found: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    looked_while_running: bool = False


@pytest.fixture
def login(postgres: PostgresDatabase) -> Iterator[tuple[PostgresDatabase, str, str]]:
    """A database with a user whose password is like no other text."""
    user, password = f"user_{uuid.uuid4().hex[:8]}", f"Distinctive{uuid.uuid4().hex}"
    database = postgres.fresh_database()
    database.execute(
        f"create role {user} login password '{password}'",
        "create table source (id bigint, text varchar(40))",
        f"insert into source select i, 'row ' || i from generate_series(1, {ROWS}) i",
        "create table target (id bigint, text varchar(40))",
        f"grant all on source, target to {user}",
    )
    yield database, user, password
    database.execute(f"drop owned by {user}", f"drop role {user}")


def job_file(folder: Path, database: PostgresDatabase, user: str, password: str) -> Path:
    parameter = {"username": user, "password": password, "column": ["id", "text"]}
    reader = {**parameter, "connection": [{"jdbcUrl": [database.jdbc_url], "table": ["source"]}]}
    writer = {**parameter, "connection": [{"jdbcUrl": database.jdbc_url, "table": ["target"]}]}
    content = {
        "reader": {"name": "postgresqlreader", "parameter": reader},
        "writer": {"name": "postgresqlwriter", "parameter": writer},
    }
    # Slow enough to look at it while it runs.
    document = {"job": {"content": [content], "setting": {"speed": {"channel": 2, "bytes": 5000}}}}
    path = folder / "job.json"
    path.write_text(json.dumps(document))
    return path


def watch(cluster: FlinkCluster, job: Path, password: str) -> Watched:
    """Run a job and look for its password everywhere, all the time."""
    key = f"secret-{uuid.uuid4().hex[:8]}"
    client_files = job.parent / "client"
    client_files.mkdir()
    command = [sys.executable, "-m", "airflow_provider_flinkx.cli", "run", str(job), "--mode", "standalone"]
    output = job.parent / "output.txt"
    with output.open("w") as out:
        client = subprocess.Popen(
            [*command, "--rest-address", cluster.rest_address, "--job-key", key, "--json", "--verbose"],
            stdout=out,
            stderr=out,
            env={**os.environ, "TMPDIR": str(client_files)},
        )
    watched = Watched(password, key, 0, "", set())
    daemons = [daemon.pid for daemon in (*cluster.job_managers, *cluster.task_managers)]
    try:
        while client.poll() is None:
            texts = list(of_processes(family([client.pid, *daemons])))
            watched.processes |= {_kind(text) for place, text in texts if place.startswith("cmdline")}
            watched.found += places(texts, password)
            if not watched.looked_while_running and _is_running(cluster, key):
                watched.looked_while_running = True
                watched.found += places(of_rest(cluster.rest_address), password)
            try:
                client.wait(_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    finally:
        client.kill()
        client.wait()
    watched.code = client.returncode
    watched.output = output.read_text()
    cluster.await_ready()
    watched.found += places(of_rest(cluster.rest_address), password)
    watched.found += places(of_files(cluster.log_folder.parent), password)
    watched.left = [str(path) for path in client_files.rglob("*")]
    return watched


def _kind(command: bytes) -> str:
    """What a process of a job is, by its command line."""
    words = command.decode(errors="replace").replace("\0", " ")
    for kind, word in {
        "worker": "pyflink.fn_execution",
        "daemon": "org.apache.flink.runtime",
        "driver": "airflow_provider_flinkx.pipeline",
        "client": "airflow_provider_flinkx.cli",
        "gateway": "org.apache.flink.client.python",
    }.items():
        if word in words:
            return kind
    return "other"


def _is_running(cluster: FlinkCluster, key: str) -> bool:
    jobs = (cluster.get("/jobs/overview") or {"jobs": []})["jobs"]
    return any(job["name"] == key and job["state"] == "RUNNING" and job["tasks"]["running"] for job in jobs)


def test_a_job_that_succeeds(
    flink_cluster: FlinkCluster, login: tuple[PostgresDatabase, str, str], tmp_path: Path
) -> None:
    database, user, password = login
    watched = watch(flink_cluster, job_file(tmp_path, database, user, password), password)
    assert watched.code == 0, watched.output
    assert database.query("select count(*) from target") == [(ROWS,)]
    assert watched.found == []
    assert watched.left == []
    assert password not in watched.output
    assert watched.looked_while_running
    assert {"client", "driver", "gateway", "daemon", "worker"} <= watched.processes
    # The search finds what is there.
    seen = places(of_rest(flink_cluster.rest_address), watched.key)
    assert any(place.startswith("/jobs/") and place.endswith("/plan") for place in seen)
    assert places(of_files(flink_cluster.log_folder), watched.key)


def test_a_job_whose_password_the_server_refuses(
    flink_cluster: FlinkCluster, login: tuple[PostgresDatabase, str, str], tmp_path: Path
) -> None:
    database, user, password = login
    wrong = f"{password}x"
    watched = watch(flink_cluster, job_file(tmp_path, database, user, wrong), password)
    assert watched.code == 1, watched.output
    assert "password authentication failed" in watched.output
    assert watched.found == []
    assert watched.left == []
    assert password not in watched.output
    assert any("/exceptions" in place for place in places(of_rest(flink_cluster.rest_address), user))
