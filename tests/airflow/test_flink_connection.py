"""The test button of a `flink` connection that leads to a real cluster."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.airflow.conftest import AirflowHome
from tests.flink_cluster import FlinkCluster

PROGRAM = (
    "from airflow_provider_flinkx.hooks.flink import FlinkClusterHook;"
    "print(*FlinkClusterHook('my_flink').test_connection())"
)


def test_it_says_version_and_slots(airflow_home: AirflowHome, flink_cluster: FlinkCluster) -> None:
    connection = {"conn_type": "flink", "host": flink_cluster.rest_address, "extra": {"mode": "standalone"}}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        env={**airflow_home.environment, "AIRFLOW_CONN_MY_FLINK": json.dumps(connection)},
        cwd=airflow_home.home,
        capture_output=True,
        text=True,
        check=True,
    )
    version = flink_cluster.get("/overview")["flink-version"]
    slots = flink_cluster.slots
    assert done.stdout.splitlines()[-1] == (
        f"True standalone mode: Flink {version} at {flink_cluster.rest_address}, "
        f"{slots} of {slots} slots free on {len(flink_cluster.task_managers)} TaskManagers"
    )
