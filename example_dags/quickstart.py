"""The DAG of `scripts/quickstart`: a PostgreSQL table to Parquet files, then what came of it.

It needs the connection `quickstart` (PostgreSQL) and the variable `quickstart_folder` (an absolute path).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pendulum

from airflow_provider_flinkx.compat import DAG, BaseOperator
from airflow_provider_flinkx.operators.sync import FlinkXSyncOperator

READER = {
    "connectionId": "quickstart",
    "connection": [{"table": ["orders"]}],
    "column": ["id", "customer", "quantity", "amount", "ordered_at"],
    "splitPk": "id",
}
WRITER = {
    "defaultFS": "file:///",
    "path": "{{ var.value.quickstart_folder }}/orders",
    "fileType": "parquet",
    "writeMode": "overwrite",
    "column": [
        {"name": "id", "type": "bigint"},
        {"name": "customer", "type": "string"},
        {"name": "quantity", "type": "int"},
        {"name": "amount", "type": "decimal(12,2)"},
        {"name": "ordered_at", "type": "timestamp"},
    ],
}
JOB = {
    "job": {
        "content": [
            {
                "reader": {"name": "postgresqlreader", "parameter": READER},
                "writer": {"name": "hdfswriter", "parameter": WRITER},
            }
        ],
        "setting": {
            "speed": {"channel": 2},
            "errorLimit": {"record": 100},
            "dirty": {"path": "{{ var.value.quickstart_folder }}/rejected"},
        },
    }
}


class ShowResult(BaseOperator):
    """Prints the report that the task `sync` left in XCom, and the rows it rejected."""

    def execute(self, context: Any) -> None:
        """Read both from where any later task would read them."""
        instance = context["ti"]
        report = instance.xcom_pull(task_ids="sync")
        dirty = instance.xcom_pull(task_ids="sync", key="dirty_data")
        print("\nThe report (XCom return_value of the task sync):")
        print(json.dumps(report, indent=2))
        print(f"\nThe {dirty['count']} rejected rows (files under {dirty['path']}):")
        for file in dirty["files"]:
            print(Path(file).read_text(), end="")


with DAG("quickstart", schedule=None, start_date=pendulum.datetime(2026, 1, 1)):
    FlinkXSyncOperator(task_id="sync", job=JOB) >> ShowResult(task_id="show_result")
