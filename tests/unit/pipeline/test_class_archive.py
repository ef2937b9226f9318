"""Names, places and lists of class archives; `tests/integration/clusters` has the archives themselves."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_flinkx.pipeline.class_archive import Jvm, archivable, cache_folder, find_class_archive, make


@pytest.fixture
def jvm(tmp_path: Path) -> Jvm:
    files = [tmp_path / name for name in ("java", "a.jar", "b.jar")]
    for file in files:
        file.write_text(file.name)
    run = tmp_path / "run-1"
    run.mkdir()
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "JDK_JAVA_OPTIONS": f"-Xmx1m -Djava.io.tmpdir={run}"}
    return Jvm(files[0], (files[1], files[2]), environment, "local", run)


def test_the_folder_of_a_run_changes_no_name(jvm: Jvm, tmp_path: Path) -> None:
    folder = tmp_path / "run-2"
    options = f"-Xmx1m -Djava.io.tmpdir={folder}"
    other = replace(jvm, folder=folder, environment={**jvm.environment, "JDK_JAVA_OPTIONS": options})
    assert other.name() == jvm.name()


def test_all_that_must_fit_is_in_the_name(jvm: Jvm) -> None:
    names = {jvm.name()}
    names.add(replace(jvm, purpose="client").name())
    names.add(replace(jvm, class_path=tuple(reversed(jvm.class_path))).name())
    names.add(replace(jvm, environment={**jvm.environment, "JDK_JAVA_OPTIONS": "-Xmx2m"}).name())
    names.add(replace(jvm, environment={**jvm.environment, "_JAVA_OPTIONS": "-Xmx2m"}).name())
    jvm.class_path[0].write_text("another version")
    names.add(jvm.name())
    os.utime(jvm.java, (1, 1))
    names.add(jvm.name())
    assert len(names) == 7


def test_what_changes_with_each_run_is_not_archived() -> None:
    lines = "java/lang/Object id: 0\nA id: 7 super: 0 source: /tmp/x.jar\n@lambda-proxy B run\nC id: 8\norg/cu"
    assert archivable(lines) == "java/lang/Object id: 0\n@lambda-proxy B run\nC id: 8\n"


def test_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder({"XDG_CACHE_HOME": "/some/where"}) == Path("/some/where/airflow-provider-flinkx")
    assert cache_folder({"XDG_CACHE_HOME": "relative"}) == tmp_path / ".cache/airflow-provider-flinkx"
    assert cache_folder({}) == tmp_path / ".cache/airflow-provider-flinkx"


def test_options_say_write_down_then_use(jvm: Jvm) -> None:
    archive = find_class_archive(jvm)
    assert archive is not None
    assert archive.options() == [f"-XX:DumpLoadedClassList={jvm.folder}/classes"]
    archive.file.write_text("made")
    archive = find_class_archive(jvm)
    assert archive is not None
    assert archive.options() == ["-Xshare:auto", f"-XX:SharedArchiveFile={archive.file}"]


def test_an_archive_of_the_user_is_left_alone(jvm: Jvm) -> None:
    environment = {**jvm.environment, "JDK_JAVA_OPTIONS": "-XX:SharedArchiveFile=mine.jsa"}
    assert find_class_archive(replace(jvm, environment=environment)) is None


def test_a_java_that_cannot_is_not_asked_again_for_a_day(jvm: Jvm, tmp_path: Path) -> None:
    archive = find_class_archive(jvm)
    assert archive is not None
    classes = tmp_path / "list"
    classes.write_text("A\n")
    make("/bin/false", "a.jar", classes, archive.file)
    assert not classes.exists()
    again = find_class_archive(jvm)
    assert again is not None
    assert again.options() == []
    yesterday = time.time() - 25 * 3600
    os.utime(archive.file, (yesterday, yesterday))
    again = find_class_archive(jvm)
    assert again is not None
    assert again.options() == [f"-XX:DumpLoadedClassList={jvm.folder}/classes"]


def test_archives_that_nobody_uses_are_removed(jvm: Jvm, tmp_path: Path) -> None:
    archive = find_class_archive(jvm)
    assert archive is not None
    old, recent = archive.file.with_name("old.jsa"), archive.file.with_name("recent.jsa")
    for file in (old, recent):
        file.write_text("x")
    os.utime(old, (1, 1))
    classes = tmp_path / "list"
    classes.write_text("A\n")
    make("/bin/false", "a.jar", classes, archive.file)
    assert not old.exists()
    assert recent.exists()
