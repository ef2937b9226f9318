from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_flinkx.exceptions import JobInvalidError
from airflow_provider_flinkx.jobs.model import Column
from airflow_provider_flinkx.jobs.types import KNOWN_TYPES
from airflow_provider_flinkx.plugins.base import RunContext, Split
from airflow_provider_flinkx.plugins.stream.reader import StreamReader
from airflow_provider_flinkx.plugins.stream.writer import StreamWriter


def reader(parameter: dict[str, Any], *columns: Column, channels: int = 1) -> StreamReader:
    return StreamReader(parameter, columns, RunContext("job", "a", channels=channels))


def rows(made: StreamReader) -> pa.Table:
    batches = [batch.rows for split in made.splits() for batch in made.read(split)]
    return pa.Table.from_batches(batches, made.schema)


def test_constants_have_their_type_and_ids_run_over_all_channels() -> None:
    columns = (Column(name="n", type="id"), Column(name="c", type="int", value="26"), Column(type=None, value="x"))
    table = rows(reader({"sliceRecordCount": 70_000}, *columns, channels=2))
    assert table.column("n").to_pylist() == list(range(140_000))
    assert table.schema.types == [pa.int64(), pa.int32(), pa.string()]
    assert set(table.column("c").to_pylist()) == {26}
    assert table.schema.names == ["n", "c", "val_x"]


def test_one_count_per_channel() -> None:
    made = reader({"sliceRecordCount": ["3", 2]}, Column(name="n", type="id"), channels=2)
    assert [split.rows for split in made.splits()] == [3, 2]
    assert rows(made).column("n").to_pylist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("count", [None, 0, -1, ["1", 0], [1, 1, 1], "many"])
def test_rows_without_end_are_refused(count: Any) -> None:
    with pytest.raises(JobInvalidError, match="sliceRecordCount"):
        reader({"sliceRecordCount": count}, Column(name="n"), channels=2)


@pytest.mark.parametrize("name", sorted(KNOWN_TYPES))
@pytest.mark.parametrize("arguments", [(), (5, 2)])
def test_every_type_is_made_up_without_nulls(name: str, arguments: tuple[int, ...]) -> None:
    table = rows(reader({"sliceRecordCount": 1000}, Column(name="c", type=name, type_arguments=arguments)))
    assert (table.num_rows, table.column("c").null_count) == (1000, 0)
    assert len(table.column("c").unique()) > 1


def test_a_split_reads_the_same_twice() -> None:
    made = reader({"sliceRecordCount": 100}, Column(name="t", type="timestamp"), Column(name="s", type="string"))
    assert rows(made).equals(rows(made))


def test_a_constant_that_does_not_fit_is_named() -> None:
    with pytest.raises(JobInvalidError, match=r"'26\.5'.*int32"):
        rows(reader({"sliceRecordCount": 1}, Column(name="c", type="int", value="26.5")))


def test_writer_counts_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1, None]), pa.array([True, False])], names=["x", "x"])
    quiet = StreamWriter({"print": False}, (), RunContext("job", "a")).open(Split(0), batch.schema)
    assert quiet.write(batch).written == 2
    assert capsys.readouterr().out == ""
    loud = StreamWriter({"print": True}, (), RunContext("job", "a")).open(Split(0), batch.schema)
    loud.write(batch)
    assert capsys.readouterr().out == "1|true\nnull|false\n"
