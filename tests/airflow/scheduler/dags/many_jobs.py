"""Many small jobs on one cluster, a limited number at a time; the run's parameters say how many."""

from __future__ import annotations

from typing import Any

import pendulum

from airflow_provider_flinkx.compat import DAG, BaseOperator
from airflow_provider_flinkx.operators.sync import FlinkXSyncOperator

BYTES_PER_ROW = 8


class Jobs(BaseOperator):
    """Makes the jobs."""

    def execute(self, context: Any) -> list[dict[str, Any]]:
        """As many as the run asks for; each takes as many seconds as it asks for."""
        parameters = context["params"]
        return [job(parameters["seconds"])] * parameters["jobs"]


def job(seconds: int) -> dict[str, Any]:
    """Makes up a hundred rows a second."""
    rows_per_second = 100
    reader = {"column": [{"name": "id", "type": "id"}], "sliceRecordCount": rows_per_second * seconds}
    return {
        "job": {
            "content": [
                {
                    "reader": {"name": "streamreader", "parameter": reader},
                    "writer": {"name": "streamwriter", "parameter": {}},
                }
            ],
            "setting": {
                "speed": {"channel": 1, "bytes": rows_per_second * BYTES_PER_ROW},
                "errorLimit": {"record": 0},
            },
        }
    }


with DAG(
    "many_jobs",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1),
    params={"jobs": 1, "seconds": 1},
    max_active_tasks=1000,
):
    FlinkXSyncOperator.partial(
        task_id="sync", flink_conn_id="flink_cluster", deferrable=True, pool="many_jobs", retries=0
    ).expand(job=Jobs(task_id="jobs").output)
