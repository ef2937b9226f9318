"""A DAG without data: shows that the services of the tests run tasks at all."""

from __future__ import annotations

import pendulum

from airflow_provider_flinkx.compat import DAG, BaseOperator


class Answer(BaseOperator):
    """Returns a value."""

    def execute(self, context: object) -> dict[str, int]:
        """Return the value that the test expects."""
        return {"answer": 42}


with DAG("harness", schedule=None, start_date=pendulum.datetime(2026, 1, 1)):
    Answer(task_id="answer")
