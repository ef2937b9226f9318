from __future__ import annotations

import getpass
from collections.abc import Mapping
from pathlib import Path

import pytest

from airflow_provider_flinkx.clusters.hadoop_configuration import read_hadoop_configuration
from airflow_provider_flinkx.exceptions import JobFileError
from tests.yarn_cluster import write_site


def _read(folder: Path, settings: Mapping[str, object], environment: Mapping[str, str] | None = None) -> dict[str, str]:
    write_site(folder / "yarn-site.xml", settings)
    return read_hadoop_configuration(folder, environment or {})


def test_yarn_site_goes_before_core_site(tmp_path: Path) -> None:
    write_site(tmp_path / "core-site.xml", {"a": "core", "b": "core"})

    assert _read(tmp_path, {"a": "yarn"}) == {"a": "yarn", "b": "core"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${host}:8088", "rm1:8088"),
        ("${address}", "rm1:8088"),
        ("${env.RM}", "rm2"),
        ("${env.NONE:-rm3}", "rm3"),
        ("${env.NONE-rm3}", "rm3"),
        ("${env.RM:-rm3}-${host}", "rm2-rm1"),
        ("${user.name}", getpass.getuser()),
        ("${unknown}", "${unknown}"),
        ("${env.NONE}", "${env.NONE}"),
        ("${unknown}.${host}", "${unknown}.rm1"),
    ],
)
def test_variables(tmp_path: Path, value: str, expected: str) -> None:
    settings = {"host": "rm1", "address": "${host}:8088", "value": value}

    assert _read(tmp_path, settings, {"RM": "rm2"})["value"] == expected


def test_a_variable_of_itself_ends(tmp_path: Path) -> None:
    assert _read(tmp_path, {"a": "${a}"}) == {"a": "${a}"}


def test_folder_without_yarn_site(tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match=f"no yarn-site.xml in {tmp_path}"):
        read_hadoop_configuration(tmp_path)


def test_file_that_is_no_xml(tmp_path: Path) -> None:
    (tmp_path / "yarn-site.xml").write_text("<configuration>")

    with pytest.raises(JobFileError, match=r"yarn-site.xml is not readable: no element found: line 1"):
        read_hadoop_configuration(tmp_path)


def test_file_that_includes_another(tmp_path: Path) -> None:
    (tmp_path / "yarn-site.xml").write_text(
        '<configuration xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="more.xml"/></configuration>'
    )

    with pytest.raises(JobFileError, match="includes another file, which is not supported"):
        read_hadoop_configuration(tmp_path)
