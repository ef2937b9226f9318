"""Files of many tables: a directory for each, and one publication for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_flinkx.exceptions import DataError, JobInvalidError
from airflow_provider_flinkx.plugins.base import Reader, RunContext, Split
from airflow_provider_flinkx.plugins.files.publication import Publication
from airflow_provider_flinkx.plugins.hdfs.writer import HDFSWriter

SCHEMA = pa.schema([("id", pa.int64())])
TABLES = ("a", "b", "c")


class Source(Reader):
    """A reader of which only the schema is asked."""

    schema = SCHEMA

    def splits(self) -> Sequence[Split]:
        raise NotImplementedError

    def read(self, split: Split) -> Any:
        raise NotImplementedError


class Files:
    """The writers of one attempt of a job; one split for each table."""

    def __init__(self, path: str, attempt: str, tables: Sequence[str] = TABLES, **parameter: Any) -> None:
        self.parameter = {"defaultFS": "file:///", "path": path, "fileType": "parquet", **parameter}
        self.context = RunContext("job", attempt)
        self.tables = tables

    def writer(self, *tables: str) -> HDFSWriter:
        return HDFSWriter(self.parameter, (), replace(self.context, tables=tables))

    def prepare(self, schema: pa.Schema = SCHEMA) -> None:
        source = Source({}, (), self.context)
        source.schema = schema  # type: ignore[misc]
        HDFSWriter.prepare_all([(self.writer(table), source) for table in self.tables])

    def write(self) -> HDFSWriter:
        """Prepare and write; gives the writer that ends the job."""
        self.prepare()
        for number, table in enumerate(self.tables):
            split = self.writer(table).open(Split(number, table=number), SCHEMA)
            split.write(pa.record_batch([pa.array([number])], SCHEMA))
            split.commit()
        return self.writer(*self.tables)


def found(directory: Path) -> dict[str, int]:
    """How many files each table has, and what else there is, hidden or not."""
    return {
        str(path.relative_to(directory)): len(list(path.glob("*.parquet"))) if path.is_dir() else 1
        for path in directory.rglob("*")
        if path.is_dir() or path.suffix != ".parquet"
    }


def break_moves(patch: pytest.MonkeyPatch) -> None:
    """Let publication fail once the third directory has its file."""
    move_all = Publication._move_all

    def fail(self: Publication, entries: list[Any], directory: str) -> None:
        move_all(self, entries, directory)
        if directory.endswith("/c"):
            raise OSError("broken on purpose")

    patch.setattr(Publication, "_move_all", fail)


def test_each_table_has_a_directory(tmp_path: Path) -> None:
    writer = Files(f"{tmp_path}/lake/ods_{{table}}", "1", fileName="day=1").write()
    assert {path.name for path in (tmp_path / "lake").iterdir()} == {".flinkx-job~1~", "ods_a", "ods_b", "ods_c"}
    assert not list(tmp_path.glob("lake/ods_*/day=1/*"))
    writer.finish()
    assert found(tmp_path / "lake") == {
        name: count for table in TABLES for name, count in ((f"ods_{table}", 0), (f"ods_{table}/day=1", 1))
    }
    (file,) = (tmp_path / "lake" / "ods_b" / "day=1").iterdir()
    assert pq.read_table(file).to_pylist() == [{"id": 1}]


@pytest.mark.parametrize(("mode", "files"), [("append", 2), ("overwrite", 1)])
def test_the_mode_holds_in_each_directory(tmp_path: Path, mode: str, files: int) -> None:
    for attempt in "12":
        Files(f"{tmp_path}/{{table}}", attempt, writeMode=mode).write().finish()
    assert found(tmp_path) == dict.fromkeys(TABLES, files)


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_all_are_published_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    path = f"{tmp_path}/{{table}}"
    Files(path, "old", writeMode=mode).write().finish()
    before = sorted(tmp_path.rglob("*.parquet"))
    writer = Files(path, "1", writeMode=mode).write()
    break_moves(monkeypatch)
    with pytest.raises(DataError, match="broken on purpose"):
        writer.finish()
    writer.abort()
    assert sorted(tmp_path.rglob("*.parquet")) == before
    assert found(tmp_path) == dict.fromkeys(TABLES, 1)


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_what_was_broken_off_is_undone_by_the_next_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Also in the directory of a table that the next attempt does not read."""
    path = f"{tmp_path}/{{table}}"
    for table in TABLES:
        (tmp_path / table).mkdir()
        (tmp_path / table / "old").touch()
    with monkeypatch.context() as patch:
        break_moves(patch)
        patch.setattr(Publication, "_undo", lambda *_: None)
        with pytest.raises(DataError, match="broken on purpose"):
            Files(path, "1", writeMode=mode).write().finish()
    assert (tmp_path / "a" / "old").exists() == (mode == "append")
    Files(path, "2", ("b", "c"), writeMode=mode).prepare()
    assert not (tmp_path / ".flinkx-job~1~").exists()
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["old", "old", "old"]


def test_what_was_published_stays_when_only_cleaning_up_was_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{tmp_path}/{{table}}"
    writer = Files(path, "1").write()
    with monkeypatch.context() as patch:
        patch.setattr(Publication, "_delete", lambda *_: pytest.fail("the process dies here"))
        with pytest.raises(pytest.fail.Exception):
            writer.finish()
    Files(path, "2").write().finish()
    assert found(tmp_path) == dict.fromkeys(TABLES, 2)


def test_a_job_that_ended_before_its_tables_were_known_leaves_nothing(tmp_path: Path) -> None:
    files = Files(f"{tmp_path}/{{table}}", "1")
    files.write()
    files.writer().abort()
    assert found(tmp_path) == dict.fromkeys(TABLES, 0)


def test_names_that_no_directory_can_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(JobInvalidError, match="table 'x/y' has a name that no directory can have"):
        Files(f"{tmp_path}/{{table}}", "1", ("a", "x/y", "..")).prepare()
    assert found(tmp_path) == {}


def test_columns_that_cannot_be_written_are_told_for_each_table(tmp_path: Path) -> None:
    files = Files(f"{tmp_path}/{{table}}", "1", ("a", "b"))
    twice = pa.schema([("id", pa.int64()), ("ID", pa.int64())])
    with pytest.raises(JobInvalidError) as caught:
        files.prepare(twice)
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["table a"] * 2 + ["table b"] * 2
    assert found(tmp_path) == {}


@pytest.mark.parametrize("file_type", ["parquet", "orc"])
def test_all_columns_have_the_types_of_the_source(tmp_path: Path, file_type: str) -> None:
    source = pa.schema([
        ("tiny", pa.int8()), ("big", pa.uint64()), ("unsigned", pa.uint8()), ("digits", pa.decimal128(12, 2)),
        ("many_digits", pa.decimal256(50, 2)), ("at", pa.timestamp("ns")), ("time", pa.time64("us")),
        ("text", pa.string()), ("bytes", pa.binary()), ("day", pa.date32()), ("ok", pa.bool_()),
        ("single", pa.float32()),
    ])  # fmt: skip
    writer = Files(str(tmp_path), "1", fileType=file_type).writer()
    written = {field.name: field.type for field in writer.columns_of(source).target}
    assert written == {
        **{field.name: field.type for field in source},
        "big": pa.decimal128(20, 0), "unsigned": pa.int16(), "many_digits": pa.string(), "at": pa.timestamp("us"),
        "time": pa.time64("us") if file_type == "parquet" else pa.string(),
    }  # fmt: skip
    instant = pa.schema([("at", pa.timestamp("us", "UTC"))])
    assert writer.columns_of(instant).target.field("at").type == pa.timestamp("us")
