"""One day of a MySQL table to PostgreSQL, by a job in a templated file; made for backfills.

It needs the connections `shop` (MySQL) and `warehouse` (PostgreSQL).
"""

from __future__ import annotations

import datetime
from pathlib import Path

import pendulum

from airflow_provider_flinkx.compat import DAG
from airflow_provider_flinkx.operators.sync import FlinkXSyncOperator

with DAG(
    "daily_orders",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=3,
    template_searchpath=[str(Path(__file__).parent / "jobs")],
):
    FlinkXSyncOperator(
        task_id="sync",
        job="daily_orders.json",
        retries=2,
        execution_timeout=datetime.timedelta(hours=1),
    )
