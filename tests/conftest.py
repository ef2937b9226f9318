"""Fixtures that every test may use: the real database servers, and the rule about skipping.

`FLINKX_TEST_NO_SKIP=1` (set in CI) turns each skip into a failure. A test that belongs to one Airflow
generation only is marked `airflow2` or `airflow3`; it is left out elsewhere, which is no skip. So is a test
marked `kerberos`, where that extra is not installed.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

import pytest

from tests.db2_server import Db2Database, db2_stand_in
from tests.flink_cluster import FlinkCluster
from tests.flink_cluster import flink_cluster as start_flink_cluster
from tests.oracle_server import OracleDatabase
from tests.servers import (
    DatabaseType,
    MariadbDatabase,
    PostgresDatabase,
    ServerMissingError,
    SQLServerDatabase,
    mariadb_server,
    postgres_server,
    sqlserver_stand_in,
)
from tests.yarn_cluster import Session, YarnCluster, yarn_cluster

Running = TypeVar("Running")
NO_SKIP = os.environ.get("FLINKX_TEST_NO_SKIP") == "1"

# What a shell starts in the background ignores SIGINT, and so would the programs that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresDatabase]:
    """A real PostgreSQL, started at the first use and shared by the run; take `fresh_database()` of it."""
    with _server("FLINKX_TEST_POSTGRES_URL", PostgresDatabase, postgres_server) as database:
        yield database


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariadbDatabase]:
    """A real MariaDB, started at the first use and shared by the run; take `fresh_database()` of it."""
    with _server("FLINKX_TEST_MARIADB_URL", MariadbDatabase, mariadb_server) as database:
        yield database


@pytest.fixture(scope="session")
def shared_flink_cluster() -> Iterator[FlinkCluster]:
    """A real standalone Flink, started at the first use and shared by the run; take `flink_cluster` instead."""
    with or_skip(start_flink_cluster) as cluster:
        yield cluster


@pytest.fixture
def flink_cluster(shared_flink_cluster: FlinkCluster) -> FlinkCluster:
    """A real standalone Flink of two TaskManagers with two slots each, in order and idle, whatever happened before."""
    shared_flink_cluster.repair()
    return shared_flink_cluster


@pytest.fixture(scope="module")
def flink_ha_cluster() -> Iterator[FlinkCluster]:
    """A Flink whose two JobManagers stand in for one another; it takes a gigabyte, so it ends with the module."""
    with or_skip(lambda: start_flink_cluster(job_managers=2)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def shared_yarn() -> Iterator[YarnCluster]:
    """A real YARN of two ResourceManagers, started at the first use and shared by the run; take `yarn_session`."""
    with or_skip(yarn_cluster) as yarn:
        yield yarn


@pytest.fixture
def yarn_session(shared_yarn: YarnCluster) -> Session:
    """A real Flink session on YARN, in order whatever happened before; `.yarn` has the daemons."""
    return shared_yarn.session()


@contextlib.contextmanager
def or_skip(start: Callable[[], AbstractContextManager[Running]]) -> Iterator[Running]:
    """What `start` starts; where its programs are missing the test is skipped."""
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(start())
        except ServerMissingError as error:
            pytest.skip(f"NOT TESTED, SERVER MISSING: {error}")
        yield running


@pytest.fixture(scope="session")
def sqlserver(request: pytest.FixtureRequest) -> Iterator[SQLServerDatabase]:
    """A SQL Server named in the environment, or the stand-in for one; take `fresh_database()` of it."""

    def start() -> AbstractContextManager[SQLServerDatabase]:
        return sqlserver_stand_in(request.getfixturevalue("postgres"))

    with _server("FLINKX_TEST_SQLSERVER_URL", SQLServerDatabase, start) as database:
        yield database


@pytest.fixture(scope="session")
def db2() -> Iterator[Db2Database]:
    """A DB2 database given by its address, or Apache Derby as a stand-in at the wire."""
    with _server("FLINKX_TEST_DB2_URL", Db2Database, db2_stand_in) as database:
        yield database


@pytest.fixture(scope="session")
def oracle() -> OracleDatabase:
    """An Oracle database given by its address; tests take it only where there is one (`moving.DATABASES`)."""
    return OracleDatabase.from_url(os.environ["FLINKX_TEST_ORACLE_URL"])


@contextlib.contextmanager
def _server(
    variable: str, kind: type[DatabaseType], start: Callable[[], AbstractContextManager[DatabaseType]]
) -> Iterator[DatabaseType]:
    """The database named in the environment, or a server of our own."""
    if url := os.environ.get(variable):
        yield kind.from_url(url)
        return
    with contextlib.ExitStack() as stack:
        try:
            database = stack.enter_context(start())
        except ServerMissingError as error:
            pytest.skip(f"NOT TESTED, SERVER MISSING: {error}; or set {variable}")
        yield database


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers of what need not be installed."""
    config.addinivalue_line("markers", "airflow2: needs Airflow 2")
    config.addinivalue_line("markers", "airflow3: needs Airflow 3")
    config.addinivalue_line("markers", "kerberos: needs the extra `kerberos`, which is built from source")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of the Airflow generation, and of the extra, that is not installed."""
    missing = ["airflow2" if _airflow_generation() == 3 else "airflow3"]
    if importlib.util.find_spec("gssapi") is None:
        missing.append("kerberos")
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in missing)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _airflow_generation() -> int:
    """2 or 3, whichever Airflow is installed."""
    return int(importlib.metadata.version("apache-airflow").split(".")[0])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.CallInfo[None], None]:
    """Where skipping is forbidden, a skipped test is a failed one."""
    outcome = yield
    _forbid_skip(outcome.get_result())  # type: ignore[attr-defined]


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CallInfo[None], None]:
    """The same for a whole module that skips itself."""
    outcome = yield
    _forbid_skip(outcome.get_result())  # type: ignore[attr-defined]


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
