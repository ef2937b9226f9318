"""One table, MariaDB to PostgreSQL, under different error limits: one DAG for each limit."""

from __future__ import annotations

from typing import Any

import pendulum

from airflow_provider_flinkx.compat import DAG
from airflow_provider_flinkx.operators.sync import FlinkXSyncOperator

COLUMNS = ["id", "customer", "reference", "amount", "created"]
ERROR_LIMITS: dict[str, dict[str, Any]] = {
    "bad_rows_by_ratio": {"percentage": 1},
    "bad_rows_limit_137": {"record": 137},
    "bad_rows_limit_136": {"record": 136},
}


def job(target_table: str, error_limit: dict[str, Any]) -> dict[str, Any]:
    """The job as a user would write it; each DAG has a target table of its own."""
    reader = {"connectionId": "source", "connection": [{"table": ["orders"]}], "column": COLUMNS, "splitPk": "id"}
    writer = {"connectionId": "target", "connection": [{"table": [target_table]}], "column": COLUMNS}
    return {
        "job": {
            "content": [
                {
                    "reader": {"name": "mysqlreader", "parameter": reader},
                    "writer": {"name": "postgresqlwriter", "parameter": {**writer, "writeMode": "insert"}},
                }
            ],
            "setting": {"speed": {"channel": 3}, "errorLimit": error_limit},
        }
    }


for dag_id, limit in ERROR_LIMITS.items():
    with DAG(
        dag_id,
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1),
        default_args={"retries": 2, "retry_delay": pendulum.duration(seconds=1)},
    ) as dag:
        FlinkXSyncOperator(task_id="sync", job=job(dag_id, limit))
    globals()[dag_id] = dag
