"""Tasks whose jobs run on the worker itself."""

from __future__ import annotations

import contextlib

from tests.airflow.scheduler.services import AirflowServices
from tests.servers import PostgresDatabase, await_condition

DAG, TASK = "local_jobs", "marked"
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
SECONDS = 120


def test_a_running_task_that_is_marked_ends_its_job(airflow: AirflowServices, target: PostgresDatabase) -> None:
    target.execute(
        "CREATE TABLE local_numbers (id bigint)",
        "INSERT INTO local_numbers SELECT generate_series(1, 1000)",
        "CREATE TABLE local_copy (id bigint)",
    )
    with contextlib.closing(target.connect()) as gate:
        gate.execute(f"SELECT pg_advisory_lock(hashtext('{DAG}'))")
        airflow.await_dag(DAG)
        airflow.command("dags", "trigger", DAG)
        await_condition(lambda: target.query(WAITING) == [(1,)], SECONDS, "the job has begun to read")
        assert airflow.drivers()
        ((run_id,),) = airflow.query(f"SELECT run_id FROM dag_run WHERE dag_id = '{DAG}'")
        airflow.mark(DAG, run_id, TASK, "failed")
        await_condition(lambda: not airflow.drivers(), SECONDS, "the end of driver and JVM")
        await_condition(lambda: target.query(WAITING) == [(0,)], SECONDS, "the end of the reader's session")
    assert target.query("SELECT count(*) FROM local_copy") == [(0,)]
