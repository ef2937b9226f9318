"""Airflow's hook of the `flinkx_hdfs` connection type."""

from __future__ import annotations

from typing import Any

from airflow_provider_flinkx.exceptions import ConnectionFailedError
from airflow_provider_flinkx.plugins.hdfs.connection import CONNECTION
from airflow_provider_flinkx.plugins.hook import DeclaredHook
from airflow_provider_flinkx.plugins.registry import load


class FlinkXHDFSHook(DeclaredHook, connection=CONNECTION):
    """An HDFS that a job reads or writes."""

    def get_conn(self) -> Any:
        """An HDFS client.

        Raises:
            MissingDriverError: when its package is not installed.
            JobFileError: when the connection lacks something.
        """
        client = load("hdfs_native:Client", self.hook_name, "hdfs")
        parameters = self.parameters()
        settings = {name: str(value) for name, value in parameters.get("hadoopConfig", {}).items()}
        return client(parameters["defaultFS"], settings)

    def check(self) -> str:
        """Ask for the root directory."""
        address = self.parameters()["defaultFS"]
        try:
            self.get_conn().get_file_info("/")
        except (OSError, RuntimeError, ValueError) as error:
            raise ConnectionFailedError(f"{address}: {' '.join(str(error).split())}") from None
        return f"{address} answered"
