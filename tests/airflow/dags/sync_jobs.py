"""The ways to give a job to FlinkXSyncOperator, and the ways in which it may fail: one task for each."""

from __future__ import annotations

import datetime
import json
import os
from typing import Any

import pendulum

from airflow_provider_flinkx.compat import DAG
from airflow_provider_flinkx.operators.sync import FlinkXSyncOperator

LOGIN = json.loads(os.environ["FLINKX_TEST_LOGIN"])
JOB_FOLDER = os.environ["FLINKX_TEST_JOB_FOLDER"]
COLUMNS = ["id", "day", "name"]


def job(reader: dict[str, Any], writer: dict[str, Any], error_limit: int = 0) -> dict[str, Any]:
    """A job from the table `source` to the table that the writer names."""
    return {
        "job": {
            "content": [
                {
                    "reader": {"name": "postgresqlreader", "parameter": {"column": COLUMNS, **reader}},
                    "writer": {"name": "postgresqlwriter", "parameter": {"column": COLUMNS, **writer}},
                }
            ],
            "setting": {"speed": {"channel": 1}, "errorLimit": {"record": error_limit}},
        }
    }


def by_connection(target: str, where: str = "day = '{{ ds }}'", error_limit: int = 0) -> dict[str, Any]:
    """Both sides by connectionId: one of this provider's own type, one of Airflow's."""
    return job(
        {"connectionId": "source", "connection": [{"table": ["source"]}], "where": where},
        {"connectionId": "target", "connection": [{"table": [target]}], "writeMode": "insert"},
        error_limit,
    )


def with_password(target: str, note: str = "") -> dict[str, Any]:
    """Both sides with user and password in the job; `note` makes the job as long as wanted."""
    url = LOGIN["jdbcUrl"]
    login = {"username": LOGIN["user"], "password": LOGIN["password"]}
    return job(
        {**login, "connection": [{"jdbcUrl": [url], "table": ["source"]}], "where": f"day = '{{{{ ds }}}}' {note}"},
        {**login, "connection": [{"jdbcUrl": url, "table": [target]}], "writeMode": "insert"},
    )


with DAG(
    "sync_jobs",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1),
    catchup=False,
    template_searchpath=[JOB_FOLDER],
    default_args={"retries": 1, "retry_delay": datetime.timedelta(seconds=1)},
):
    FlinkXSyncOperator(task_id="from_dict", job=by_connection("from_dict"))
    FlinkXSyncOperator(task_id="from_text", job="// as FlinkX reads it\n" + json.dumps(with_password("from_text")))
    FlinkXSyncOperator(
        task_id="from_long_text", job=json.dumps(with_password("from_long_text", note=f"AND name <> '{'x' * 5000}'"))
    )
    FlinkXSyncOperator(task_id="from_file", job="from_file.json")
    FlinkXSyncOperator.partial(task_id="mapped").expand(
        job=[json.dumps(with_password("mapped_0")), by_connection("mapped_1")]
    )
    FlinkXSyncOperator(task_id="too_many_rejects", job=by_connection("too_many_rejects", error_limit=1))
    FlinkXSyncOperator(task_id="as_many_as_allowed", job=by_connection("as_many_as_allowed", error_limit=2))
    FlinkXSyncOperator(task_id="broken_text", job=json.dumps(with_password("broken_text"))[:-3] + ", }")
    FlinkXSyncOperator(task_id="wrong_job", job={"job": {"content": [], "setings": {}}})
    FlinkXSyncOperator(task_id="no_such_table", job=by_connection("no_such_table"))

# A DAG of its own: in Airflow 2 a timeout ends the whole command.
with DAG("timed_out", schedule="@daily", start_date=pendulum.datetime(2026, 1, 1), catchup=False):
    FlinkXSyncOperator(
        task_id="timed_out",
        job=by_connection("timed_out", where="pg_sleep(600) IS NOT NULL"),
        execution_timeout=datetime.timedelta(seconds=25),
    )
