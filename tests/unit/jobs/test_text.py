from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flinkx.exceptions import JobTextError
from airflow_provider_flinkx.jobs.text import parse_job, read_job, read_text, replace_placeholders


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ("{a: 1}", {"a": 1}),
        ("{'a': 'it\\'s \"quoted\"'}", {"a": 'it\'s "quoted"'}),
        ('{"a": "it\\\'s"}', {"a": "it's"}),
        ("{a: insert}", {"a": "insert"}),
        ("{a = 1; b => 2}", {"a": 1, "b": 2}),
        ('// c\n{"a": /* c\n*/ 1 # c\n}', {"a": 1}),
        ('{"a": "// no # comment /* here */"}', {"a": "// no # comment /* here */"}),
        ('{"a": "x;y=z,]"}', {"a": "x;y=z,]"}),
        ('{"a": [1, 2, ], }', {"a": [1, 2]}),
        ('{"a": [1, // ]\n 2, /* ] */ 3, # ]\n 4 /* x */ ]}', {"a": [1, 2, 3, 4]}),
        ('{"a": [1, 2, // c\n # d\n ], /* e */ }', {"a": [1, 2]}),
        ('{"a": "\x01", "b": "\t", "c": "x\ny"}', {"a": "\x01", "b": "\t", "c": "x\ny"}),
        ('{"a": "\\u0001", "b": "\\\\001", "c": "\\\\t"}', {"a": "\x01", "b": "\\001", "c": "\\t"}),
        ("{true: true, null: null, 1: 1}", {"true": True, "null": None, "1": 1}),
        ("{a: -1.5e3, b: 007, c: 9223372036854775807}", {"a": -1500.0, "b": "007", "c": 9223372036854775807}),
        ('{"a": "${odps.accessId}"}', {"a": "${odps.accessId}"}),
    ],
)
def test_lenient_spellings(text: str, value: dict[str, Any]) -> None:
    assert parse_job(text) == value


@pytest.mark.parametrize(
    ("text", "line", "column", "around"),
    [
        ("", 1, 1, "''"),
        ("{a: 1,\n b: 2 c: 3}", 2, 7, "b: 2 c: 3"),
        ('{"a": [1,, 2]}', 1, 10, "[1,, 2]"),
        ('{\n"a": "not closed\n}', 2, 6, "not closed"),
        ('{"a": 1', 1, 8, '{"a": 1'),
        ('{"a": 1} x', 1, 10, "} x"),
        ("{a b}", 1, 4, "{a b}"),
        ('["a"]', 1, 1, '["a"]'),
        ('{"a": "\\q"}', 1, 8, '{"a"'),
        ("{'a': 'b',\n 'c': 'd' 'e'}", 2, 11, "'c': 'd' 'e'"),
    ],
)
def test_unreadable_text_is_located(text: str, line: int, column: int, around: str) -> None:
    with pytest.raises(JobTextError) as caught:
        parse_job(text, where="my.json")
    message = str(caught.value)
    assert message.startswith(f"my.json: line {line}, column {column}: ")
    assert around in message.partition("near ")[2].replace("\\'", "'")
    assert "\n" not in message


@pytest.mark.parametrize(
    "text",
    [
        '{"password": "hunter2" "x": 1}',
        '{"password": "hunter2',
        "{password = hunter2 x}",
        '{"jdbcUrl": "jdbc:mysql://h/d?user=a&password=hunter2&x=1" x}',
        '{"url": "mongodb://root:hunter2@host/db" x}',
        '{"accessKey": "hunter2",, }',
    ],
)
def test_unreadable_text_does_not_show_secrets(text: str) -> None:
    with pytest.raises(JobTextError) as caught:
        parse_job(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("number", ["0.12345678901234567890", "1e400", "12345678901234567.5"])
def test_number_that_would_lose_digits_is_refused(number: str) -> None:
    with pytest.raises(JobTextError, match=f"{number} has too many digits"):
        parse_job(f'{{"value": {number}}}')


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(JobTextError, match="too deeply"):
        parse_job('{"a": ' + "[" * 200_000 + "]" * 200_000 + "}")


def test_last_of_two_equal_keys_counts_and_is_told() -> None:
    told: list[str] = []
    assert parse_job('{"a": {"b": 1, "b": 2}}', warn=told.append) == {"a": {"b": 2}}
    assert told == ["job: key 'b' is given 2 times in one object, the last counts"]


def test_job_is_taken_from_dict_text_and_path(tmp_path: Path) -> None:
    value = {"job": {"content": ["é"]}}
    path = tmp_path / "my.json"
    path.write_text("\ufeff" + json.dumps(value, ensure_ascii=False), "utf-8")
    assert read_job(value) is value
    assert read_job(json.dumps(value)) == read_job(str(path)) == read_job(path) == value


def test_text_that_ends_like_a_path_is_text() -> None:
    assert read_job('{"a": 1} // see my.json') == {"a": 1}
    assert read_job('// see\n{"a": 1} # my.json') == {"a": 1}


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobTextError, match=r"none\.json: cannot read the job file: No such file"):
        read_job(str(tmp_path / "none.json"))


def test_wrong_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.json"
    path.write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(JobTextError, match=r"latin\.json: not UTF-8: byte 7 is 0xe9"):
        read_text(path)


def test_placeholders_are_replaced_in_the_text() -> None:
    told: list[str] = []
    text = '{"a": "${day}", "b": ${number}, "c": "${other.name}"}'
    replaced = replace_placeholders(text, {"day": "2024-01-01", "number": "3", "none": "x"}, warn=told.append)
    assert parse_job(replaced) == {"a": "2024-01-01", "b": 3, "c": "${other.name}"}
    assert told == ["-p none: the job has no ${none}"]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_JOBS = st.dictionaries(st.text(), _VALUES, max_size=4)


@settings(deadline=None)
@given(_JOBS, st.booleans())
def test_every_json_text_is_read_as_it_is(value: dict[str, Any], ascii_only: bool) -> None:
    assert parse_job(json.dumps(value, ensure_ascii=ascii_only), warn=lambda line: None) == value


@settings(deadline=None)
@given(_JOBS, st.data())
def test_comments_and_separators_between_tokens_change_nothing(value: dict[str, Any], data: st.DataObject) -> None:
    filler = st.sampled_from(["", " ", "\n", "/* { */", '// ] "\n', "# '\n", "\t/**/"])

    def spelled(item: Any) -> str:
        before, after = data.draw(filler), data.draw(filler)
        if isinstance(item, dict):
            colon = data.draw(st.sampled_from([":", "=", "=>"]))
            parts = [f"{_quoted(name)}{data.draw(filler)}{colon}{spelled(inner)}" for name, inner in item.items()]
            return f"{before}{{{_joined(parts)}}}{after}"
        if isinstance(item, list):
            return f"{before}[{_joined([spelled(inner) for inner in item])}]{after}"
        return f"{before}{_quoted(item) if isinstance(item, str) else json.dumps(item)}{after}"

    def _joined(parts: list[str]) -> str:
        last = data.draw(st.sampled_from(["", ",", ";", ", # c\n"])) if parts else ""
        return data.draw(st.sampled_from([",", ";"])).join(parts) + last

    def _quoted(text: str) -> str:
        double = json.dumps(text)
        if data.draw(st.booleans()):
            return double
        return "'" + double[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"

    assert parse_job(spelled(value), warn=lambda line: None) == value
