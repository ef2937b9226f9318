"""A job in local mode that reads its rows only once the test lets it: an advisory lock of the source's PostgreSQL."""

from __future__ import annotations

import pendulum

from airflow_provider_flinkx.compat import DAG
from airflow_provider_flinkx.operators.sync import FlinkXSyncOperator

READER = {
    "connectionId": "target",
    "connection": [{"table": ["local_numbers"]}],
    "column": ["id"],
    "where": "pg_advisory_lock_shared(hashtext('local_jobs')) IS NOT NULL",
}
WRITER = {"connectionId": "target", "connection": [{"table": ["local_copy"]}], "column": ["id"], "writeMode": "insert"}

with DAG("local_jobs", schedule=None, start_date=pendulum.datetime(2026, 1, 1), default_args={"retries": 0}):
    FlinkXSyncOperator(
        task_id="marked",
        mode="local",
        job={
            "job": {
                "content": [
                    {
                        "reader": {"name": "postgresqlreader", "parameter": READER},
                        "writer": {"name": "postgresqlwriter", "parameter": WRITER},
                    }
                ],
                "setting": {"speed": {"channel": 1}},
            }
        },
    )
