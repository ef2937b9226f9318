from __future__ import annotations

import itertools

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_flinkx.exceptions import JobInvalidError
from airflow_provider_flinkx.plugins.files.text import Encoding, Fields, LineWriter, blocks, lines_of, parse_delimiter

UTF8 = Encoding.of("UTF-8")


@pytest.mark.parametrize(
    ("written", "meant"),
    [("|", "|"), (r"\|", "|"), (r"\t", "\t"), (r"\001", "\x01"), (r"\u0001", "\x01"), ("\x01", "\x01"), ("||", "||"),
     (r"\\", "\\")],
)  # fmt: skip
def test_delimiters(written: str, meant: str) -> None:
    assert parse_delimiter(written) == meant


@pytest.mark.parametrize("written", ["", r"\n", "\r"])
def test_a_line_end_is_no_delimiter(written: str) -> None:
    with pytest.raises(JobInvalidError):
        parse_delimiter(written)


@given(
    st.lists(st.text("ab", max_size=6)),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.lists(st.integers(0, 60), max_size=5),
)
def test_any_cuts_give_every_line_once(lines: list[str], end: str, closed: bool, cuts: list[int]) -> None:
    data = (end.join(lines) + (end if closed and lines else "")).encode()
    bounds = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    found: list[bytes] = []
    for start, stop in itertools.pairwise(bounds):
        for block in blocks(pa.BufferReader(data), start, stop, "test"):
            found += block.splitlines()
    assert found == data.splitlines()


VALUES = st.none() | st.text(st.sampled_from("a|\n\r\\N é"), max_size=4)


@given(
    st.lists(st.tuples(VALUES, VALUES), min_size=1),
    st.sampled_from(["|", "||", "|a", "\x01"]),
    st.sampled_from(["utf-8", "latin-1"]),
)
def test_a_row_is_read_as_it_was_or_refused(
    rows: list[tuple[str | None, str | None]], delimiter: str, encoding: str
) -> None:
    columns = [pa.array([row[index] for row in rows], pa.string()) for index in (0, 1)]
    batch = pa.RecordBatch.from_arrays(columns, names=["a", "b"])
    data, failures = LineWriter(delimiter, UTF8, "UTC").lines(batch)
    lines, bad = lines_of(data.to_pybytes(), UTF8)
    fields = Fields(lines, delimiter)
    back = list(zip(fields.field(0).to_pylist(), fields.field(1).to_pylist(), strict=True))
    assert back == [row for at, row in enumerate(rows) if at not in failures]
    assert not bad
    for at in failures:
        texts = [value for value in rows[at] if value is not None]
        assert any(
            {"\n", "\r"} & set(value) or value == "\\N" or delimiter in value + delimiter[:-1] for value in texts
        )


def test_a_delimiter_inside_a_number_is_refused_too() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1, -1]), pa.array([1, 1])], names=["a", "b"])
    data, failures = LineWriter("-", UTF8, "UTC").lines(batch)
    assert data.to_pybytes() == b"1-1\n"
    assert list(failures) == [1]


def test_characters_that_the_encoding_lacks_are_refused() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(["é", "€", None])], names=["a"])
    _, failures = LineWriter("|", Encoding.of("ISO-8859-1"), "UTC").lines(batch)
    assert list(failures) == [1]
    assert "'€'" in failures[1]


def test_lines_that_are_not_in_the_encoding_are_named() -> None:
    lines, bad = lines_of(b"a\n\xff\nb", UTF8)
    assert lines.to_pylist() == ["a", "b"]
    assert [(line.text, "byte 0" in line.message) for line in bad] == [("\\xff", True)]


def test_short_lines_have_nulls_at_their_end() -> None:
    fields = Fields(pa.array(["1|2", "1", "", "1|2|3", r"\N|x"]), "|")
    assert fields.field(0).to_pylist() == ["1", "1", "", "1", None]
    assert fields.field(1).to_pylist() == ["2", None, None, "2", "x"]
    assert fields.lengths.tolist() == [2, 1, 1, 3, 2]


def test_unknown_encoding() -> None:
    with pytest.raises(JobInvalidError, match="nosuch"):
        Encoding.of("nosuch")
