from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_flinkx.exceptions import ConnectionFailedError, DataError, MissingDriverError
from airflow_provider_flinkx.jobs.model import Dirty
from airflow_provider_flinkx.pipeline.dirty import RejectFiles
from airflow_provider_flinkx.plugins.base import Category, Reject
from airflow_provider_flinkx.plugins.files import filesystem

REJECT = Reject({"id": 7, "name": "a\nä\x01", "gone": None}, Category.DUPLICATE, "key 7 is there")


def test_json_lines_are_on_disk_after_each_write(tmp_path: Path) -> None:
    files = RejectFiles(Dirty(path=str(tmp_path)), "job1", "Asia/Shanghai")
    file = files.open(3)
    file.write([REJECT, REJECT])
    assert file.path == f"{tmp_path}/job1/00003.jsonl"
    entries = [json.loads(line) for line in Path(file.path).read_text("utf-8").splitlines()]
    assert len(entries) == 2
    assert entries[0]["row"] == REJECT.row
    assert (entries[0]["category"], entries[0]["message"]) == ("duplicate", "key 7 is there")
    assert entries[0]["time"].endswith("+08:00")
    file.write([REJECT])
    assert len(Path(file.path).read_text("utf-8").splitlines()) == 3
    file.close()


def test_a_split_without_rejects_has_no_file(tmp_path: Path) -> None:
    files = RejectFiles(Dirty(path=str(tmp_path / "x")), "job1", "UTC")
    file = files.open(0)
    file.write([])
    file.close()
    assert files.files() == []
    assert not (tmp_path / "x").exists()


def test_without_path_nothing_is_written() -> None:
    files = RejectFiles(Dirty(), "job1", "UTC")
    file = files.open(0)
    file.write([REJECT])
    file.close()
    assert file.path is None
    assert files.files() == []
    assert files.count() == 0


def test_files_and_count_see_this_job_only(tmp_path: Path) -> None:
    for job, split in (("job1", 0), ("job1", 1), ("job2", 0)):
        file = RejectFiles(Dirty(path=f"file://{tmp_path}"), job, "UTC").open(split)
        file.write([REJECT] * (split + 1))
        file.close()
    files = RejectFiles(Dirty(path=f"file://{tmp_path}"), "job1", "UTC")
    assert files.files() == [f"file://{tmp_path}/job1/00000.jsonl", f"file://{tmp_path}/job1/00001.jsonl"]
    assert files.count() == 3


def test_flinkx_format_has_four_columns(tmp_path: Path) -> None:
    files = RejectFiles(Dirty(path=str(tmp_path), format="flinkx"), "job1", "UTC")
    file = files.open(0)
    file.write([REJECT, Reject({}, Category.NULL, "n"), Reject({}, Category.OTHER, "o")])
    file.close()
    rows = [line.split("\x01") for line in files.lines()]
    assert json.loads(rows[0][0]) == {"id": 7, "name": "a\nä\x01"}
    assert [row[1] for row in rows] == ["duplicate", "npe", "other"]
    assert json.loads(rows[0][2]) == "key 7 is there"
    assert len(rows[0][3]) == len("2020-01-31 23:59:59")


def test_fsspec_url() -> None:
    files = RejectFiles(Dirty(path="memory://rejects"), "job1", "UTC")
    file = files.open(0)
    file.write([REJECT])
    file.close()
    assert files.count() == 1


def test_unknown_scheme_is_one_clear_line() -> None:
    with pytest.raises(MissingDriverError, match=r"nosuch://x/job1.*nosuch"):
        RejectFiles(Dirty(path="nosuch://x"), "job1", "UTC").open(0).write([REJECT])


def test_a_path_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    with pytest.raises(DataError, match=r"plain/job1"):
        RejectFiles(Dirty(path=str(tmp_path / "plain")), "job1", "UTC").open(0).write([REJECT])


def test_hadoop_config_names_the_file_system() -> None:
    settings = {
        "dfs.nameservices": "ns1",
        "dfs.ha.namenodes.ns1": "nn1,nn2",
        "dfs.namenode.rpc-address.ns1.nn1": "127.0.0.1:1",
        "dfs.namenode.rpc-address.ns1.nn2": "127.0.0.1:2",
    }
    with pytest.raises(ConnectionFailedError, match=r"hdfs://ns1: no NameNode answers: 127.0.0.1:1 .*127.0.0.1:2"):
        RejectFiles(Dirty(path="/rejects", hadoop_config=settings), "job1", "UTC").open(0).write([REJECT])


@pytest.mark.parametrize(
    ("authority", "settings", "expected"),
    [
        ("nn.example:9000", {}, [("nn.example", 9000)]),
        ("ns1", {}, []),
        ("ns1", {"dfs.ha.namenodes.ns1": "a", "dfs.namenode.rpc-address.ns1.a": "h:1"}, [("h", 1)]),
    ],
)
def test_namenodes(authority: str, settings: dict[str, str], expected: list[tuple[str, int]]) -> None:
    assert filesystem.namenodes(authority, settings) == expected
