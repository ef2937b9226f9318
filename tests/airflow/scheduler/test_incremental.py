"""Runs that each begin where the last one ended, the location kept by a real Airflow; then one of them again."""

from __future__ import annotations

import json

import pyarrow.parquet as pq

from tests.airflow.scheduler.services import AirflowServices
from tests.servers import MariadbDatabase

DAG = "incremental"
RUN_SECONDS = 180


def test_a_run_begins_where_the_last_one_ended_and_reads_its_own_rows_again(
    airflow: AirflowServices, source: MariadbDatabase
) -> None:
    source.execute("CREATE TABLE events (id bigint PRIMARY KEY)")
    airflow.await_dag(DAG)
    for number, run_id in enumerate(("first", "second")):
        source.execute(f"INSERT INTO events VALUES ({number * 2 + 1}), ({number * 2 + 2})")
        airflow.command("dags", "trigger", DAG, "-r", run_id)
        assert airflow.await_runs(DAG, number + 1, RUN_SECONDS) == {"success": number + 1}, airflow.task_log(DAG)
    assert [rows_of(airflow, "first"), rows_of(airflow, "second")] == [[1, 2], [3, 4]]

    source.execute("INSERT INTO events VALUES (5)")
    airflow.clear(DAG, "first", "sync")
    assert airflow.await_runs(DAG, 2, RUN_SECONDS) == {"success": 2}, airflow.task_log(DAG)
    ((tries,),) = airflow.query(f"SELECT try_number FROM task_instance WHERE dag_id = '{DAG}' AND run_id = 'first'")
    assert tries == 2
    assert [rows_of(airflow, "first"), rows_of(airflow, "second")] == [[1, 2], [3, 4]]
    ((variable,),) = airflow.query(f"SELECT key FROM variable WHERE key LIKE 'flinkx_incremental.{DAG}.sync-%'")
    assert json.loads(airflow.command("variables", "get", variable))["location"] == "4"


def rows_of(airflow: AirflowServices, run_id: str) -> list[int]:
    """The ids in the files of a run."""
    return sorted(pq.read_table(airflow.home / "events" / run_id).column("id").to_pylist())
