"""One real Airflow for all tests of this folder, with connections to the real databases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.airflow.scheduler.services import AirflowServices
from tests.flink_cluster import FlinkCluster
from tests.servers import MariadbDatabase, PostgresDatabase


@pytest.fixture(scope="session")
def source(mariadb: MariadbDatabase) -> MariadbDatabase:
    """The database that the DAGs read from."""
    return mariadb.fresh_database()


@pytest.fixture(scope="session")
def target(postgres: PostgresDatabase) -> PostgresDatabase:
    """The database that the DAGs write to."""
    return postgres.fresh_database()


@pytest.fixture(scope="session")
def airflow(
    tmp_path_factory: pytest.TempPathFactory,
    postgres: PostgresDatabase,
    source: MariadbDatabase,
    target: PostgresDatabase,
) -> Iterator[AirflowServices]:
    """Running services, whose connections `source` and `target` lead to those databases."""
    services = AirflowServices(
        home=tmp_path_factory.mktemp("airflow"),
        dags=Path(__file__).parent / "dags",
        metadata=postgres.fresh_database(),
        connections={"source": source.url, "target": target.url.replace("postgresql", "postgres", 1)},
    )
    try:
        services.start()
        yield services
    finally:
        services.stop()


@pytest.fixture(scope="session")
def airflow_with_flink(airflow: AirflowServices, shared_flink_cluster: FlinkCluster) -> AirflowServices:
    """The same, with a triggerer and a connection `flink_cluster` that leads to a real cluster."""
    # Of many jobs in few slots the last one waits for as long as all others take.
    extra = {"mode": "standalone", "slot_timeout": 1800}
    connection = {"conn_type": "flink", "host": shared_flink_cluster.rest_address, "extra": extra}
    airflow.command("connections", "add", "flink_cluster", "--conn-json", json.dumps(connection))
    airflow.restart_triggerer()
    return airflow
