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
    (home_path / "dags").mkdir()
    os.environ.update(
        {
            "FLINKX_TEST_AIRFLOW_HOME": str(home_path),
            "AIRFLOW_HOME": str(home_path),
            "AIRFLOW__CORE__DAGS_FOLDER": str(home_path / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home_path}/airflow.db",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }
    )
    return home_path
