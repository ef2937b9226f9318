from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest

from airflow_provider_flinkx.jobs.parameters import fit
from airflow_provider_flinkx.jobs.problems import Problems
from airflow_provider_flinkx.jobs.schemas import load
from airflow_provider_flinkx.jobs.validation import job_schema
from airflow_provider_flinkx.plugins.registry import BUILT_IN, plugins, schema_of

NAMES = [f"{name}{side}" for name in BUILT_IN for side in ("reader", "writer") if getattr(plugins()[name], side)]


def properties(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, item in schema.get("properties", {}).items():
        yield f"{path}.{key}", item
        yield from properties(item, f"{path}.{key}")
        yield from properties(item.get("items", {}), f"{path}.{key}[]")


def schema(name: str) -> Mapping[str, Any]:
    return job_schema() if name == "job" else schema_of(name)


@pytest.mark.parametrize("name", ["job", *NAMES])
def test_schema_is_json_schema_with_no_reference_left(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    assert "$ref" not in str(schema(name))


@pytest.mark.parametrize("name", ["job", *NAMES])
def test_every_key_is_described_and_typed(name: str) -> None:
    for path, item in properties(schema(name)):
        assert item.get("description", "").endswith((".", ";")), path
        assert "type" in item or path.endswith("column[].value"), path


@pytest.mark.parametrize("name", ["job", *NAMES])
def test_every_default_fits_its_own_schema(name: str) -> None:
    for path, item in properties(schema(name)):
        if item.get("default") is not None:
            problems = Problems()
            assert fit(item["default"], item, path, problems) == item["default"]
            assert problems.errors == []


@pytest.mark.parametrize("name", NAMES)
def test_keys_that_others_are_looked_at_with_exist(name: str) -> None:
    top = schema(name)["properties"]
    for key, item in top.items():
        for other, wanted in item.get("x-only-with", {}).items():
            assert other in top, key
            assert all(value in top[other].get("enum", wanted) for value in wanted), key


RELATIONAL_READER = (
    "username password connection column where splitPk fetchSize queryTimeOut customSql orderByColumn increColumn "
    "startLocation useMaxFunc requestAccumulatorInterval polling pollingInterval properties"
)
RELATIONAL_WRITER = (
    "username password connection column writeMode batchSize preSql postSql updateKey fullColumn properties"
)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("mysqlreader", RELATIONAL_READER),
        ("mysqldreader", "username password connection column where splitPk fetchSize queryTimeOut"),
        ("postgresqlreader", RELATIONAL_READER),
        ("oraclereader", RELATIONAL_READER),
        ("db2reader", RELATIONAL_READER),
        ("mysqlwriter", RELATIONAL_WRITER),
        ("oraclewriter", RELATIONAL_WRITER),
        ("db2writer", RELATIONAL_WRITER),
        ("postgresqlwriter", RELATIONAL_WRITER + " insertSqlMode"),
        ("hdfsreader", "defaultFS path fileType column fieldDelimiter hadoopConfig encoding fileName filterRegex"),
        (
            "hdfswriter",
            "defaultFS path fileName fileType column fullColumnName fullColumnType writeMode fieldDelimiter encoding "
            "compress hadoopConfig rowGroupSize maxFileSize flushInterval enableDictionary partition username password",
        ),
        ("streamreader", "column sliceRecordCount"),
        ("streamwriter", "print writeDelimiter batchInterval"),
    ],
)
def test_every_key_of_flinkx_is_there(name: str, keys: str) -> None:
    assert set(keys.split()) <= schema_of(name)["properties"].keys()


def test_own_keys_narrow_what_they_refer_to() -> None:
    shared = load("airflow_provider_flinkx.plugins.relational", "reader.schema.json")
    mysql = plugins()["mysql"].schema("reader")
    address, shared_address = (
        item["properties"]["connection"]["items"]["properties"]["jdbcUrl"] for item in (mysql, shared)
    )
    assert address == {**shared_address, "pattern": address["pattern"], "examples": address["examples"]}
    assert "pattern" not in shared_address
    assert mysql["properties"]["where"] == shared["properties"]["where"]
