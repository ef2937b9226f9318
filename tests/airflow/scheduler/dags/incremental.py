"""Copies the rows that came since the last run into files of the run; Airflow keeps how far it came."""

from __future__ import annotations

import os

import pendulum

from airflow_provider_flinkx.compat import DAG
from airflow_provider_flinkx.operators.sync import FlinkXSyncOperator

READER = {
    "connectionId": "source",
    "connection": [{"table": ["events"]}],
    "column": ["id"],
    "incremental": {"column": "id", "state": "airflow"},
}
WRITER = {
    "defaultFS": "file:///",
    "path": f"{os.environ['AIRFLOW_HOME']}/events/{{{{ run_id }}}}",
    "column": [{"name": "id", "type": "bigint"}],
    "fileType": "parquet",
    "writeMode": "overwrite",
}
CONTENT = {
    "reader": {"name": "mysqlreader", "parameter": READER},
    "writer": {"name": "hdfswriter", "parameter": WRITER},
}

with DAG("incremental", schedule=None, start_date=pendulum.datetime(2026, 1, 1), max_active_runs=1):
    FlinkXSyncOperator(task_id="sync", job={"job": {"content": [CONTENT], "setting": {}}})
