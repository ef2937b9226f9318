"""An Airflow home of the test run's own, with an SQLite database; chosen before Airflow is imported."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path


def use_temporary_airflow_home() -> Path:
    """Point this process and its children at a fresh Airflow home, once; the home goes away with the process."""
    if home := os.environ.get("FLINKX_TEST_AIRFLOW_HOME"):
        return Path(home)
    assert "airflow" not in sys.modules, "Airflow has read its configuration already"
    home_path = Path(tempfile.mkdtemp(prefix="flinkx-airflow-"))
    atexit.register(shutil.rmtree, home_path, ignore_errors=True)
    os.environ.update({"FLINKX_TEST_AIRFLOW_HOME": str(home_path), **airflow_settings(home_path, home_path / "dags")})
    return home_path


def airflow_settings(home: Path, dags: Path) -> dict[str, str]:
    """The environment of an Airflow that keeps everything in `home` and has its DAG files in `dags`."""
    dags.mkdir(exist_ok=True)
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": "",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
