"""Tasks whose jobs run on a real Flink cluster: waiting and deferred, killed, cleared, marked, timed out."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.airflow.scheduler.services import AirflowServices
from tests.flink_cluster import FlinkCluster, more_task_managers
from tests.servers import PostgresDatabase, await_condition

DAG = "cluster_jobs"
TASKS = (
    "waited", "deferred", "cleared", "killed", "marked_running", "marked_deferred", "timed_out", "timed_out_waiting",
)  # fmt: skip
ROWS = 1000
SECONDS = 180
#: What differs between two runs of the same job.
TIMES = {"jobId", "seconds", "rowsPerSecond", "readDuration", "writeDuration", "contents"}


class Gates:
    """The gates of the tasks, all shut."""

    def __init__(self, database: PostgresDatabase) -> None:
        self.connection = database.connect()
        for task_id in TASKS:
            self.connection.execute(f"SELECT pg_advisory_lock(hashtext('{task_id}'))")

    def open(self, task_id: str) -> None:
        """Let the rows of this task through."""
        self.connection.execute(f"SELECT pg_advisory_unlock(hashtext('{task_id}'))")

    def close(self) -> None:
        """Open all."""
        self.connection.close()


class ClusterRun:
    """The run of the DAG: its tasks, and their jobs in Flink."""

    def __init__(self, airflow: AirflowServices, flink: FlinkCluster, database: PostgresDatabase, gates: Gates) -> None:
        self.airflow = airflow
        self.flink = flink
        self.database = database
        self.gates = gates
        ((self.run_id,),) = airflow.query(f"SELECT run_id FROM dag_run WHERE dag_id = '{DAG}'")

    def column(self, task_id: str, name: str) -> Any:
        """A column of the task's row in Airflow's database."""
        where = f"dag_id = '{DAG}' AND task_id = '{task_id}'"
        ((value,),) = self.airflow.query(f"SELECT {name} FROM task_instance WHERE {where}")
        return value

    def await_state(self, task_id: str, *states: str) -> str:
        """Wait until the task is in one of these states."""
        return self._await(task_id, lambda: (state := self.column(task_id, "state")) in states and state, states)

    def jobs(self, task_id: str) -> list[dict[str, Any]]:
        """The task's jobs in Flink, the oldest first."""
        overview = self.flink.get("/jobs/overview") or {"jobs": []}
        jobs = [job for job in overview["jobs"] if job["name"].startswith(f"{DAG}.") and f".{task_id}-" in job["name"]]
        return sorted(jobs, key=lambda job: job["start-time"])

    def await_job(self, task_id: str, state: str, count: int = 1) -> str:
        """Wait until the task has had so many jobs, the last of them in this state; its id."""
        met = lambda: len(jobs := self.jobs(task_id)) == count and jobs[-1]["state"] == state and jobs[-1]["jid"]  # noqa: E731
        return self._await(task_id, met, f"{count} jobs, the last {state}")

    def await_xcom(self, task_id: str, key: str) -> Any:
        """Wait until the task has pushed this."""
        where = f"dag_id = '{DAG}' AND task_id = '{task_id}' AND key = '{key}'"
        self._await(task_id, lambda: self.airflow.query(f"SELECT 1 FROM xcom WHERE {where}"), key)
        return self.airflow.xcom(DAG, task_id, key)

    def rows(self, task_id: str) -> list[tuple[Any, ...]]:
        """How many rows are in the task's table, and how many different ones."""
        return self.database.query(f"SELECT count(*), count(DISTINCT id) FROM {task_id}")

    def _await(self, task_id: str, condition: Any, what: object) -> Any:
        try:
            return await_condition(condition, SECONDS, f"{task_id}: {what}", interval=0.5)
        except TimeoutError as error:
            raise TimeoutError(
                f"{error}; {self.column(task_id, 'state')}, {self.jobs(task_id)}\n{self.airflow.task_log(DAG)}"
            ) from None


@pytest.fixture(scope="module")
def run(
    airflow_with_flink: AirflowServices, shared_flink_cluster: FlinkCluster, target: PostgresDatabase
) -> Iterator[ClusterRun]:
    """A run of the DAG that has begun, with all gates shut."""
    shared_flink_cluster.repair()
    target.execute(
        "CREATE TABLE numbers (id bigint, name text)",
        f"INSERT INTO numbers SELECT n, 'name ' || n FROM generate_series(1, {ROWS}) n",
        *(f"CREATE TABLE {task_id} (id bigint, name text)" for task_id in TASKS),
    )
    # Eight jobs wait at their gates at once, and each keeps its slot.
    with contextlib.closing(Gates(target)) as gates, more_task_managers(shared_flink_cluster, 2):
        airflow_with_flink.await_dag(DAG)
        airflow_with_flink.command("dags", "trigger", DAG)
        yield ClusterRun(airflow_with_flink, shared_flink_cluster, target, gates)


def test_the_link_is_there_while_the_job_runs(run: ClusterRun) -> None:
    job = run.await_job("marked_running", "RUNNING")
    assert run.await_xcom("marked_running", "flink_job_url") == f"{run.flink.rest_address}/#/job/running/{job}/overview"
    assert run.column("marked_running", "state") == "running"


def test_a_running_task_that_is_marked_ends_its_job(run: ClusterRun) -> None:
    run.await_job("marked_running", "RUNNING")
    run.airflow.mark(DAG, run.run_id, "marked_running", "failed")
    run.await_job("marked_running", "CANCELED")


def test_a_killed_task_process_is_followed_by_one_that_attaches(run: ClusterRun) -> None:
    job = run.await_job("killed", "RUNNING")
    run.await_xcom("killed", "flink_job_url")
    os.kill(run.column("killed", "pid"), signal.SIGKILL)
    run._await("killed", lambda: run.column("killed", "try_number") == 2, "the second try")
    run.await_state("killed", "running")
    run.gates.open("killed")
    assert run.await_state("killed", "success", "failed") == "success"
    assert run.await_job("killed", "FINISHED") == job
    assert run.airflow.xcom(DAG, "killed")["jobId"] == job
    assert run.rows("killed") == [(ROWS, ROWS)]


def test_a_deferred_task_that_is_marked_ends_its_job(run: ClusterRun) -> None:
    run.await_state("marked_deferred", "deferred")
    run.airflow.mark(DAG, run.run_id, "marked_deferred", "success")
    run.await_job("marked_deferred", "CANCELED")
    assert run.column("marked_deferred", "state") == "success"


def test_a_deferred_task_that_is_cleared_ends_its_job_and_runs_anew(run: ClusterRun) -> None:
    run.await_state("cleared", "deferred")
    run.airflow.clear(DAG, run.run_id, "cleared")
    run.await_job("cleared", "RUNNING", count=2)
    assert run.jobs("cleared")[0]["state"] == "CANCELED"
    run.gates.open("cleared")
    assert run.await_state("cleared", "success", "failed") == "success"
    assert run.rows("cleared") == [(ROWS, ROWS)]


def test_a_restart_of_the_triggerer_changes_nothing(run: ClusterRun) -> None:
    run.await_state("deferred", "deferred")
    run.airflow.restart_triggerer()
    job = run.await_job("deferred", "RUNNING")
    run.gates.open("deferred")
    assert run.await_state("deferred", "success", "failed") == "success"
    assert run.await_job("deferred", "FINISHED") == job
    assert run.rows("deferred") == [(ROWS, ROWS)]


def test_a_task_that_waits_ends_with_the_same_report(run: ClusterRun) -> None:
    run.gates.open("waited")
    assert run.await_state("waited", "success", "failed") == "success"
    waited, deferred = (run.airflow.xcom(DAG, task_id) for task_id in ("waited", "deferred"))
    assert {name: waited[name] for name in waited.keys() - TIMES} == {
        name: deferred[name] for name in deferred.keys() - TIMES
    }
    assert waited["numWrite"] == ROWS
    for key in ("error_limit", "dirty_data"):
        assert run.airflow.xcom(DAG, "waited", key) == run.airflow.xcom(DAG, "deferred", key)


@pytest.mark.parametrize("task_id", ["timed_out", "timed_out_waiting"])
def test_a_task_that_times_out_ends_its_job(run: ClusterRun, task_id: str) -> None:
    assert run.await_state(task_id, "success", "failed") == "failed"
    run.await_job(task_id, "CANCELED")
    assert run.rows(task_id) == [(0, 0)]


def test_a_task_that_is_cleared_after_its_success_runs_anew(run: ClusterRun) -> None:
    run.gates.open("waited")
    run.await_job("waited", "FINISHED")
    assert run.await_state("waited", "success", "failed") == "success"
    run.airflow.clear(DAG, run.run_id, "waited")
    run.await_job("waited", "FINISHED", count=2)
    assert run.await_state("waited", "success", "failed") == "success"
    assert run.rows("waited") == [(2 * ROWS, ROWS)]
