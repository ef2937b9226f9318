"""The jobs of the example DAGs are valid."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from airflow_provider_flinkx.jobs.text import read_job
from airflow_provider_flinkx.jobs.validation import validate
from airflow_provider_flinkx.plugins.registry import schema_of

EXAMPLES = Path(__file__).parents[3] / "example_dags"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_the_job_is_valid_and_without_warnings(path):
    """An example has its job in `JOB` or in a file of its own name."""
    job = runpy.run_path(str(path)).get("JOB") or read_job(EXAMPLES / "jobs" / f"{path.stem}.json")
    validate(job, schema_of=schema_of, strict=True)
