"""hdfsreader: text, ORC and Parquet files on HDFS or a local path (hdfs.md)."""

from __future__ import annotations

from airflow_provider_flinkx.plugins.files.filesystem import Location, connect
from airflow_provider_flinkx.plugins.files.reader import FileReader


class HDFSReader(FileReader):
    """Files on the file system of `defaultFS`."""

    def connect(self) -> Location:
        """The file system of `defaultFS`, with the settings of `hadoopConfig`."""
        return connect(self.parameter["defaultFS"], self.parameter.get("hadoopConfig") or {})
