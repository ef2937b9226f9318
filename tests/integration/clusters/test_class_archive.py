"""Class data sharing: the first job has an archive of Java's classes made, the next ones start with it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flinkx.clusters.local import LocalCluster
from tests.servers import await_condition

JOB = {
    "job": {
        "setting": {"speed": {"channel": 1}},
        "content": [
            {
                "reader": {
                    "name": "streamreader",
                    "parameter": {"column": [{"name": "id", "type": "id"}], "sliceRecordCount": [1]},
                },
                "writer": {"name": "streamwriter", "parameter": {"print": False}},
            }
        ],
    }
}
MAKING_SECONDS = 300.0


class Runs:
    """Jobs with a cache folder of their own; `classes` is Java's own log of where it had its classes from."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache = folder / "cache"
        self.log: list[str] = []
        self._classes = folder / "classes.log"
        monkeypatch.setenv("XDG_CACHE_HOME", str(self.cache))
        monkeypatch.setenv("JDK_JAVA_OPTIONS", f"-Xlog:class+load:file={self._classes}::filecount=0")

    def run(self) -> dict[str, Any]:
        self.log.clear()
        return LocalCluster(log=self.log.append).run(JOB, job_key="archive")

    def shared_flink_classes(self) -> int:
        """How many of Flink's classes the last JVM had from an archive."""
        lines = self._classes.read_text(errors="replace").splitlines()
        return sum(" org.apache.flink." in line and "source: shared objects file" in line for line in lines)

    @property
    def archives(self) -> list[Path]:
        return list(self.cache.glob("airflow-provider-flinkx/*.jsa"))

    def await_archive(self) -> Path:
        folder = self.cache / "airflow-provider-flinkx"
        await_condition(lambda: not list(folder.glob("*.classes")), MAKING_SECONDS, "the maker has ended")
        (archive,) = self.archives
        return archive


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    runs = Runs(tmp_path, monkeypatch)
    yield runs
    # Nobody makes an archive in a folder that the test removes.
    if runs.cache.is_dir():
        folder = runs.cache / "airflow-provider-flinkx"
        await_condition(lambda: not list(folder.glob("*.classes")), MAKING_SECONDS, "the maker has ended")


def processes_with(folder: Path) -> list[str]:
    """Living processes that name the folder in their arguments."""
    listing = subprocess.run(["ps", "-e", "-o", "stat=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if not line.startswith("Z") and str(folder) in line]


def test_an_archive_is_made_once_used_later_and_tolerated_when_broken(runs: Runs) -> None:
    runs.run()
    assert runs.shared_flink_classes() == 0
    assert any("makes an archive" in line for line in runs.log)
    archive = runs.await_archive()
    await_condition(lambda: not processes_with(archive.parent), 10, "the maker is gone")
    made = archive.stat().st_ino

    runs.run()
    assert runs.shared_flink_classes() > 1000
    assert runs.archives == [archive]
    assert archive.stat().st_ino == made
    assert not any("archive" in line and "JDK_JAVA_OPTIONS" not in line for line in runs.log)

    # Java sees that it is none, and goes on without.
    archive.chmod(0o600)
    whole = archive.read_bytes()
    archive.write_bytes(b"no archive at all")
    assert runs.run()["state"] == "FINISHED"

    # Java ends when it is cut.
    archive.write_bytes(whole[: len(whole) // 2])
    assert runs.run()["state"] == "FINISHED"
    assert runs.shared_flink_classes() == 0
    assert len([line for line in runs.log if "which is removed" in line]) == 1
    assert runs.archives == []


def test_a_cache_folder_that_cannot_be_made_is_said_once(runs: Runs) -> None:
    runs.cache.write_text("a file in its place")
    assert runs.run()["state"] == "FINISHED"
    assert len([line for line in runs.log if "no archive of Java's classes" in line]) == 1
