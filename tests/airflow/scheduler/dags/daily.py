"""Copies one day's rows so that a day may be repeated; the first try of some days fails after it has written."""

from __future__ import annotations

from typing import Any

import pendulum

from airflow_provider_flinkx.compat import DAG, AirflowException
from airflow_provider_flinkx.operators.sync import FlinkXSyncOperator

FAILING_DAYS = ("2026-01-03", "2026-01-04", "2026-01-08")
COLUMNS = ["id", "day", "customer"]
READER = {
    "connectionId": "source",
    "connection": [{"table": ["daily"]}],
    "column": COLUMNS,
    "where": "day = '{{ ds }}'",
    "splitPk": "id",
}
WRITER = {
    "connectionId": "target",
    "connection": [{"table": ["daily"]}],
    "column": COLUMNS,
    "writeMode": "insert",
    "preSql": ["DELETE FROM daily WHERE day = '{{ ds }}'"],
}
JOB = {
    "job": {
        "content": [
            {
                "reader": {"name": "mysqlreader", "parameter": READER},
                "writer": {"name": "postgresqlwriter", "parameter": WRITER},
            }
        ],
        "setting": {"speed": {"channel": 2}, "errorLimit": {"record": 0}},
    }
}


def fail_first_try(context: Any, result: object = None) -> None:
    """Fail after the rows are in the target: the retry must not double them."""
    if context["ds"] in FAILING_DAYS and context["ti"].try_number == 1:
        raise AirflowException("the first try of this day fails after it has written")


with DAG(
    "daily",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1),
    end_date=pendulum.datetime(2026, 1, 10),
    catchup=False,
    max_active_runs=3,
    default_args={"retries": 1, "retry_delay": pendulum.duration(seconds=1)},
):
    FlinkXSyncOperator(task_id="sync", job=JOB, post_execute=fail_first_try)
