from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_flinkx.jobs.columns import parse_columns
from airflow_provider_flinkx.jobs.model import Column
from airflow_provider_flinkx.jobs.problems import Problems


@pytest.mark.parametrize(
    ("value", "columns"),
    [
        (["*"], ()),
        (["a", "b"], (Column(name="a"), Column(name="b"))),
        ([{"name": "a", "type": "Decimal(10,2)"}], (Column(name="a", type="decimal", type_arguments=(10, 2)),)),
        ([{"index": 0, "type": "date", "format": "yyyyMMdd"}], (Column(index=0, type="date", format="yyyyMMdd"),)),
        ([{"value": 26, "type": "int"}], (Column(value="26", type="int"),)),
        ([{"name": "a", "value": "0"}], (Column(name="a", value="0"),)),
        ([{"name": "a", "value": None}], (Column(name="a"),)),
        ([{"name": "a", "splitter": ",", "isPart": True}], (Column(name="a", splitter=",", is_part=True),)),
    ],
)
def test_three_spellings(value: list[Any], columns: tuple[Column, ...]) -> None:
    problems = Problems()
    assert parse_columns(value, "column", problems, unknown_type="error") == columns
    assert (problems.errors, problems.warnings) == ([], [])


@pytest.mark.parametrize(
    ("value", "text"),
    [(26, "26"), (-1, "-1"), (1.5, "1.5"), (26.0, "26.0"), (True, "true"), (False, "false"), ("", ""), (" x ", " x ")],
)
def test_constants_become_text_as_written(value: Any, text: str) -> None:
    (column,) = parse_columns([{"value": value}], "column", Problems())
    assert column.value == text


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (["a", {"name": "b"}], "column[1]: names and objects must not be mixed in one column list"),
        ([{"name": "b"}, "a"], "column[1]: names and objects must not be mixed in one column list"),
        (["a", "*"], 'column[1]: "*" means all columns and must stand alone'),
        (["a", " "], "column[1]: the name is empty"),
        ([{"value": [1]}], "column[0].value: must be a string, a number or a boolean"),
        ([{"name": "a", "type": "bigintt"}], "column[0].type: unknown type 'bigintt'; did you mean 'bigint'?"),
        ([{"name": "a", "type": "decimal(77,2)"}], "column[0].type: a decimal has 1 to 76 digits"),
        ([{"name": "a", "type": "decimal(5,6)"}], "column[0].type: a decimal has 1 to 76 digits"),
        ([{"name": "a", "type": "number(0)"}], "column[0].type: a number has 1 to 76 digits"),
    ],
)
def test_wrong_columns(value: list[Any], error: str) -> None:
    problems = Problems()
    parse_columns(value, "column", problems, unknown_type="error")
    assert [line[: len(error)] for line in problems.errors] == [error]


def test_unknown_types_are_warnings_or_nothing_where_the_schema_says_so() -> None:
    problems = Problems()
    columns = [{"name": "a", "type": "uuid"}]
    assert parse_columns(columns, "column", problems) == (Column(name="a", type="uuid"),)
    assert problems.warnings == []
    parse_columns(columns, "column", problems, unknown_type="warning")
    assert problems.errors == []
    assert problems.warnings == ["column[0].type: unknown type 'uuid', values are not converted"]
