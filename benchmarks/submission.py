"""Times what a job costs before its first row and after its last, on a standalone cluster.

    python -m benchmarks.submission [--rounds 5] [--rest-address http://host:port] [--jar-in-lib]

Without an address it starts a cluster of its own (a JobManager, two TaskManagers), with PyFlink's jar in its class path
if asked. Prints one Markdown table: seconds from the start of a job of a few rows to each point, medians of the rounds.
The first job of a cluster is left out: its JVMs are cold.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from airflow_provider_flinkx.clusters.rest import FlinkRest, run_coroutine
from airflow_provider_flinkx.clusters.session import SessionCluster
from airflow_provider_flinkx.clusters.settings import ClusterSettings
from tests.flink_cluster import flink_cluster

POINTS = ("submitted", "running", "finished", "report")


def document(channels: int) -> dict[str, Any]:
    reader = {"column": [{"name": "a", "type": "int"}], "sliceRecordCount": [1]}
    return {
        "job": {
            "setting": {"speed": {"channel": channels}},
            "content": [
                {
                    "reader": {"name": "streamreader", "parameter": reader},
                    "writer": {"name": "streamwriter", "parameter": {}},
                }
            ],
        }
    }


def round_of(address: str, channels: int) -> dict[str, float]:
    """Seconds from the start of one job to each point."""
    cluster = SessionCluster(ClusterSettings(mode="standalone", rest_addresses=(address,)))
    key = f"benchmark-{uuid.uuid4().hex[:12]}"
    rest, seconds, started = FlinkRest([address]), {}, time.monotonic()

    def watch() -> None:
        while "finished" not in seconds:
            for job in run_coroutine(rest.get("/jobs/overview"))["jobs"]:
                tasks = job["tasks"]
                if job["name"] == key and tasks["running"] + tasks["finished"] == tasks["total"]:
                    seconds.setdefault("running", time.monotonic() - started)
                if job["name"] == key and job["state"] == "FINISHED":
                    seconds["finished"] = time.monotonic() - started
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    job = cluster.start(document(channels), job_key=key)
    seconds["submitted"] = time.monotonic() - started
    watcher.join()
    cluster.wait(job.job_id)
    cluster.result(job.job_id)
    seconds["report"] = time.monotonic() - started
    return seconds


@contextlib.contextmanager
def cluster_at(address: str | None, *, jar_in_lib: bool) -> Iterator[str]:
    """The cluster of this address, or one of our own."""
    if address is not None:
        yield address
        return
    with flink_cluster(jar_in_lib=jar_in_lib) as cluster:
        yield cluster.rest_address


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--rest-address")
    parser.add_argument("--jar-in-lib", action="store_true")
    options = parser.parse_args()
    with cluster_at(options.rest_address, jar_in_lib=options.jar_in_lib) as address:
        round_of(address, options.channels)
        rounds = [round_of(address, options.channels) for _ in range(options.rounds)]
    print(f"| | {' | '.join(POINTS)} |\n|---|{'---|' * len(POINTS)}")
    for name, choose in (("median", statistics.median), ("range", lambda values: (min(values), max(values)))):
        cells = []
        for point in POINTS:
            value = choose([seconds[point] for seconds in rounds])
            cells.append(f"{value:.1f} s" if isinstance(value, float) else f"{value[0]:.1f}–{value[1]:.1f} s")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
