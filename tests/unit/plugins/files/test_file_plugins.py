"""hdfsreader and hdfswriter on local files."""

from __future__ import annotations

import gzip
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest

from airflow_provider_flinkx.exceptions import DataError, JobInvalidError, NotFoundError
from airflow_provider_flinkx.jobs.model import Column
from airflow_provider_flinkx.plugins.base import Batch, Category, RunContext, Split
from airflow_provider_flinkx.plugins.files import reader as reader_module
from airflow_provider_flinkx.plugins.hdfs.reader import HDFSReader
from airflow_provider_flinkx.plugins.hdfs.writer import HDFSWriter

SCHEMA = pa.schema([
    ("i", pa.int64()), ("s", pa.string()), ("d", pa.decimal128(38, 10)), ("t", pa.timestamp("us")),
    ("day", pa.date32()),
    ("b", pa.binary()), ("f", pa.float64()), ("ok", pa.bool_()), ("small", pa.int8()), ("single", pa.float32()),
])  # fmt: skip
TYPES = ("bigint", "string", "decimal", "timestamp", "date", "binary", "double", "boolean", "tinyint", "float")
ROWS = [
    (2**63 - 1, "", Decimal("1.5"), datetime(1, 1, 1), date(1, 1, 1), b"\xff\x00\n\x01", float("inf"), True, -128, 0.1),
    (-(2**63), "a b", None, datetime(9999, 12, 31, 23, 59, 59, 999999), date(1582, 10, 10), b"", -0.0,
     False, 127, -0.0),
    (None, None, Decimal("-9999999999999999999999999999.9999999999"), datetime(1969, 12, 31, 23, 59, 58, 999999),
     date(9999, 12, 31), None, 5e-324, None, None, None),
    (0, "üñ😀", Decimal(0), None, None, b"a", float("-inf"), True, 0, float("-inf")),
    (1, 'q"\'\t,', Decimal("0.0000000001"), datetime(1500, 1, 1, 0, 0, 0, 1), date(1969, 12, 31), b"b", 0.1,
     False, 1, 1e38),
]  # fmt: skip
CONTEXT = RunContext("job", "attempt1")


def full_batch() -> pa.RecordBatch:
    columns = zip(*ROWS, strict=True)
    arrays = [pa.array(list(values), field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def writer_columns() -> tuple[Column, ...]:
    digits = {"d": (38, 10)}
    return tuple(
        Column(name=field.name, type=name, type_arguments=digits.get(field.name, ()))
        for field, name in zip(SCHEMA, TYPES, strict=True)
    )


def parameter(path: Path, **more: Any) -> dict[str, Any]:
    return {"defaultFS": "file:///", "path": str(path), **more}


def make_writer(given: dict[str, Any], columns: tuple[Column, ...], context: RunContext = CONTEXT) -> HDFSWriter:
    return HDFSWriter(given, columns, context)


def write(
    given: dict[str, Any], columns: tuple[Column, ...], *batches: pa.RecordBatch, context: RunContext = CONTEXT
) -> HDFSWriter:
    """Write each batch as a split of its own; not finished."""
    writer = make_writer(given, columns, context)
    writer.prepare(batches[0].schema)
    for index, batch in enumerate(batches):
        split = writer.open(Split(index), batch.schema)
        assert split.write(batch).rejects == []
        split.commit()
    return writer


def read(given: dict[str, Any], *columns: Column, channels: int = 1) -> list[Batch]:
    made = HDFSReader(given, columns, RunContext("job", "r", channels=channels))
    batches = [batch for split in made.splits() for batch in made.read(split)]
    assert all(batch.rows.schema == made.schema for batch in batches)
    return batches


def values(batches: list[Batch]) -> list[dict[str, Any]]:
    assert not [reject for batch in batches for reject in batch.rejects]
    return [row for batch in batches for row in batch.rows.to_pylist()]


def visible(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize(
    ("file_type", "compress", "ending"),
    [
        ("text", None, ".txt"), ("text", "GZIP", ".txt.gz"), ("text", "bzip2", ".txt.bz2"), ("orc", None, ".orc"),
        ("ORC", "snappy", ".orc"), ("orc", "zlib", ".orc"), ("orc", "lz4", ".orc"), ("parquet", "", ".parquet"),
        ("parquet", "gzip", ".parquet"), ("parquet", "none", ".parquet"),
    ],
)  # fmt: skip
def test_every_value_is_equal_after_a_round_trip(
    tmp_path: Path, file_type: str, compress: str | None, ending: str
) -> None:
    given = parameter(tmp_path, fileType=file_type, compress=compress, fileName="pt=1")
    write(given, writer_columns(), full_batch()).finish()
    assert [name.endswith(ending) for name in visible(tmp_path / "pt=1")] == [True]
    by = "index" if file_type == "text" else "name"
    columns = [
        Column(**{by: index if by == "index" else column.name}, type=column.type, type_arguments=column.type_arguments)  # type: ignore[arg-type]
        for index, column in enumerate(writer_columns())
    ]
    (batch,) = read(given, *columns)
    assert not batch.rejects
    for field, got, wanted in zip(SCHEMA, batch.rows.columns, full_batch().columns, strict=True):
        assert got.type == field.type
        # As text too: -0.0 equals 0.0.
        if not pa.types.is_binary(field.type):
            assert got.cast(pa.string()).to_pylist() == wanted.cast(pa.string()).to_pylist()
        assert got.equals(wanted)


def test_a_value_that_text_cannot_hold_is_rejected(tmp_path: Path) -> None:
    columns = (Column(name="a", type="int"), Column(name="b", type="string"))
    writer = make_writer(parameter(tmp_path, fileType="text", fieldDelimiter="|"), columns)
    batch = pa.RecordBatch.from_arrays(
        [pa.array(["1", "x", "3", "4"]), pa.array(["a", "b", "c|", "d\n"])], names=["A", "B"]
    )
    writer.prepare(batch.schema)
    split = writer.open(Split(0), batch.schema)
    result = split.write(batch)
    split.commit()
    writer.finish()
    assert result.written == 1
    assert [(reject.row["A"], reject.category) for reject in result.rejects] == [
        (a, Category.CONVERSION) for a in ("x", "3", "4")
    ]
    assert [path.read_bytes() for path in tmp_path.glob("*.txt")] == [b"1|a\n"]


def test_nothing_is_visible_before_the_end_and_nothing_is_left_after_a_failure(tmp_path: Path) -> None:
    given = parameter(tmp_path, fileType="parquet")
    writer = write(given, writer_columns(), full_batch())
    assert visible(tmp_path) == []
    writer.abort()
    assert list(tmp_path.iterdir()) == []


def test_an_uncommitted_split_is_not_published(tmp_path: Path) -> None:
    writer = write(parameter(tmp_path, fileType="text"), writer_columns(), full_batch())
    lost = writer.open(Split(1), SCHEMA)
    lost.write(full_batch())
    rolled_back = writer.open(Split(2), SCHEMA)
    rolled_back.write(full_batch())
    rolled_back.rollback()
    writer.finish()
    assert len(visible(tmp_path)) == 1


def test_a_split_that_is_done_again_counts_once(tmp_path: Path) -> None:
    writer = write(parameter(tmp_path, fileType="text"), writer_columns(), full_batch())
    again = writer.open(Split(0), SCHEMA)
    again.write(full_batch())
    again.commit()
    writer.finish()
    assert len(visible(tmp_path)) == 1


def test_overwrite_removes_what_was_there_but_not_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    (tmp_path / "pt=1").mkdir()
    (tmp_path / "pt=1" / "old").write_text("x")
    (tmp_path / ".kept").write_text("x")
    writer = write(parameter(tmp_path, fileType="text", writeMode="Overwrite"), writer_columns(), full_batch())
    assert visible(tmp_path) == ["old", "pt=1"]
    writer.finish()
    assert [name.startswith("flinkx-job-attempt1-00000") for name in visible(tmp_path)] == [True]
    assert (tmp_path / ".kept").exists()


def test_a_publication_that_breaks_off_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old").write_text("x")
    writer = write(
        parameter(tmp_path, fileType="text", writeMode="overwrite"), writer_columns(), full_batch(), full_batch()
    )
    # The second file cannot get to its place: a directory that is not empty has its name.
    second = tmp_path / "flinkx-job-attempt1-00001-000.txt"
    (second / "x").mkdir(parents=True)
    listed = writer.publication._list

    def without_obstacle(directory: str) -> list[Any]:
        return [info for info in listed(directory) if info.base_name != second.name or "~" in info.path]

    monkeypatch.setattr(writer.publication, "_list", without_obstacle)
    with pytest.raises(DataError):
        writer.finish()
    assert (tmp_path / "old").read_text() == "x"
    assert not (tmp_path / "flinkx-job-attempt1-00000-000.txt").exists()


def test_leftovers_of_dead_attempts_go_and_other_jobs_are_not_touched(tmp_path: Path) -> None:
    given = parameter(tmp_path, fileType="text")
    dead = write(given, writer_columns(), full_batch(), context=RunContext("job", "dead"))
    other = write(given, writer_columns(), full_batch(), context=RunContext("job-2", "alive"))
    write(given, writer_columns(), full_batch()).finish()
    other.finish()
    assert len(visible(tmp_path)) == 2
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    dead.abort()


def run_of(execution: str) -> RunContext:
    """A run that Flink makes of one submission, by itself."""
    return RunContext("job", "attempt1", execution)


def test_a_run_that_flink_has_begun_again_is_alone(tmp_path: Path) -> None:
    given = parameter(tmp_path, fileType="text")
    first = write(given, writer_columns(), full_batch(), full_batch(), context=run_of("1"))
    half = first.open(Split(2), SCHEMA)
    half.write(full_batch())
    second = write(given, writer_columns(), full_batch(), context=run_of("2"))
    for too_late in (half.commit, lambda: first.open(Split(3), SCHEMA), first.finish):
        with pytest.raises(DataError, match="another run of this job has begun"):
            too_late()
    first.abort()
    second.finish()
    assert visible(tmp_path) == ["flinkx-job-attempt1-00000-000.txt"]
    assert list(tmp_path.glob(".*")) == []


def test_a_run_that_flink_has_begun_again_replaces_what_was_published(tmp_path: Path) -> None:
    given = parameter(tmp_path, fileType="text")
    write(given, writer_columns(), full_batch(), context=RunContext("job", "other")).finish()
    write(given, writer_columns(), full_batch(), full_batch(), context=run_of("1")).finish()
    write(given, writer_columns(), full_batch(), context=run_of("2")).finish()
    assert visible(tmp_path) == ["flinkx-job-attempt1-00000-000.txt", "flinkx-job-other-00000-000.txt"]


def test_another_try_replaces_what_a_try_had_published_that_could_not_tell(tmp_path: Path) -> None:
    given = parameter(tmp_path, fileType="text")
    for key, attempt in (("job", "a1"), ("job-a2", "00001"), ("jo", "a3"), ("job", "b-4")):
        write(given, writer_columns(), full_batch(), context=RunContext(key, attempt)).finish()
    write(given, writer_columns(), full_batch(), context=RunContext("job", "a5")).finish()
    assert len(visible(tmp_path)) == 5
    again = RunContext("job", "a6", take_finished=True)
    write(given, writer_columns(), full_batch(), full_batch(), context=again).finish()
    assert visible(tmp_path) == [
        "flinkx-jo-a3-00000-000.txt",
        "flinkx-job-a2-00001-00000-000.txt",
        "flinkx-job-a6-00000-000.txt",
        "flinkx-job-a6-00001-000.txt",
        "flinkx-job-b-4-00000-000.txt",
    ]


def test_a_run_that_could_not_be_planned_is_cleaned_up(tmp_path: Path) -> None:
    given = parameter(tmp_path, fileType="text")
    write(given, writer_columns(), full_batch(), context=run_of("1"))
    make_writer(given, writer_columns(), RunContext("job", "attempt1")).abort()
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_is_begun_at_the_largest_size(tmp_path: Path) -> None:
    writer = make_writer(parameter(tmp_path, fileType="text", maxFileSize=100), writer_columns())
    writer.prepare(SCHEMA)
    split = writer.open(Split(0), SCHEMA)
    for _ in range(3):
        split.write(full_batch())
    split.commit()
    writer.finish()
    assert len(visible(tmp_path)) == 3


def test_full_columns_put_nulls_where_the_job_names_none(tmp_path: Path) -> None:
    given = parameter(
        tmp_path,
        fileType="parquet",
        fullColumnName=["c", "B", "a"],
        fullColumnType=["decimal(5,2)", "string", "bigint"],
    )
    batch = pa.RecordBatch.from_arrays([pa.array([1]), pa.array(["x"])], names=["x", "y"])
    write(given, (Column(name="a", type="int"), Column(name="b", type="string")), batch).finish()
    table = pq.read_table(tmp_path / visible(tmp_path)[0])
    assert table.to_pylist() == [{"c": None, "B": "x", "a": 1}]
    assert table.schema.types == [pa.decimal128(5, 2), pa.string(), pa.int64()]


@pytest.mark.parametrize(
    ("more", "columns", "message"),
    [
        ({"fileType": "text"}, (Column(name="a", type="nosuch"),), "nosuch"),
        ({"fileType": "orc"}, (Column(name="a", type="time"),), "ORC has no type"),
        (
            {"fileType": "text"},
            (Column(name="a", type="int"), Column(name="b", type="int")),
            "the reader has 1 columns",
        ),
        ({"fileType": "text", "fullColumnName": ["b"]}, (Column(name="a", type="int"),), "not in fullColumnName"),
    ],
)
def test_columns_that_do_not_fit_are_named(
    tmp_path: Path, more: dict[str, Any], columns: tuple[Column, ...], message: str
) -> None:
    with pytest.raises(JobInvalidError, match=message):
        make_writer(parameter(tmp_path, **more), columns).prepare(pa.schema([("x", pa.int64())]))


@pytest.mark.parametrize(
    ("file_type", "compress"), [("text", "lzo"), ("orc", "bzip"), ("parquet", "lzo"), ("csv", None)]
)
def test_unknown_compression_and_format(tmp_path: Path, file_type: str, compress: str | None) -> None:
    with pytest.raises(JobInvalidError, match=r"lzo|bzip|csv"):
        make_writer(parameter(tmp_path, fileType=file_type, compress=compress), ())


def test_paths_globs_hidden_files_and_filters(tmp_path: Path) -> None:
    for name in ("a/1.csv", "a/sub/2.csv", "b/3.csv", "b/4.txt", "c/5.csv", "a/_tmp/6.csv", "a/.7.csv", "b/_8.csv"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name[-5])

    def found(path: str, **more: Any) -> str:
        given = parameter(tmp_path, fileType="text", **more) | {"path": path}
        return "".join(sorted(row["0"] for row in values(read(given))))

    assert found(f"{tmp_path}/a,{tmp_path}/b") == "1234"
    assert found(f"{tmp_path}/*/[13].csv") == "13"
    assert found(f"{tmp_path}/{{a,c}}") == "125"
    assert found(str(tmp_path), filterRegex=r"\d\.csv") == "1235"
    assert found(str(tmp_path), fileName="b") == "34"
    assert found(f"{tmp_path}/a/_tmp/6.csv") == "6"
    with pytest.raises(NotFoundError, match="no file matches"):
        found(f"{tmp_path}/x*")
    with pytest.raises(NotFoundError, match="nosuch"):
        found(f"{tmp_path}/nosuch")


def test_partition_values_come_from_the_path(tmp_path: Path) -> None:
    for part, text in (("dt=2020-01-31/x=a%2Fb", "1"), ("dt=__HIVE_DEFAULT_PARTITION__/x=c", "2")):
        (tmp_path / part).mkdir(parents=True)
        (tmp_path / part / "f").write_text(text)
    columns = (
        Column(index=0, type="int"), Column(name="DT", type="date", is_part=True), Column(name="x", is_part=True),
        Column(value="k"),
    )  # fmt: skip
    assert sorted(values(read(parameter(tmp_path, fileType="text"), *columns)), key=lambda row: row["0"]) == [
        {"0": 1, "DT": date(2020, 1, 31), "x": "a/b", "val_k": "k"},
        {"0": 2, "DT": None, "x": "c", "val_k": "k"},
    ]


@pytest.mark.parametrize("file_type", ["text", "parquet", "orc"])
def test_splits_cover_every_row_once(tmp_path: Path, file_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "_SMALLEST_SPLIT_BYTES", 2000)
    rows = list(range(20_000))
    table = pa.table({"a": rows, "b": [f"text {row * 7919}" for row in rows]})
    if file_type == "text":
        (tmp_path / "f.txt").write_text("".join(f"{row}|text {row * 7919}\n" for row in rows))
        (tmp_path / "g.txt.gz").write_bytes(gzip.compress(b"20000|x\n") + gzip.compress(b"20001|y"))
        rows += [20_000, 20_001]
    elif file_type == "parquet":
        pq.write_table(table, tmp_path / "f.parquet", row_group_size=700)
    else:
        writer = orc.ORCWriter(str(tmp_path / "f.orc"), stripe_size=4096, batch_size=256)
        for start in range(0, len(rows), 1000):
            writer.write(table.slice(start, 1000))
        writer.close()
    given = parameter(tmp_path, fileType=file_type, fieldDelimiter="|")
    column = Column(index=0, type="bigint") if file_type == "text" else Column(name="A")
    made = HDFSReader(given, (column,), RunContext("job", "r", channels=4))
    splits = made.splits()
    assert len(splits) > 4
    assert (
        sorted(row for split in splits for batch in made.read(split) for row in batch.rows.column(0).to_pylist())
        == rows
    )


def test_small_files_share_a_split(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number}").write_text(f"{number}\n")
    made = HDFSReader(parameter(tmp_path, fileType="text"), (), RunContext("job", "r", channels=2))
    assert len(made.splits()) == 1
    assert len(values(read(parameter(tmp_path, fileType="text")))) == 50


def test_text_rules(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\xef\xbb\xbf1|a|\\N\r\n2\nx|b|c\n|d|\n\xff|e|f\n")
    columns = (Column(index=0, type="int"), Column(index=2, value="none"), Column(index=9))
    (batch,) = read(parameter(tmp_path, fileType="text", fieldDelimiter="|"), *columns)
    assert [tuple(row.values()) for row in batch.rows.to_pylist()] == [
        (1, "none", None),
        (2, "none", None),
        (None, "", None),
    ]
    assert sorted(reject.message.split(": ")[-1][:15] for reject in batch.rejects) == [
        "'x' of type str",
        "invalid start b",
    ]


def test_other_encodings(tmp_path: Path) -> None:
    for encoding in ("GBK", "UTF-16", "ISO-8859-1"):
        text = "é" if encoding == "ISO-8859-1" else "中"
        given = parameter(tmp_path / encoding, fileType="text", encoding=encoding)
        batch = pa.RecordBatch.from_arrays([pa.array([text, None]), pa.array(["x", "y"])], names=["a", "b"])
        write(given, (Column(name="a", type="string"), Column(name="b", type="string")), batch).finish()
        assert (tmp_path / encoding / visible(tmp_path / encoding)[0]).read_bytes().decode(
            encoding
        ) == f"{text}\x01x\n\\N\x01y\n"
        assert [tuple(row.values()) for row in values(read(given))] == [(text, "x"), (None, "y")]


def test_star_rejects_lines_and_refuses_files_with_more(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "f").write_text("1|2\n1|2|3\n4\n")
    (batch,) = read(parameter(tmp_path / "t", fileType="text", fieldDelimiter="|"))
    assert batch.rows.to_pylist() == [{"0": "1", "1": "2"}, {"0": "4", "1": None}]
    assert [reject.row for reject in batch.rejects] == [{"line": "1|2|3"}]
    pq.write_table(pa.table({"a": [1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": [1], "b": [1]}), tmp_path / "2.parquet")
    with pytest.raises(DataError, match=r"2\.parquet: has the columns b"):
        read(parameter(tmp_path, fileType="parquet", filterRegex=".*parquet"))


def test_columns_by_name_differing_types_and_missing_ones(tmp_path: Path) -> None:
    pq.write_table(pa.table({"A": [1, 2]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": ["3", "x"], "b": [1, 1]}), tmp_path / "2.parquet")
    batches = read(
        parameter(tmp_path, fileType="parquet"), Column(name="a"), Column(name="c", value="v"), Column(name="d")
    )
    assert [row for batch in batches for row in batch.rows.to_pylist()] == [
        {"a": at, "c": "v", "d": None} for at in (1, 2, 3)
    ]
    assert [reject.row["a"] for batch in batches for reject in batch.rejects] == ["x"]


def test_nested_types_unreadable_compressions_and_changed_files_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [[1]]}), tmp_path / "1.parquet")
    with pytest.raises(DataError, match="column a has the type list"):
        read(parameter(tmp_path, fileType="parquet"))
    (tmp_path / "x.lzo").write_text("x")
    with pytest.raises(DataError, match=r"x\.lzo: this compression cannot be read"):
        read(parameter(tmp_path / "x.lzo", fileType="text"))
    (tmp_path / "f").write_text("1\n")
    made = HDFSReader(parameter(tmp_path / "f", fileType="text"), (), RunContext("job", "r"))
    (split,) = made.splits()
    (tmp_path / "f").write_text("1\n2\n")
    with pytest.raises(DataError, match="had 2 bytes"):
        list(made.read(split))
    (tmp_path / "g.gz").write_bytes(gzip.compress(b"1\n" * 1000)[:-9])
    with pytest.raises(DataError, match=r"g\.gz.*[Tt]runcated"):
        read(parameter(tmp_path / "g.gz", fileType="text"), Column(index=0))


def test_int96_times_of_any_year_are_exact_or_refused(tmp_path: Path) -> None:
    times = [datetime(9999, 12, 31, 23, 59, 59), datetime(1500, 1, 1), datetime(2020, 1, 1, 0, 0, 0, 1), None]
    seconds = pa.array([*times[:2], None], pa.timestamp("s"))
    pq.write_table(pa.table({"t": seconds}), tmp_path / "far", use_deprecated_int96_timestamps=True)
    assert [row["t"] for row in values(read(parameter(tmp_path / "far", fileType="parquet")))] == [*times[:2], None]
    exact = pa.array(times[2:], pa.timestamp("us"))
    pq.write_table(pa.table({"t": exact}), tmp_path / "near", use_deprecated_int96_timestamps=True)
    assert [row["t"] for row in values(read(parameter(tmp_path / "near", fileType="parquet")))] == times[2:]
    finer = pa.array([1], pa.int64()).view(pa.timestamp("ns"))
    pq.write_table(pa.table({"t": finer}), tmp_path / "finer", use_deprecated_int96_timestamps=True)
    with pytest.raises(DataError, match="finer than a microsecond"):
        read(parameter(tmp_path / "finer", fileType="parquet"))
