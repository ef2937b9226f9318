"""The link from a task in Airflow's pages to its job in Flink's own."""

from __future__ import annotations

import contextlib
from typing import Any

from airflow_provider_flinkx.compat import BaseOperatorLink, XCom

#: XCom with the address of the job in Flink's pages.
FLINK_JOB_URL = "flink_job_url"


class FlinkJobLink(BaseOperatorLink):  # type: ignore[misc]
    """Link to the Flink job of a task; there is none in local mode."""

    name = "Flink job"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The job's address, or nothing.

        Airflow 2 asks in the web server; Airflow 3 in the worker when the task's process ends.
        """
        url = None
        if getattr(operator, "runs_locally", False):  # Airflow 3 would log the missing XCom as an error
            return ""
        with contextlib.suppress(Exception):  # a page of Airflow must not break for a link
            url = XCom.get_value(key=FLINK_JOB_URL, ti_key=ti_key)
        return url or ""


def push_job_url(instance: Any, url: str) -> None:
    """Make the link work from now on, while the task runs.

    Args:
        instance: the task instance.
        url: of the job in Flink's pages.
    """
    instance.xcom_push(key=FLINK_JOB_URL, value=url)
    if hasattr(FlinkJobLink, "xcom_key"):  # Airflow 3 shows what is under this key, and writes it only at the end
        instance.xcom_push(key=FlinkJobLink().xcom_key, value=url)
