"""The connection type of the hdfs plugin: the file system, and the Hadoop settings that find it (hdfs.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_flinkx.plugins.connection import ConnectionType, ConnectionValues, Field
from airflow_provider_flinkx.plugins.registry import Side

HADOOP_CONFIG = "hadoop_config"


def _parameters(_side: Side, values: ConnectionValues) -> Mapping[str, Any]:
    host = values.required("host", "NameNode or name service")
    address = host if "://" in host else f"hdfs://{host}"
    parameters: dict[str, Any] = {"defaultFS": address if values.port is None else f"{address}:{values.port}"}
    hadoop_config = values.json_object(HADOOP_CONFIG)
    if hadoop_config:
        parameters["hadoopConfig"] = dict(hadoop_config)
    return parameters


CONNECTION = ConnectionType(
    conn_type="flinkx_hdfs",
    name="FlinkX: HDFS",
    hook_class="airflow_provider_flinkx.plugins.hdfs.hook.FlinkXHDFSHook",
    fields=(
        Field(
            HADOOP_CONFIG,
            "Hadoop settings",
            "json",
            description='JSON object of Hadoop keys, as hadoopConfig in a job: {"dfs.nameservices": "ns1", ...}.',
        ),
    ),
    hidden=("login", "password", "schema"),
    relabel={"host": "NameNode or name service"},
    placeholders={"host": "namenode.example.com", "port": "8020"},
    to_parameters=_parameters,
)
