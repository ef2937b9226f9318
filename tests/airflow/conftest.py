"""One Airflow for the tests of this folder: a home of its own with an SQLite database, no service running."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.airflow_home import airflow_settings


class AirflowHome:
    """The command line of an Airflow, and what its database says."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {**os.environ, **airflow_settings(home, Path(__file__).parent / "dags")}

    def command(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run `airflow …` to its end; standard error is in the output."""
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "airflow", *arguments],
            env={**self.environment, **variables},
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the metadata database."""
        with sqlite3.connect(self.home / "airflow.db") as connection:
            return connection.execute(statement, values).fetchall()


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> AirflowHome:
    """An Airflow whose tables are made, and that knows the DAGs of this folder."""
    home = AirflowHome(tmp_path_factory.mktemp("airflow"))
    migrated = home.command("db", "migrate")
    assert migrated.returncode == 0, migrated.stdout
    return home
