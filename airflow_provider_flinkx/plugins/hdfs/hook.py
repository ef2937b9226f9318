"""Airflow's hook of the `flinkx_hdfs` connection type."""

from __future__ import annotations

from typing import Any

from airflow_provider_flinkx.plugins.hdfs.connection import CONNECTION
from airflow_provider_flinkx.plugins.hook import DeclaredHook
from airflow_provider_flinkx.plugins.registry import load

#: Imported when it is used, because it imports Arrow.
_FILESYSTEM = "airflow_provider_flinkx.plugins.files.filesystem"


class FlinkXHDFSHook(DeclaredHook, connection=CONNECTION):
    """An HDFS that a job reads or writes."""

    def get_conn(self) -> Any:
        """The file system and its URL, as the readers and writers connect to it.

        Raises:
            FlinkXError: when a package is missing, or no NameNode answers.
        """
        connect = load(f"{_FILESYSTEM}:connect", self.hook_name, "hdfs")
        parameters = self.parameters()
        return connect(parameters["defaultFS"], parameters.get("hadoopConfig", {}))

    def check(self) -> str:
        """Ask for the root directory."""
        location = self.get_conn()
        with load(f"{_FILESYSTEM}:errors", self.hook_name, "hdfs")(location.url, "/"):
            location.filesystem.get_file_info("/")
        return f"{location.url} answered"
