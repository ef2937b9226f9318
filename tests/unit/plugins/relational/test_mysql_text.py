"""Arrow columns as LOAD DATA lines and literals."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flinkx.plugins.mysql import text


def unescaped(field: str) -> str | None:
    if field == "\\N":
        return None
    out, rest = [], iter(field)
    marks = {"t": "\t", "n": "\n", "r": "\r", "0": "\0", "\\": "\\"}
    for character in rest:
        out.append(marks[next(rest)] if character == "\\" else character)
    return "".join(out)


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.none() | st.text(st.characters(codec="utf-8"))] * 2), min_size=1))
def test_lines_give_the_texts_back(rows: list[tuple[str | None, str | None]]) -> None:
    made = text.lines([pa.array(values, pa.string()) for values in zip(*rows, strict=True)])
    data = bytes(text.slice_bytes(made, 0, len(rows))).decode()
    read = [tuple(unescaped(field) for field in line.split("\t")) for line in data.split("\n")[:-1]]
    assert read == rows


@settings(deadline=None)
@given(st.lists(st.none() | st.binary()), st.integers(0, 3))
def test_hexadecimal(values: list[bytes | None], start: int) -> None:
    array = pa.array(values, pa.binary()).slice(start)
    assert text.hexadecimal(array).to_pylist() == [
        None if value is None else value.hex().upper() for value in values[start:]
    ]


def test_slices_are_the_bytes_of_their_rows() -> None:
    made = text.lines([pa.array(["a", "b", None, "d"])])
    assert bytes(text.slice_bytes(made.slice(1), 0, 2)) == b"b\n\\N\n"


def test_literals() -> None:
    moment = datetime(2024, 1, 2, 3, 4, 5, 600, tzinfo=timezone.utc)
    columns = [
        pa.array([1, None]),
        pa.array(["it's \\", None]),
        pa.array([b"\x00\xff", b""]),
        pa.array([Decimal("-0.10"), None]),
        pa.array([moment, None], pa.timestamp("us", "UTC")),
    ]
    assert text.value_lists(columns).to_pylist() == [
        r"(1,'it\'s \\',x'00FF',-0.10,'2024-01-02 03:04:05.000600')",
        "(NULL,NULL,x'',NULL,NULL)",
    ]
