"""Fixtures of the tests that import Airflow but need no database and no service."""

from __future__ import annotations

from tests.airflow_home import use_temporary_airflow_home

use_temporary_airflow_home()
