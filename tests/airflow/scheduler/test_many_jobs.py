"""Many small jobs, deferred, on one cluster of four slots: all end, and nothing of them is left behind."""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.airflow.scheduler.services import ENDED, AirflowServices
from tests.flink_cluster import FlinkCluster
from tests.servers import await_condition

DAG = "many_jobs"
#: Longer than the worker waits before it defers a task.
JOB_SECONDS = 14
ROWS_PER_SECOND = 100
JOBS = int(os.environ.get("FLINKX_TEST_JOBS", "200"))
MEGABYTE = 1 << 20
LOG = logging.getLogger(__name__)


@pytest.mark.airflow3
@pytest.mark.parametrize(
    ("jobs", "at_a_time", "seconds"), [(8, 8, 600), pytest.param(JOBS, 20, 3600, marks=pytest.mark.long)]
)
def test_all_end_and_leave_nothing(
    airflow_with_flink: AirflowServices, shared_flink_cluster: FlinkCluster, jobs: int, at_a_time: int, seconds: int
) -> None:
    airflow, flink = airflow_with_flink, shared_flink_cluster
    flink.repair()
    files_before = files_of(airflow, flink)
    jobs_before = Counter(job["state"] for job in flink.get("/jobs/overview")["jobs"])
    airflow.await_dag(DAG)
    airflow.command("pools", "set", DAG, str(at_a_time), "for the test", "--include-deferred")
    run_id = f"jobs-{jobs}"
    conf = json.dumps({"jobs": jobs, "seconds": JOB_SECONDS})
    airflow.command("dags", "trigger", DAG, "--run-id", run_id, "--conf", conf)
    of_run = f"dag_id = '{DAG}' AND run_id = '{run_id}'"

    triggerer = psutil.Process(airflow.triggerer.pid)
    memory: list[int] = []
    was_deferred: set[int] = set()

    def ended() -> bool:
        rows = airflow.query(f"SELECT map_index, state FROM task_instance WHERE {of_run} AND task_id = 'sync'")
        deferred = {index for index, state in rows if state == "deferred"}
        was_deferred.update(deferred)
        if deferred:
            memory.append(sum(process.memory_info().rss for process in [triggerer, *triggerer.children(True)]))
        return sum(state in ENDED for index, state in rows if index >= 0) == jobs

    began = time.monotonic()
    await_condition(ended, seconds, f"{jobs} jobs", interval=1)
    minutes = (time.monotonic() - began) / 60
    airflow.await_query(f"SELECT state = 'success' FROM dag_run WHERE {of_run}", 60)
    reports = airflow.query(f"SELECT value FROM xcom WHERE {of_run} AND key = 'return_value' AND map_index >= 0")
    assert [report["numWrite"] for (report,) in reports] == [JOB_SECONDS * ROWS_PER_SECOND] * jobs
    assert len({report["jobId"] for (report,) in reports}) == jobs
    assert len(was_deferred) == jobs
    states = Counter(job["state"] for job in flink.get("/jobs/overview")["jobs"])
    assert states - jobs_before == {"FINISHED": jobs}

    await_condition(lambda: not airflow.drivers(), 60, "the end of all drivers")
    await_condition(lambda: not workers_of(flink), 60, "the end of all Python workers")
    third = len(memory) // 3
    before, after = max(memory[third:-third]), max(memory[-third:])
    LOG.warning(
        "%d jobs in %.1f minutes, memory of the triggerer: at most %d MB, then %d MB",
        jobs, minutes, before // MEGABYTE, after // MEGABYTE,
    )  # fmt: skip
    await_condition(lambda: files_of(airflow, flink) <= files_before, 60, "no file left over")
    if jobs > at_a_time:  # else all of them begin and end together
        assert after < before + 8 * MEGABYTE


def workers_of(flink: FlinkCluster) -> list[psutil.Process]:
    """Processes that the TaskManagers have started."""
    return [child for daemon in flink.task_managers for child in psutil.Process(daemon.pid).children(recursive=True)]


def files_of(airflow: AirflowServices, flink: FlinkCluster) -> set[Path]:
    """Files in the folders for temporary files, of the tasks and of the cluster.

    Without what Flink tells of jobs that have ended, for as long as `jobstore.expiration-time` says.
    """
    folders = (airflow.temporary_folder, flink.conf_folder.parent / "tmp")
    files = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
    return {path for path in files if not path.parent.name.startswith("archivedApplicationStore")}
