"""The services themselves run a task and keep its XCom."""

from __future__ import annotations

from tests.airflow.scheduler.services import AirflowServices


def test_the_services_run_a_task(airflow: AirflowServices) -> None:
    airflow.await_dag("harness")
    airflow.command("dags", "trigger", "harness")
    assert airflow.await_runs("harness", 1, seconds=120) == {"success": 1}, airflow.task_log("harness")
    assert airflow.xcom("harness", "answer") == {"answer": 42}
