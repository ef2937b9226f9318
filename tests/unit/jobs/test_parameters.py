from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_flinkx.jobs.parameters import fit, with_defaults
from airflow_provider_flinkx.jobs.problems import Problems

SCHEMA = {
    "type": "object",
    "properties": {
        "integer": {"type": "integer", "minimum": -1, "default": 7},
        "number": {"type": "number"},
        "boolean": {"type": "boolean", "default": False},
        "text": {"type": "string", "default": None},
        "password": {"type": "string"},
        "mode": {"type": "string", "enum": ["insert", "noRestart"], "default": "insert"},
        "delimiter": {"type": "string", "format": "delimiter", "default": "|"},
        "list": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "url": {"type": "string", "x-first-of-array": True, "pattern": "^jdbc:", "examples": ["jdbc:x"]},
        "queryTimeOut": {"type": "integer", "x-aliases": ["queryTimeout"]},
        "either": {"type": ["integer", "array"], "items": {"type": "integer"}},
        "map": {"type": "object", "additionalProperties": True},
        "old": {"type": "boolean", "default": False, "deprecated": True},
        "oldWithoutDefault": {"type": "string", "deprecated": True},
        "copy": {"type": "string", "x-only-with": {"mode": ["insert"]}},
        "start": {"type": "string", "x-only-with": {"text": []}},
        "first": {"type": "array", "x-first-only": True, "items": {"type": "object", "properties": {}}},
    },
}


def fitted(value: Any) -> tuple[Any, list[str], list[str]]:
    problems = Problems()
    return fit(value, SCHEMA, "p", problems), problems.errors, problems.warnings


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"integer": "3"}, {"integer": 3}),
        ({"integer": " -1 "}, {"integer": -1}),
        ({"integer": 3.0}, {"integer": 3}),
        ({"number": "0.02"}, {"number": 0.02}),
        ({"number": "50"}, {"number": 50}),
        ({"number": 3.0}, {"number": 3.0}),
        ({"mode": "INSERT"}, {"mode": "insert"}),
        ({"mode": "norestart"}, {"mode": "noRestart"}),
        ({"list": "one"}, {"list": ["one"]}),
        ({"list": ("one", "two")}, {"list": ["one", "two"]}),
        ({"url": ["jdbc:a"]}, {"url": "jdbc:a"}),
        ({"url": "jdbc:a"}, {"url": "jdbc:a"}),
        ({"queryTimeout": "5"}, {"queryTimeOut": 5}),
        ({"either": "5"}, {"either": 5}),
        ({"either": ["5", 6.0]}, {"either": [5, 6]}),
        ({"map": {"a": None, "b": "3"}}, {"map": {"a": None, "b": "3"}}),
        ({"text": None, "integer": None}, {}),
        ({"text": " ", "mode": "", "integer": ""}, {}),
        ({"delimiter": "\t"}, {"delimiter": "\t"}),
        ({"delimiter": ""}, {}),
        ({"password": ""}, {"password": ""}),
        ({"password": " "}, {"password": " "}),
        ({"old": False}, {"old": False}),
        ({"copy": "x"}, {"copy": "x"}),
    ],
)
def test_coercions(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert fitted(given) == (expected, [], [])


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"integer": "3.0"}, "p.integer: must be an integer, not a string"),
        ({"integer": "x"}, "p.integer: must be an integer, not a string"),
        ({"integer": "٣"}, "p.integer: must be an integer, not a string"),
        ({"integer": 3.5}, "p.integer: must be an integer, not a number"),
        ({"integer": True}, "p.integer: must be an integer, not a boolean"),
        ({"integer": -2}, "p.integer: must be -1 or more"),
        ({"number": "abc"}, "p.number: must be a number, not a string"),
        ({"number": "1e999"}, "p.number: must be a number, not a string"),
        ({"boolean": "true"}, "p.boolean: must be a boolean, not a string"),
        ({"boolean": 1}, "p.boolean: must be a boolean, not a number"),
        ({"text": 5}, "p.text: must be a string, not a number"),
        ({"text": {}}, "p.text: must be a string, not an object"),
        ({"text": {1}}, "p.text: must be a string, not a Python set"),
        ({"mode": "upsert"}, "p.mode: must be one of 'insert', 'noRestart'"),
        ({"list": []}, "p.list: must not be empty"),
        ({"list": [1]}, "p.list[0]: must be a string, not a number"),
        ({"url": "http:x"}, "p.url: must look like jdbc:x"),
        ({"url": []}, "p.url: must be a string, not an array"),
        ({"either": "x"}, "p.either: must be an integer or an array, not a string"),
        ({"queryTimeOut": 1, "queryTimeout": 1}, "p.queryTimeout: given twice, 'queryTimeout' and another spelling"),
    ],
)
def test_what_does_not_fit(given: dict[str, Any], error: str) -> None:
    _, errors, _ = fitted(given)
    assert [line[: len(error)] for line in errors] == [error]


@pytest.mark.parametrize(
    ("given", "warning"),
    [
        ({"integr": 1}, "p.integr: unknown key, ignored; did you mean 'integer'?"),
        ({"INTEGER": 1}, "p.INTEGER: unknown key, ignored; did you mean 'integer'?"),
        ({"zzz": 1}, "p.zzz: unknown key, ignored"),
        ({"old": True}, "p.old: accepted, but has no effect here"),
        ({"oldWithoutDefault": "x"}, "p.oldWithoutDefault: accepted, but has no effect here"),
        ({"copy": "x", "mode": "NoRestart"}, "p.copy: has no effect without mode 'insert'"),
        ({"start": "x"}, "p.start: has no effect without text"),
        ({"url": ["jdbc:a", "jdbc:b"]}, "p.url: has 2 elements, only the first is used"),
        ({"first": [{}, {}, {}]}, "p.first: has 3 elements, only the first is used"),
    ],
)
def test_warnings(given: dict[str, Any], warning: str) -> None:
    _, errors, warnings = fitted(given)
    assert (errors, warnings) == ([], [warning])


def test_messages_never_show_values() -> None:
    _, errors, _ = fitted({"password": 123456789, "url": "hunter2", "text": ["hunter2"]})
    assert len(errors) == 3
    assert not any(secret in line for line in errors for secret in ("hunter2", "123456789"))


def test_all_missing_keys_are_told_once_each() -> None:
    problems = Problems()
    fit({}, {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a", "b"]}, "", problems)
    assert problems.errors == ["a: is missing", "b: is missing"]


def test_the_schemas_own_message_is_used() -> None:
    problems = Problems()
    fit({}, {"anyOf": [{"required": ["a"]}, {"required": ["b"]}], "x-message": "must have a or b"}, "p", problems)
    assert problems.errors == ["p: must have a or b"]


def test_defaults_are_filled_in_also_inside() -> None:
    schema = {
        "properties": {
            "a": {"default": 1},
            "b": {"default": None},
            "c": {},
            "list": {"items": {"properties": {"d": {"default": 2}}}},
        }
    }
    value = {"a": 5, "list": [{}, {"d": 3}, "text"]}
    assert with_defaults(value, schema) == {"a": 5, "b": None, "list": [{"d": 2}, {"d": 3}, "text"]}
    assert value == {"a": 5, "list": [{}, {"d": 3}, "text"]}


def test_defaults_are_copies() -> None:
    schema: dict[str, Any] = {"properties": {"a": {"default": []}}}
    with_defaults({}, schema)["a"].append(1)
    assert with_defaults({}, schema) == {"a": []}
