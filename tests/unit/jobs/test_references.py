from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_flinkx.exceptions import JobFileError, JobInvalidError
from airflow_provider_flinkx.jobs.references import Side, is_secret_key, mask, mask_text, mask_url, resolve
from tests.unit.jobs.builders import HDFS_WRITER, MYSQL_READER, job, with_parameter

STORED = {
    "username": "stored",
    "password": "stored secret",
    "connection": [{"jdbcUrl": ["jdbc:mysql://stored/db"]}],
    "properties": {"ssl": "true", "zone": "UTC"},
}


def lookup(connection_id: str, plugin: str, side: Side) -> dict[str, Any]:
    if connection_id != "mine":
        raise JobFileError(f"there is no {plugin} connection for the {side}")
    return STORED


def test_reference_is_replaced_and_own_keys_win() -> None:
    reader = with_parameter(
        MYSQL_READER,
        connectionId="mine",
        username="own",
        password=...,
        connection=[{"table": ["orders"]}],
        properties={"zone": "CET"},
    )
    document = job(reader)
    resolved = resolve(document, lookup)
    assert resolved["job"]["content"][0]["reader"] == {
        "name": "mysqlreader",
        "parameter": {
            "username": "own",
            "password": "stored secret",
            "connection": [{"jdbcUrl": ["jdbc:mysql://stored/db"], "table": ["orders"]}],
            "properties": {"ssl": "true", "zone": "CET"},
            "column": ["id", "name"],
        },
    }
    assert resolved["job"]["content"][0]["writer"] == document["job"]["content"][0]["writer"]
    assert document == job(reader)


def test_elements_of_connection_may_have_a_reference_each() -> None:
    connection = [{"connectionId": "mine", "table": ["a"], "username": "own"}, {"jdbcUrl": "x", "table": ["b"]}]
    reader = {"name": "mysqldreader", "parameter": {"connection": connection, "column": ["*"]}}
    document = job(reader)
    (content,) = resolve(document, lookup)["job"]["content"]
    assert content["reader"]["parameter"] == {
        "connection": [
            {"jdbcUrl": ["jdbc:mysql://stored/db"], "table": ["a"], "username": "own", "password": "stored secret"},
            {"jdbcUrl": "x", "table": ["b"]},
        ],
        "column": ["*"],
    }
    connection[1]["connectionId"] = "other"
    told = r"connection\[1\]\.connectionId: 'other': there is no mysqld connection for the reader"
    with pytest.raises(JobInvalidError, match=told):
        resolve(job(reader), lookup)


def test_lookup_gets_plugin_and_side() -> None:
    asked: list[tuple[str, str, str]] = []

    def remember(connection_id: str, plugin: str, side: Side) -> dict[str, Any]:
        asked.append((connection_id, plugin, side))
        return {}

    reader = {"name": "MySQLReader", "parameter": {"connectionId": "a"}}
    resolve(job(reader, with_parameter(HDFS_WRITER, connectionId="b")), remember)
    assert asked == [("a", "mysql", "reader"), ("b", "hdfs", "writer")]


def test_all_references_that_fail_are_told_with_their_paths() -> None:
    document = job(with_parameter(MYSQL_READER, connectionId="x"), with_parameter(HDFS_WRITER, connectionId="y"))
    with pytest.raises(JobInvalidError) as caught:
        resolve(document, lookup)
    assert caught.value.problems == (
        "job.content[0].reader.parameter.connectionId: 'x': there is no mysql connection for the reader",
        "job.content[0].writer.parameter.connectionId: 'y': there is no hdfs connection for the writer",
    )


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"job": 1},
        {"job": {"content": {}}},
        {"job": {"content": [None, {"reader": None, "writer": {"parameter": 3}}]}},
        {"job": {"content": [{"reader": {}}], "setting": {}}, "other": 1},
    ],
)
def test_what_is_no_job_is_left_to_the_validation(document: dict[str, Any]) -> None:
    assert resolve(document, lookup) == document


@pytest.mark.parametrize("key", ["password", "PASSWD", "sasl.password", "accessKey", "access_key", "secretId"])
def test_secret_keys(key: str) -> None:
    assert is_secret_key(key)


@pytest.mark.parametrize("key", ["username", "path", "splitPk", "updateKey", "column", "keyIndexes", "passive"])
def test_other_keys(key: str) -> None:
    assert not is_secret_key(key)


def test_masked_job_shows_no_secret_and_nothing_else_changes() -> None:
    document = {
        "password": "hunter2",
        "connection": [{"jdbcUrl": ["jdbc:mysql://h/d?user=a&password=hunter2&ssl=true"], "table": ["t"]}],
        "url": "mongodb://root:hunter2@kudu4:27017/admin",
        "hadoopConfig": {"dfs.secret": {"nested": "hunter2"}, "n": 1},
        "empty": {"password": ""},
    }
    assert mask(document) == {
        "password": "***",
        "connection": [{"jdbcUrl": ["jdbc:mysql://h/d?user=a&password=***&ssl=true"], "table": ["t"]}],
        "url": "mongodb://root:***@kudu4:27017/admin",
        "hadoopConfig": {"dfs.secret": "***", "n": 1},
        "empty": {"password": ""},
    }


@pytest.mark.parametrize(
    "text", ["jdbc:oracle:thin:@//host:1521/x", "hdfs://ns1/a@b", "http://host:80/x@y", "a=b&c=d", "id > 100 and x:y@z"]
)
def test_urls_without_a_password_stay(text: str) -> None:
    assert mask_url(text) == text


@pytest.mark.parametrize(
    "text",
    [
        '{"password": "hunter2", "a": 1}',
        "{'password' : 'hunter2'}",
        "password = hunter2;",
        '{"password": "hunter2 without end',
        '{"password": "a\\"hunter2"}',
        '"jdbc:x://h?password=hunter2"',
    ],
)
def test_masked_text_keeps_its_length(text: str) -> None:
    masked = mask_text(text)
    assert "hunter2" not in masked
    assert len(masked) == len(text)
