"""An archive made by `flinkx pack` is the only Python environment that a cluster's workers see."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import psutil

from tests.flink_cluster import FlinkCluster
from tests.servers import PostgresDatabase

COMMAND = [sys.executable, "-m", "airflow_provider_flinkx.cli"]
ROWS = 2000
NEEDED = ("pyarrow/lib.", "psycopg_binary", "adbc_driver_postgresql")
_LOOK_SECONDS = 0.2


def job_file(folder: Path, database: PostgresDatabase) -> str:
    login = {"username": database.user, "password": database.password, "column": ["id", "text"]}
    reader = {**login, "connection": [{"jdbcUrl": [database.jdbc_url], "table": ["source"]}]}
    writer = {**login, "connection": [{"jdbcUrl": database.jdbc_url, "table": ["target"]}]}
    content = {
        "reader": {"name": "postgresqlreader", "parameter": reader},
        "writer": {"name": "postgresqlwriter", "parameter": writer},
    }
    # Slow enough to look at its processes.
    setting = {"speed": {"bytes": 40_000}}
    path = folder / "job.json"
    path.write_text(json.dumps({"job": {"content": [content], "setting": setting}}))
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


def test_workers_run_out_of_the_archive_alone(
    postgres: PostgresDatabase, flink_cluster: FlinkCluster, tmp_path: Path
) -> None:
    database = postgres.fresh_database()
    database.execute(
        "create table source (id bigint primary key, text varchar(40))",
        f"insert into source select i, 'a row of some forty bytes ' || i from generate_series(1, {ROWS}) i",
        "create table target (id bigint primary key, text varchar(40))",
    )
    path, archive = job_file(tmp_path, database), str(tmp_path / "python.tgz")
    packed = subprocess.run([*COMMAND, "pack", archive, "--job", path, "--json"], capture_output=True, check=True)
    assert {"apache-flink", "adbc-driver-postgresql"} <= set(json.loads(packed.stdout)["packages"])

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
    assert database.query("select count(*) from target") == [(ROWS,)]
    in_archive = {file for file in seen if "/flinkx-python/lib/" in file}
    assert [name for name in NEEDED if not any(name in file for file in in_archive)] == []
    client = sysconfig.get_paths()["platlib"]
    assert [file for file in seen if file.startswith(client)] == []
