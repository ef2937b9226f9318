"""Times FlinkX jobs in local mode against the servers' own tools, in turn, on the same servers in the same run.

    python -m benchmarks.run [--rows 2000000] [--rounds 3] [--channels 1 2] [--route NAME ...]

Prints one Markdown table. Seconds are medians over the rounds. The share is the tool's seconds divided by the
job's seconds without the fixed cost, which is the median of a one-row job over the same route. Ratios are
taken round by round, so a machine whose speed drifts does not matter. Memory is the peak of the largest
process of the job, sampled several times a second, and of all its processes together.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_flinkx.clusters.local import LocalCluster
from tests.processes import session_members
from tests.servers import Database, MariadbDatabase, PostgresDatabase, mariadb_server, postgres_server

COLUMNS = ("id", "name", "email", "quantity", "amount", "created", "active", "note", "score", "city")

POSTGRES_TABLE = """(id bigint primary key, name varchar(32) not null, email varchar(64) not null, quantity int,
    amount numeric(18,2), created timestamp, active {boolean}, note varchar(64), score double precision,
    city varchar(32))"""
MARIADB_TABLE = """(id bigint primary key, name varchar(32) not null, email varchar(64) not null, quantity int,
    amount decimal(18,2), created datetime(6), active tinyint, note varchar(64), score double,
    city varchar(32)) character set utf8mb4"""
POSTGRES_ROWS = """select g, md5(g::text), 'user_' || (g % 1000) || '@example.com', (g * 7919::bigint) % 1000003,
    ((g * 104729::bigint) % 1000000007)::numeric(18,2) / 100, timestamp '2020-01-01' + g * interval '1.000123 s',
    {active}, case when g % 3 = 0 then null else 'note ' || g end, sqrt(g), 'city ' || (g % 97)
    from generate_series(1, {rows}) g"""


@dataclass
class Bench:
    """Servers, tables and files of one benchmark run."""

    postgres: PostgresDatabase
    mariadb: MariadbDatabase
    folder: Path
    rows: int

    def postgres_shell(self, statement: str) -> str:
        return f"PGPASSWORD={self.postgres.password} psql -q -v ON_ERROR_STOP=1 -h {self.postgres.host} " + (
            f'-p {self.postgres.port} -U {self.postgres.user} {self.postgres.database} -c "{statement}"'
        )

    def mariadb_shell(self, options: str, statement: str) -> str:
        return f"MYSQL_PWD={self.mariadb.password} mariadb --no-defaults -h {self.mariadb.host} " + (
            f'-P {self.mariadb.port} -u {self.mariadb.user} {options} {self.mariadb.database} -e "{statement}"'
        )

    def prepare(self) -> None:
        """Make and fill the source tables, the targets and the file that LOAD DATA takes."""
        rows = POSTGRES_ROWS.format(active="g % 2 = 0", rows=self.rows)
        number_rows = POSTGRES_ROWS.format(active="g % 2", rows=self.rows)
        for table, boolean in (("source", "boolean"), ("target", "boolean"), ("number_target", "smallint")):
            self.postgres.execute(f"create table {table} {POSTGRES_TABLE.format(boolean=boolean)}")
        self.postgres.execute(f"create table number_source {POSTGRES_TABLE.format(boolean='smallint')}")
        self.postgres.execute(f"insert into source {rows}", f"insert into number_source {number_rows}")
        self.postgres.execute("create table one as select * from source limit 1", "analyze")
        self.postgres.execute("create table number_one as select * from number_source limit 1")
        shell(self.postgres_shell(f"\\copy number_source to '{self.folder}/prepared.txt'"))
        for table in ("source", "target"):
            self.mariadb.execute(f"create table {table} {MARIADB_TABLE}")
        shell(self.load_data("source"))
        self.mariadb.execute(f"create table one {MARIADB_TABLE}", "insert into one select * from source limit 1")
        self.mariadb.execute("analyze table source")

    def load_data(self, table: str) -> str:
        statement = f"load data local infile '{self.folder}/prepared.txt' into table {table} character set utf8mb4"
        return self.mariadb_shell("--local-infile=1", statement)


def shell(command: str) -> None:
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, stdout=subprocess.DEVNULL)


@dataclass(frozen=True)
class Route:
    """One way that rows go: a job and the server's own tool for the same rows."""

    name: str
    tool_name: str
    tool: Callable[[Bench], str]
    reader: Callable[[Bench, str], Mapping[str, Any]]
    writer: Callable[[Bench], Mapping[str, Any]]
    clear: Callable[[Bench], None]
    count: Callable[[Bench], int]
    one: str = "one"
    source: str = "source"


def database_reader(database: Database, table: str) -> dict[str, Any]:
    plugin = "mysqlreader" if isinstance(database, MariadbDatabase) else "postgresqlreader"
    connection = [{"jdbcUrl": [database.jdbc_url], "table": [table]}]
    login = {"username": database.user, "password": database.password}
    return {
        "name": plugin,
        "parameter": {**login, "connection": connection, "column": list(COLUMNS), "splitPk": "id"},
    }


def database_writer(database: Database, table: str) -> dict[str, Any]:
    plugin = "mysqlwriter" if isinstance(database, MariadbDatabase) else "postgresqlwriter"
    connection = [{"jdbcUrl": database.jdbc_url, "table": [table]}]
    login = {"username": database.user, "password": database.password}
    return {
        "name": plugin,
        "parameter": {**login, "connection": connection, "column": list(COLUMNS), "writeMode": "insert"},
    }


def parquet_writer(bench: Bench) -> dict[str, Any]:
    types = ("bigint", "string", "string", "int", "decimal(18,2)", "timestamp", "boolean", "string", "double", "string")
    return {
        "name": "hdfswriter",
        "parameter": {
            "defaultFS": "file:///",
            "path": str(bench.folder / "parquet"),
            "fileType": "parquet",
            "writeMode": "overwrite",
            "column": [{"name": name, "type": kind} for name, kind in zip(COLUMNS, types, strict=True)],
        },
    }


def truncate(database: str, table: str) -> Callable[[Bench], None]:
    return lambda bench: getattr(bench, database).execute(f"truncate table {table}")


def count(database: str, table: str) -> Callable[[Bench], int]:
    return lambda bench: int(getattr(bench, database).query(f"select count(*) from {table}")[0][0])


def parquet_rows(bench: Bench) -> int:
    import pyarrow.dataset

    return int(pyarrow.dataset.dataset(bench.folder / "parquet", format="parquet").count_rows())


def nothing(_bench: Bench) -> None:
    """The writer overwrites."""


ROUTES = (
    Route(
        "PostgreSQL -> PostgreSQL",
        "psql COPY binary, piped",
        lambda b: (
            b.postgres_shell("copy source to stdout (format binary)")
            + " | "
            + b.postgres_shell("copy target from stdin (format binary)")
        ),
        lambda b, table: database_reader(b.postgres, table),
        lambda b: database_writer(b.postgres, "target"),
        truncate("postgres", "target"),
        count("postgres", "target"),
    ),
    Route(
        "MariaDB -> PostgreSQL",
        "mariadb piped to psql COPY",
        lambda b: (
            b.mariadb_shell("--batch --quick --skip-column-names", "select * from source")
            + r" | sed 's/\tNULL\t/\t\\N\t/' | "
            + b.postgres_shell("copy number_target from stdin")
        ),
        lambda b, table: database_reader(b.mariadb, table),
        lambda b: database_writer(b.postgres, "number_target"),
        truncate("postgres", "number_target"),
        count("postgres", "number_target"),
    ),
    Route(
        "PostgreSQL -> MariaDB",
        "LOAD DATA of a prepared file",
        lambda b: b.load_data("target"),
        lambda b, table: database_reader(b.postgres, table),
        lambda b: database_writer(b.mariadb, "target"),
        truncate("mariadb", "target"),
        count("mariadb", "target"),
        one="number_one",
        source="number_source",
    ),
    Route(
        "PostgreSQL -> Parquet",
        "psql COPY to a CSV file",
        lambda b: b.postgres_shell(f"\\copy source to '{b.folder}/copy.csv' (format csv)"),
        lambda b, table: database_reader(b.postgres, table),
        parquet_writer,
        nothing,
        parquet_rows,
    ),
)


@dataclass
class Peak:
    """Resident memory in MB."""

    largest: float = 0.0
    together: float = 0.0


@contextmanager
def peak_memory(cluster: LocalCluster) -> Iterator[Peak]:
    """Watch the driver of a job and its JVM, which runs Python too: no other process belongs to the job."""
    peak = Peak()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            if (process := cluster._driver._process) is not None:
                sizes = [resident(pid) for pid in session_members(process.pid)]
                peak.largest = max([peak.largest, *sizes])
                peak.together = max(peak.together, sum(sizes))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def resident(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def run_job(bench: Bench, route: Route, table: str, channels: int) -> tuple[float, Peak]:
    """Run the route's job; returns its wall time, process start included, and its memory."""
    document = {
        "job": {
            "setting": {"speed": {"channel": channels}},
            "content": [{"reader": route.reader(bench, table), "writer": route.writer(bench)}],
        }
    }
    cluster = LocalCluster()
    with peak_memory(cluster) as peak:
        started = time.monotonic()
        cluster.run(document, job_key=f"benchmark-{channels}")
        return time.monotonic() - started, peak


@dataclass
class Figures:
    """What the rounds of one route gave, seconds and MB."""

    tool: list[float] = field(default_factory=list)
    fixed: list[float] = field(default_factory=list)
    job: dict[int, list[float]] = field(default_factory=dict)
    memory: dict[int, list[Peak]] = field(default_factory=dict)


def measure(bench: Bench, route: Route, rounds: int, channels: list[int]) -> Figures:
    figures = Figures(job={c: [] for c in channels}, memory={c: [] for c in channels})
    for _ in range(rounds):
        route.clear(bench)
        started = time.monotonic()
        shell(route.tool(bench))
        figures.tool.append(time.monotonic() - started)
        route.clear(bench)
        figures.fixed.append(run_job(bench, route, route.one, 1)[0])
        for channel in channels:
            route.clear(bench)
            seconds, peak = run_job(bench, route, route.source, channel)
            found = route.count(bench)
            if found != bench.rows:
                raise SystemExit(f"{route.name}: {found} rows in the target, {bench.rows} expected")
            figures.job[channel].append(seconds)
            figures.memory[channel].append(peak)
    return figures


def print_figures(bench: Bench, route: Route, figures: Figures) -> None:
    fixed = statistics.median(figures.fixed)
    for channel, seconds in figures.job.items():
        shares = [tool / (job - fixed) for tool, job in zip(figures.tool, seconds, strict=True)]
        whole = [tool / job for tool, job in zip(figures.tool, seconds, strict=True)]
        tool = statistics.median(figures.tool)
        job = statistics.median(seconds)
        moving = bench.rows / (job - fixed) / 1000
        largest = max(peak.largest for peak in figures.memory[channel])
        together = max(peak.together for peak in figures.memory[channel])
        print(
            f"| {route.name} | {route.tool_name} | {bench.rows / tool / 1000:.0f} | {channel} "
            f"| {bench.rows / job / 1000:.0f} | {statistics.median(whole):.2f} | {moving:.0f} "
            f"| **{statistics.median(shares):.2f}** ({min(shares):.2f}-{max(shares):.2f}) | {fixed:.1f} "
            f"| {largest:.0f} | {together:.0f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--channels", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--route", nargs="+", help="only routes whose name contains one of these")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres_server() as postgres,
        mariadb_server() as mariadb,
    ):
        bench = Bench(postgres, mariadb, Path(folder), arguments.rows)
        bench.prepare()
        print(
            "| route | server's own tool | tool, krows/s | channels | job, krows/s | share of the tool "
            "| without fixed cost, krows/s | share of the tool | one-row job, s "
            "| largest process, MB | all processes, MB |\n|---|---|---|---|---|---|---|---|---|---|---|"
        )
        for route in ROUTES:
            if not arguments.route or any(part in route.name for part in arguments.route):
                figures = measure(bench, route, arguments.rounds, arguments.channels)
                print_figures(bench, route, figures)


if __name__ == "__main__":
    main()
