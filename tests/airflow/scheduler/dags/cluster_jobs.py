"""Jobs on a real Flink cluster, one task for each way in which one may end.

A task with a gate reads its rows only once the test opens that gate: an advisory lock of the source's PostgreSQL.
"""

from __future__ import annotations

from typing import Any

import pendulum

from airflow_provider_flinkx.compat import DAG
from airflow_provider_flinkx.operators.sync import FlinkXSyncOperator

COLUMNS = ["id", "name"]


def job(task_id: str) -> dict[str, Any]:
    """Copies the table `numbers` to the table of the task's name."""
    reader = {
        "connectionId": "target",
        "connection": [{"table": ["numbers"]}],
        "column": COLUMNS,
        "where": f"pg_advisory_lock_shared(hashtext('{task_id}')) IS NOT NULL",
    }
    writer = {
        "connectionId": "target",
        "connection": [{"table": [task_id]}],
        "column": COLUMNS,
        "writeMode": "insert",
    }
    return {
        "job": {
            "content": [
                {
                    "reader": {"name": "postgresqlreader", "parameter": reader},
                    "writer": {"name": "postgresqlwriter", "parameter": writer},
                }
            ],
            "setting": {"speed": {"channel": 1}, "errorLimit": {"record": 0}},
        }
    }


def task(task_id: str, *, deferrable: bool, **arguments: Any) -> FlinkXSyncOperator:
    """A task with the job of its name."""
    return FlinkXSyncOperator(
        task_id=task_id, job=job(task_id), flink_conn_id="flink_cluster", deferrable=deferrable, **arguments
    )


with DAG(
    "cluster_jobs",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1),
    default_args={"retries": 0, "retry_delay": pendulum.duration(seconds=1)},
):
    task("deferred", deferrable=True)
    task("cleared", deferrable=True)
    task("timed_out", deferrable=True, execution_timeout=pendulum.duration(seconds=90))
    task("marked_deferred", deferrable=True)
    task("waited", deferrable=False)
    task("killed", deferrable=False, retries=1)
    task("marked_running", deferrable=False)
    task("timed_out_waiting", deferrable=False, execution_timeout=pendulum.duration(seconds=90))
