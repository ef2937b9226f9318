"""An archive made by `flinkx pack` is the only Python environment that a cluster's workers see."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pyarrow.parquet as pq
import pytest

from tests.flink_cluster import FlinkCluster
from tests.servers import Database

COMMAND = [sys.executable, "-m", "airflow_provider_flinkx.cli"]
ROWS = 2000
_LOOK_SECONDS = 0.2


class Route(NamedTuple):
    """What is packed for a job, and what its workers map of it.

    Attributes:
        database: fixture of the source's server.
        rows: SQL for the source's rows.
        writer: the job's writer, given database and a folder.
        written: counts what it has written there.
        packages: some that must be packed.
        modules: native ones that must be mapped.
    """

    database: str
    rows: str
    writer: Callable[[Database, Path], dict[str, Any]]
    written: Callable[[Database, Path], int]
    packages: set[str]
    modules: tuple[str, ...]


def to_table(database: Database, _folder: Path) -> dict[str, Any]:
    connection = [{"jdbcUrl": database.jdbc_url, "table": ["target"]}]
    login = {"username": database.user, "password": database.password, "column": ["id", "text"]}
    return {"name": "postgresqlwriter", "parameter": {**login, "connection": connection}}


def to_files(_database: Database, folder: Path) -> dict[str, Any]:
    columns = [{"name": "id", "type": "bigint"}, {"name": "text", "type": "string"}]
    place = {"defaultFS": "file:///", "path": str(folder / "target"), "fileType": "parquet"}
    return {"name": "hdfswriter", "parameter": {**place, "column": columns}}


def rows_of_table(database: Database, _folder: Path) -> int:
    return int(database.query("select count(*) from target")[0][0])


def rows_of_files(_database: Database, folder: Path) -> int:
    return int(pq.read_table(folder / "target").num_rows)


TABLE_TO_TABLE = Route(
    "postgres",
    f"select i, 'a row of some forty bytes ' || i from generate_series(1, {ROWS}) i",
    to_table,
    rows_of_table,
    {"apache-flink", "adbc-driver-postgresql"},
    ("pyarrow/lib.", "psycopg_binary", "adbc_driver_postgresql"),
)
TABLE_TO_FILES = Route(
    "mariadb",
    f"select seq, concat('a row of some forty bytes ', seq) from seq_1_to_{ROWS}",
    to_files,
    rows_of_files,
    {"apache-flink", "connectorx", "hdfs-native"},
    ("pyarrow/lib.", "pyarrow/_parquet.", "connectorx/connectorx."),
)


def job_file(folder: Path, database: Database, writer: dict[str, Any]) -> str:
    login = {"username": database.user, "password": database.password, "column": ["id", "text"]}
    connection = [{"jdbcUrl": [database.jdbc_url], "table": ["source"]}]
    reader = {"name": f"{database.jdbc_scheme}reader", "parameter": {**login, "connection": connection}}
    # Slow enough to look at its processes.
    setting = {"speed": {"bytes": 40_000}}
    path = folder / "job.json"
    path.write_text(json.dumps({"job": {"content": [{"reader": reader, "writer": writer}], "setting": setting}}))
    return str(path)


def mapped_files(cluster: FlinkCluster) -> set[str]:
    """Files that the Python workers of the cluster have mapped into memory: their native modules among them."""
    files = set()
    for daemon in cluster.task_managers:
        for child in psutil.Process(daemon.pid).children(recursive=True):
            try:
                files |= {Path(entry.path).as_posix() for entry in child.memory_maps()}
            except psutil.Error:  # It has just ended.
                continue
    return files


@pytest.mark.parametrize(
    "route",
    [
        pytest.param(TABLE_TO_TABLE, id="PostgreSQL"),
        pytest.param(TABLE_TO_FILES, id="MySQL to files", marks=pytest.mark.long),
    ],
)
def test_workers_run_out_of_the_archive_alone(
    route: Route, request: pytest.FixtureRequest, flink_cluster: FlinkCluster, tmp_path: Path
) -> None:
    database = request.getfixturevalue(route.database).fresh_database()
    database.execute(
        "create table source (id bigint primary key, text varchar(40))",
        f"insert into source {route.rows}",
        "create table target (id bigint primary key, text varchar(40))",
    )
    path, archive = job_file(tmp_path, database, route.writer(database, tmp_path)), str(tmp_path / "python.tgz")
    packed = subprocess.run([*COMMAND, "pack", archive, "--job", path, "--json"], capture_output=True, check=True)
    assert route.packages <= set(json.loads(packed.stdout)["packages"])

    cluster = ["-mode", "standalone", "-flinkconf", str(flink_cluster.conf_folder), "--worker-archive", archive]
    job = subprocess.Popen(
        [*COMMAND, *cluster, "-job", path, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    seen: set[str] = set()
    try:
        while job.poll() is None:
            seen |= mapped_files(flink_cluster)
            try:
                job.wait(_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        out, err = job.communicate()
    finally:
        job.kill()
        job.wait()
    assert job.returncode == 0, err
    assert json.loads(out)["numWrite"] == ROWS
    assert route.written(database, tmp_path) == ROWS
    in_archive = {file for file in seen if "/flinkx-python/lib/" in file}
    assert [name for name in route.modules if not any(name in file for file in in_archive)] == []
    client = sysconfig.get_paths()["platlib"]
    assert [file for file in seen if file.startswith(client)] == []
