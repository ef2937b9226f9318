"""Times before 1970 in ORC files: pyarrow, pyorc and, by the rules of its reader, Java take them for what they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.orc as orc
import pyorc
import pytest

from airflow_provider_flinkx.jobs.model import Column
from airflow_provider_flinkx.plugins.base import Category, RunContext, Split
from airflow_provider_flinkx.plugins.hdfs.writer import HDFSWriter
from tests.unit.plugins.files.test_file_plugins import ROWS, SCHEMA, full_batch, parameter, read, writer_columns

EARLY = [
    "0001-01-01 00:00:00.000001", "1500-03-01 00:00:00.25", "1677-09-21 00:12:43.145224", "1700-03-01 00:00:00.1",
    "1900-01-01 12:34:56.75", "1960-01-01 00:00:00.000001", "1969-12-31 23:59:57.5", "1969-12-31 23:59:58.000001",
    "1969-12-31 23:59:58.999999", "1969-12-31 23:59:59.000001", "1969-12-31 23:59:59.000999",
]  # fmt: skip
OTHER = [
    "1500-03-01", "1969-12-31 23:59:58", "1969-12-31 23:59:59", "1970-01-01", "1970-01-01 00:00:00.5",
    "9999-12-31 23:59:59.999999",
]  # fmt: skip
LOST = ["1969-12-31 23:59:59.001", "1969-12-31 23:59:59.5", "1969-12-31 23:59:59.999999"]
TIME = (Column(name="t", type="timestamp"),)


def times(*texts: str) -> pa.RecordBatch:
    moments = [datetime.fromisoformat(text if "." not in text else text.ljust(26, "0")) for text in texts]
    return pa.record_batch([pa.array([*moments, None], pa.timestamp("us"))], ["t"])


def write_split(path: Path, columns: Sequence[Column], *batches: pa.RecordBatch, **more: Any) -> list[Any]:
    """The rejects of batches that are written as one split."""
    writer = HDFSWriter(parameter(path, fileType="orc", **more), columns, RunContext("job", "a"))
    writer.prepare(batches[0].schema)
    split = writer.open(Split(0), batches[0].schema)
    results = [split.write(batch) for batch in batches]
    assert [result.written + len(result.rejects) for result in results] == [batch.num_rows for batch in batches]
    split.commit()
    writer.finish()
    return [reject for result in results for reject in result.rejects]


def files(path: Path) -> list[Path]:
    return sorted(path.glob("*.orc"))


def microseconds(values: pa.Array | pa.ChunkedArray) -> list[int | None]:
    return values.cast(pa.timestamp("us")).cast(pa.int64()).to_pylist()


class Stored(pyorc.converters.ORCConverter):  # type: ignore[misc]
    """A time as the file holds it."""

    @staticmethod
    def from_orc(seconds: int, nanoseconds: int, _timezone: Any) -> tuple[int, int]:
        return seconds, nanoseconds


def stored(path: Path) -> list[tuple[int, int] | None]:
    with path.open("rb") as source:
        return [value for (value,) in pyorc.Reader(source, converters={pyorc.TypeKind.TIMESTAMP: Stored})]


def test_arrow_needs_this(tmp_path: Path) -> None:
    orc.write_table(pa.Table.from_batches([times("1900-01-01 12:34:56.75")]), str(tmp_path / "arrow"))
    ((_, nanoseconds), _null) = stored(tmp_path / "arrow")
    assert nanoseconds < 0, "Arrow writes such times as others do: orc_sinks.py can become shorter"


def test_nanoseconds_are_never_negative(tmp_path: Path) -> None:
    assert not write_split(tmp_path, TIME, times(*EARLY, *OTHER))
    (file,) = files(tmp_path)
    found = stored(file)
    assert all(value is None or 0 <= value[1] < 10**9 for value in found)
    wanted = microseconds(times(*EARLY, *OTHER).column(0))
    assert [None if value is None else value[0] * 10**6 + value[1] // 1000 for value in found] == wanted
    (batch,) = read(parameter(tmp_path, fileType="orc"))
    assert microseconds(batch.rows.column(0)) == wanted


def test_arrow_reads_the_same(tmp_path: Path) -> None:
    within = [text for text in (*EARLY, *OTHER) if "1678" < text < "2262"]
    assert not write_split(tmp_path, TIME, times(*within))
    (file,) = files(tmp_path)
    assert microseconds(orc.read_table(str(file)).column(0)) == microseconds(times(*within).column(0))


@pytest.mark.parametrize("first", [EARLY, OTHER])
def test_what_the_format_cannot_hold_is_rejected(tmp_path: Path, first: list[str]) -> None:
    rejects = write_split(tmp_path, TIME, times(*first), times(LOST[0], *EARLY, *LOST[1:]))
    assert {reject.category for reject in rejects} == {Category.CONVERSION}
    assert [reject.message for reject in rejects] == [
        f"column t: ORC cannot hold {text.ljust(26, '0')}, a time in the last second before 1970" for text in LOST
    ]
    rows = [moment for batch in read(parameter(tmp_path, fileType="orc")) for moment in batch.rows.column(0)]
    assert pa.array(rows).equals(pa.concat_arrays([times(*first).column(0), times(*EARLY).column(0)]))


def test_early_times_begin_a_file_that_takes_the_rest(tmp_path: Path) -> None:
    batches = [times(*OTHER), times(*OTHER[:2]), times(*EARLY), times(*OTHER), times(*EARLY)]
    assert not write_split(tmp_path, TIME, *batches)
    assert [orc.ORCFile(str(file)).nrows for file in files(tmp_path)] == [
        batches[0].num_rows + batches[1].num_rows, sum(batch.num_rows for batch in batches[2:]),
    ]  # fmt: skip


@pytest.mark.parametrize("compress", ["none", "snappy", "zlib", "lz4"])
def test_both_writers_write_every_type_alike(tmp_path: Path, compress: str) -> None:
    plain = full_batch().take(pa.array([at for at, row in enumerate(ROWS) if not (row[3] and row[3].microsecond)]))
    early = full_batch()
    assert not write_split(tmp_path, writer_columns(), plain, early, compress=compress)
    by_arrow, by_pyorc = (orc.ORCFile(str(file)) for file in files(tmp_path))
    assert [by_arrow.nrows, by_pyorc.nrows] == [plain.num_rows, early.num_rows]
    assert by_arrow.schema == by_pyorc.schema
    assert by_arrow.compression == by_pyorc.compression
    got = pa.Table.from_batches([batch.rows for batch in read(parameter(tmp_path, fileType="orc"))])
    assert got.equals(pa.Table.from_batches([plain, early]).cast(SCHEMA))


def test_names_and_widths_of_columns(tmp_path: Path) -> None:
    columns = (
        Column(name="a b:c<,`", type="decimal", type_arguments=(38, 0)), Column(name="t", type="timestamp"),
        Column(name="day", type="date"),
    )  # fmt: skip
    batch = pa.record_batch(
        [
            pa.array([Decimal(10**38 - 1), Decimal(1 - 10**38)], pa.decimal128(38, 0)),
            times("1969-01-01 00:00:00.5").column(0),
            pa.array([-(10**6), 4 * 10**6], pa.int32()).view(pa.date32()),
        ],
        ["n", "t", "day"],
    )
    assert not write_split(tmp_path, columns, batch)
    table = orc.read_table(str(files(tmp_path)[0]))
    assert table.column_names == ["a b:c<,`", "t", "day"]
    assert table.column(0).to_pylist() == [10**38 - 1, 1 - 10**38]
    assert table.column(2).cast(pa.int32()).to_pylist() == [-(10**6), 4 * 10**6]


def test_a_file_whose_rows_are_all_rejected_is_readable(tmp_path: Path) -> None:
    batch = times(*LOST).slice(0, len(LOST))  # without the null
    assert len(write_split(tmp_path, TIME, batch)) == len(LOST)
    assert orc.read_table(str(files(tmp_path)[0])).num_rows == 0
