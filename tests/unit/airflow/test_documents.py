"""Every example in README and docs: jobs are valid, DAGs are DAGs, scripts are there."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from airflow_provider_flinkx.compat import BaseOperator
from airflow_provider_flinkx.jobs.text import read_job
from airflow_provider_flinkx.jobs.validation import validate
from airflow_provider_flinkx.plugins.registry import schema_of

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), ROOT / "benchmarks" / "RESULTS.md"])
SINK = {"name": "streamwriter", "parameter": {}}


def blocks(language):
    for document in DOCUMENTS:
        found = re.findall(rf"^```{language}\n(.*?)^```$", document.read_text("utf-8"), re.DOTALL | re.MULTILINE)
        for number, text in enumerate(found):
            yield pytest.param(text, id=f"{document.relative_to(ROOT)}-{number}")


def whole_job(text):
    """The job that an example stands for: itself, a reader-writer pair, or a reader alone."""
    value = read_job(text if text.lstrip().startswith("{") else f"{{{text}}}")
    return value if "job" in value else {"job": {"content": [{"writer": SINK, **value}], "setting": {}}}


@pytest.mark.parametrize("text", blocks("json"))
def test_a_job_is_valid_and_without_warnings(text):
    validate(whole_job(text), schema_of=schema_of, strict=True)


@pytest.mark.parametrize("text", blocks("python"))
def test_a_dag_file_has_an_operator_whose_job_is_valid(text):
    if find_spec("airflow.sdk") is None:
        text = text.replace("from airflow.sdk import DAG", "from airflow import DAG")
    names = {}
    exec(compile(text, "example", "exec"), names)
    dag = next((value for value in names.values() if hasattr(value, "task_dict")), None)
    if dag is None:
        assert issubclass(names["FlinkXSyncOperator"], BaseOperator)
        return
    for task in dag.tasks:
        validate(task.job, schema_of=schema_of, strict=True)


@pytest.mark.parametrize("text", blocks("sh"))
def test_a_command_names_what_is_there(text):
    for line in filter(None, text.splitlines()):
        command = line.split()
        if command[0].startswith("scripts/"):
            assert (ROOT / command[0]).is_file()
        elif command[:2] == ["python", "-m"]:
            assert (ROOT / (command[2].replace(".", "/") + ".py")).is_file()
        else:
            assert command[0] in ("pip", "flinkx", "apt", "sudo"), line
