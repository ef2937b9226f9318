"""Times whole jobs from PostgreSQL to PostgreSQL beside dlt and ingestr, in turn, on the same server.

    python -m benchmarks.peers --dlt PYTHON --ingestr PROGRAM [--rows 2000000] [--rounds 3]

PYTHON is the interpreter of an environment with `dlt[postgres,parquet]`, connectorx, psycopg2-binary and psycopg;
PROGRAM is `ingestr` in an environment of its own. Both load into tables that they make themselves, without a key, and
so does every job here: the target has no key. Prints one Markdown table: medians of seconds, starts included.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from airflow_provider_flinkx.clusters.local import LocalCluster
from benchmarks.run import POSTGRES_ROWS, POSTGRES_TABLE, Bench, database_reader, database_writer, shell
from tests.servers import PostgresDatabase, mariadb_server, postgres_server

_QUIET = {"RUNTIME__DLTHUB_TELEMETRY": "false", "INGESTR_DISABLE_TELEMETRY": "true", "DISABLE_TELEMETRY": "true"}
_DLT = """
import sys
import dlt
from dlt.sources.sql_database import sql_table
url, table, folder = sys.argv[1:]
rows = sql_table(credentials=url, table=table, backend="connectorx", reflection_level="full",
                 backend_kwargs={"return_type": "arrow"})
pipeline = dlt.pipeline("bench_" + table, destination=dlt.destinations.postgres(url), dataset_name="of_dlt",
                        pipelines_dir=folder)
pipeline.run(rows, loader_file_format="parquet", write_disposition="replace")
"""
#: ingestr cannot take a percent sign in a password.
_PEER, _PASSWORD = "peer", "peer"


def prepare(bench: Bench) -> None:
    """Make and fill the source, and a login for the peers."""
    postgres = bench.postgres
    rows = POSTGRES_ROWS.format(active="g % 2 = 0", rows=bench.rows)
    postgres.execute(f"create table source {POSTGRES_TABLE.format(boolean='boolean')}", f"insert into source {rows}")
    postgres.execute("create table one as select * from source limit 1", "create table target (like source)", "analyze")
    postgres.execute(f"create role {_PEER} superuser login password '{_PASSWORD}'")


def peer_url(postgres: PostgresDatabase) -> str:
    return f"postgresql://{_PEER}:{_PASSWORD}@{postgres.host}:{postgres.port}/{postgres.database}"


def copy_piped(bench: Bench, table: str) -> str:
    bench.postgres.execute("truncate target")
    out, into = (f"copy {table} to stdout (format binary)", "copy target from stdin (format binary)")
    shell(f"{bench.postgres_shell(out)} | {bench.postgres_shell(into)}")
    return "target"


def flinkx(bench: Bench, table: str) -> str:
    bench.postgres.execute("truncate target")
    content = {"reader": database_reader(bench.postgres, table), "writer": database_writer(bench.postgres, "target")}
    LocalCluster().run({"job": {"setting": {"speed": {"channel": 1}}, "content": [content]}}, job_key="benchmark-peers")
    return "target"


def dlt(python: str) -> Callable[[Bench, str], str]:
    def load(bench: Bench, table: str) -> str:
        run_quiet([python, "-c", _DLT, peer_url(bench.postgres), table, str(bench.folder / "dlt")])
        return f"of_dlt.{table}"

    return load


def ingestr(program: str) -> Callable[[Bench, str], str]:
    def load(bench: Bench, table: str) -> str:
        url, target = peer_url(bench.postgres), f"of_ingestr.{table}"
        source = ["--source-uri", url, "--source-table", f"public.{table}"]
        run_quiet([program, "ingest", *source, "--dest-uri", url, "--dest-table", target, "--full-refresh", "--yes"])
        return target

    return load


def run_quiet(command: list[str]) -> None:
    done = subprocess.run(command, env={**os.environ, **_QUIET}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def seconds(bench: Bench, load: Callable[[Bench, str], str], table: str, rows: int) -> float:
    started = time.monotonic()
    target = load(bench, table)
    took = time.monotonic() - started
    found = bench.postgres.query(f"select count(*) from {target}")[0][0]
    if found != rows:
        raise SystemExit(f"{found} rows in {target}, {rows} expected")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dlt", required=True, metavar="PYTHON")
    parser.add_argument("--ingestr", required=True, metavar="PROGRAM")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    loads = {
        "`psql` COPY binary, piped": copy_piped,
        "this project": flinkx,
        "dlt": dlt(arguments.dlt),
        "ingestr": ingestr(arguments.ingestr),
    }
    with tempfile.TemporaryDirectory() as folder, postgres_server() as postgres, mariadb_server() as mariadb:
        bench = Bench(postgres, mariadb, Path(folder), arguments.rows)
        prepare(bench)
        whole: dict[str, list[float]] = {name: [] for name in loads}
        one: dict[str, list[float]] = {name: [] for name in loads}
        for _ in range(arguments.rounds):
            for name, load in loads.items():
                whole[name].append(seconds(bench, load, "source", bench.rows))
                one[name].append(seconds(bench, load, "one", 1))
    print("| tool | seconds | share of COPY (range) | one row, s |\n|---|---|---|---|")
    tool = whole["`psql` COPY binary, piped"]
    for name, found in whole.items():
        shares = [best / own for best, own in zip(tool, found, strict=True)]
        share = f"{statistics.median(shares):.2f} ({min(shares):.2f}-{max(shares):.2f})"
        print(f"| {name} | {statistics.median(found):.1f} | {share} | {statistics.median(one[name]):.1f} |")


if __name__ == "__main__":
    main()
