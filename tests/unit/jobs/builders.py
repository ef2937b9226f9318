"""Jobs to take apart in tests."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

MYSQL_READER = {
    "name": "mysqlreader",
    "parameter": {
        "username": "me",
        "password": "secret",
        "connection": [{"jdbcUrl": ["jdbc:mysql://db:3306/shop"], "table": ["orders"]}],
        "column": ["id", "name"],
    },
}
POSTGRESQL_WRITER = {
    "name": "postgresqlwriter",
    "parameter": {
        "username": "me",
        "password": "secret",
        "connection": [{"jdbcUrl": "jdbc:postgresql://dw:5432/shop", "table": ["orders"]}],
        "column": ["id", "name"],
    },
}
HDFS_READER = {
    "name": "hdfsreader",
    "parameter": {"defaultFS": "file:///", "path": "/in", "column": [{"index": 0, "type": "int"}, {"index": 1}]},
}
HDFS_WRITER = {
    "name": "hdfswriter",
    "parameter": {
        "defaultFS": "hdfs://ns1",
        "path": "/out",
        "fileType": "orc",
        "column": [{"name": "id", "type": "int"}, {"name": "name", "type": "string"}],
    },
}
STREAM_WRITER: dict[str, Any] = {"name": "streamwriter", "parameter": {}}


def job(
    reader: Mapping[str, Any] = MYSQL_READER,
    writer: Mapping[str, Any] = POSTGRESQL_WRITER,
    setting: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A job document of its own, which a test may change."""
    content = {"reader": reader, "writer": writer}
    parts: dict[str, Any] = {"content": [content]} if setting is None else {"content": [content], "setting": setting}
    return {"job": copy.deepcopy(parts)}


def with_parameter(endpoint: Mapping[str, Any], **parameter: Any) -> dict[str, Any]:
    """The reader or writer with these parameters; a value of `...` takes the key out."""
    merged = {**endpoint["parameter"], **parameter}
    return {**endpoint, "parameter": {key: value for key, value in merged.items() if value is not ...}}
