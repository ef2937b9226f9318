from __future__ import annotations

import pytest

from airflow_provider_flinkx.jobs.types import KNOWN_TYPES, TypeName, parse_type


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("INT", "int", ()),
        (" Varchar(255) ", "varchar", (255,)),
        ("DECIMAL(38, 10)", "decimal", (38, 10)),
        ("decimal (10,2)", "decimal", (10, 2)),
        ("bigint(20) UNSIGNED", "bigint", (20,)),
        ("int unsigned zerofill", "int", ()),
        ("timestamp(6) with time zone", "timestamp", (6,)),
        ("TIMESTAMPTZ", "timestamp", ()),
        ("double precision", "double precision", ()),
        ("int(", "int(", ()),
        ("", "", ()),
    ],
)
def test_type_names_are_taken_apart(text: str, name: str, arguments: tuple[int, ...]) -> None:
    assert parse_type(text) == TypeName(name, arguments)


@pytest.mark.parametrize(
    "names",
    [
        "STRING VARCHAR CHAR INT MEDIUMINT TINYINT DATETIME SMALLINT BIGINT LONG SHORT DOUBLE FLOAT BOOLEAN DATE "
        "TIMESTAMP DECIMAL YEAR BIT NVARCHAR TEXT KEYWORD BINARY INTEGER TIME VARCHAR2 INT32 INT64 NUMBER",
    ],
)
def test_every_type_of_flinkx_is_known(names: str) -> None:
    assert all(parse_type(name).known for name in names.split())


@pytest.mark.parametrize("name", ["intt", "json", "", "unsigned"])
def test_other_names_are_not_known(name: str) -> None:
    assert not parse_type(name).known


def test_known_names_are_in_parsed_form() -> None:
    assert all(parse_type(name).name == name for name in KNOWN_TYPES)
