"""hdfsreader, hdfswriter and rejected-row files on a real HDFS in high availability."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pytest

from airflow_provider_flinkx.exceptions import ConnectionFailedError, DataError, NotFoundError
from airflow_provider_flinkx.jobs.model import Column, Dirty
from airflow_provider_flinkx.pipeline.dirty import RejectFiles
from airflow_provider_flinkx.plugins.base import Category, Reject, RunContext, Split
from airflow_provider_flinkx.plugins.files.filesystem import connect
from airflow_provider_flinkx.plugins.hdfs.reader import HDFSReader
from airflow_provider_flinkx.plugins.hdfs.writer import HDFSWriter
from airflow_provider_flinkx.plugins.stream.reader import StreamReader
from tests.hdfs_server import HDFS
from tests.servers import await_condition

SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string())])
COLUMNS = (Column(name="id", type="bigint"), Column(name="text", type="string"))
BY_INDEX = (Column(index=0, type="bigint"), Column(index=1, type="string"))


@pytest.fixture
def parameter(hdfs: HDFS) -> dict[str, Any]:
    return {
        "defaultFS": hdfs.default_fs,
        "hadoopConfig": hdfs.hadoop_config,
        "path": f"/test/{uuid.uuid4().hex}/a#b c%41",
        "fileName": "pt=1",
    }


def batch(start: int, rows: int) -> pa.RecordBatch:
    ids = list(range(start, start + rows))
    return pa.RecordBatch.from_arrays([pa.array(ids), pa.array([f"ä{i}" for i in ids])], schema=SCHEMA)


def written(parameter: dict[str, Any], splits: int = 2, rows: int = 1000, key: str = "job") -> HDFSWriter:
    writer = HDFSWriter(parameter, COLUMNS, RunContext(key, uuid.uuid4().hex[:12]))
    writer.prepare(SCHEMA)
    for index in range(splits):
        split = writer.open(Split(index), SCHEMA)
        assert split.write(batch(index * rows, rows)).written == rows
        split.commit()
    return writer


def ids(parameter: dict[str, Any]) -> list[int]:
    columns = BY_INDEX if parameter["fileType"] == "text" else COLUMNS
    reader = HDFSReader(parameter, columns, RunContext("job", "r"))
    return sorted(i for s in reader.splits() for b in reader.read(s) for i in b.rows.column(0).to_pylist())


def visible(parameter: dict[str, Any]) -> list[str]:
    location = connect(parameter["defaultFS"], parameter["hadoopConfig"])
    found = location.filesystem.get_file_info(pafs.FileSelector(f"{parameter['path']}/{parameter['fileName']}"))
    return sorted(info.base_name for info in found)


@pytest.mark.parametrize(
    ("file_type", "compress"), [("text", "none"), ("text", "gzip"), ("orc", "snappy"), ("parquet", "")]
)
def test_round_trip(parameter: dict[str, Any], file_type: str, compress: str) -> None:
    parameter |= {"fileType": file_type, "compress": compress}
    writer = written(parameter)
    assert all(name.startswith(".") for name in visible(parameter))
    writer.finish()
    assert len(visible(parameter)) == 2
    assert ids(parameter) == list(range(2000))


def test_overwrite_replaces_and_append_adds(parameter: dict[str, Any]) -> None:
    parameter |= {"fileType": "parquet"}
    written(parameter).finish()
    written(parameter, splits=1).finish()
    assert ids(parameter) == sorted([*range(2000), *range(1000)])
    written(parameter | {"writeMode": "overwrite"}, splits=1).finish()
    assert ids(parameter) == list(range(1000))


def test_a_failed_job_leaves_nothing(parameter: dict[str, Any]) -> None:
    parameter |= {"fileType": "text"}
    written(parameter).abort()
    assert visible(parameter) == []


def test_each_table_has_a_directory(parameter: dict[str, Any]) -> None:
    tables = ("a", "b ä")
    given = {**parameter, "path": parameter["path"] + "/ods_{table}", "fileType": "parquet", "writeMode": "overwrite"}
    for attempt in "12":
        context = RunContext("job", attempt)
        writers = [HDFSWriter(given, (), dataclasses.replace(context, tables=(name,))) for name in tables]
        source = StreamReader({"sliceRecordCount": 1}, COLUMNS, context)
        HDFSWriter.prepare_all([(writer, source) for writer in writers])
        for number, writer in enumerate(writers):
            split = writer.open(Split(number), SCHEMA)
            split.write(batch(number * 10, 10))
            split.commit()
        HDFSWriter(given, (), dataclasses.replace(context, tables=tables)).finish()
    for number, name in enumerate(tables):
        each = {**given, "path": f"{parameter['path']}/ods_{name}"}
        assert len(visible(each)) == 1
        assert ids(each) == list(range(number * 10, number * 10 + 10))


def test_writing_goes_on_after_a_failover(hdfs: HDFS, parameter: dict[str, Any]) -> None:
    parameter |= {"fileType": "text"}
    writer = HDFSWriter(parameter, COLUMNS, RunContext("job", "a"))
    writer.prepare(SCHEMA)
    split = writer.open(Split(0), SCHEMA)
    split.write(batch(0, 60_000))
    hdfs.failover(1)
    try:
        split.write(batch(60_000, 60_000))
        split.commit()
        writer.finish()
        assert ids(parameter) == list(range(120_000))
    finally:
        hdfs.failover(0)


def test_rejected_rows_outlive_a_crash(hdfs: HDFS) -> None:
    directory = f"/rejects/{uuid.uuid4().hex}"
    files = RejectFiles(Dirty(path=directory, hadoop_config=hdfs.hadoop_config), "job", "UTC")
    file = files.open(0)
    file.write([Reject({"id": 1}, Category.NULL, "null")])
    file.write([Reject({"id": 2}, Category.NULL, "null")])
    # The writer never closes the file; HDFS does so when its lease ends, here at once.
    client = connect(hdfs.default_fs, hdfs.hadoop_config).filesystem.handler.client
    await_condition(lambda: client.recover_lease(f"{directory}/job/00000.jsonl"), 60, "lease recovery")
    assert files.count() == 2


def test_rejected_rows_are_listed(hdfs: HDFS) -> None:
    files = RejectFiles(Dirty(path=f"/rejects/{uuid.uuid4().hex}", hadoop_config=hdfs.hadoop_config), "job", "UTC")
    file = files.open(7)
    file.write([Reject({"id": 1}, Category.NULL, "null")])
    file.close()
    assert files.files() == [file.path]
    assert files.count() == 1


def test_errors_are_one_line_with_the_place(hdfs: HDFS, parameter: dict[str, Any]) -> None:
    parameter |= {"fileType": "text"}
    with pytest.raises(NotFoundError, match=r"hdfs://ns1/test/.*no such file"):
        HDFSReader(parameter, BY_INDEX, RunContext("job", "a")).splits()
    location = connect(hdfs.default_fs, hdfs.hadoop_config)
    location.filesystem.create_dir(parameter["path"])
    location.filesystem.open_output_stream(f"{parameter['path']}/pt=1").close()
    with pytest.raises(DataError, match="is a file"):
        written(parameter)
    with pytest.raises(ConnectionFailedError, match=r"hdfs://127\.0\.0\.1:1: no NameNode answers"):
        connect("hdfs://127.0.0.1:1", {})
    with pytest.raises(ConnectionFailedError, match=r"dfs\.nameservices"):
        HDFSReader(
            parameter | {"defaultFS": "hdfs://nosuch", "hadoopConfig": {}}, BY_INDEX, RunContext("j", "a")
        ).splits()
