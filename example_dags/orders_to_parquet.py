"""A PostgreSQL table to Parquet files, one directory a day, by a job in a dict.

It needs the connection `orders_db` of type "FlinkX: PostgreSQL", or Airflow's own `postgres`.
"""

from __future__ import annotations

import pendulum

from airflow_provider_flinkx.compat import DAG
from airflow_provider_flinkx.operators.sync import FlinkXSyncOperator

READER = {
    "connectionId": "orders_db",
    "connection": [{"table": ["orders"]}],
    "column": ["id", "customer", "amount", "ordered_at"],
    "where": "ordered_at >= '{{ ds }}' AND ordered_at < '{{ macros.ds_add(ds, 1) }}'",
    "splitPk": "id",
}
WRITER = {
    "defaultFS": "file:///",
    "path": "/tmp/flinkx-example/orders",  # noqa: S108 - an example
    "fileName": "pt={{ ds_nodash }}",
    "fileType": "parquet",
    "writeMode": "overwrite",
    "column": [
        {"name": "id", "type": "bigint"},
        {"name": "customer", "type": "string"},
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
        "setting": {"speed": {"channel": 2}, "errorLimit": {"record": 0}},
    }
}

with DAG("orders_to_parquet", schedule="@daily", start_date=pendulum.datetime(2026, 1, 1), catchup=False):
    FlinkXSyncOperator(task_id="sync", job=JOB)
