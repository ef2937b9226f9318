from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flinkx import cli
from airflow_provider_flinkx.cli_progress import ProgressBar, progress_display
from airflow_provider_flinkx.clusters import local
from airflow_provider_flinkx.exceptions import ErrorLimitExceededError, FlinkXError, JobFailedError
from tests.unit.jobs.builders import HDFS_READER, POSTGRESQL_WRITER, STREAM_WRITER, job, with_parameter

READER = {"name": "streamreader", "parameter": {"column": [{"name": "a", "type": "${type}"}], "sliceRecordCount": 5}}
REPORT = {
    "state": "FINISHED",
    "numRead": 1000,
    "numWrite": 999,
    "nErrors": 1,
    "rowsPerSecond": 50,
    "seconds": 20.0,
    "splits": 4,
    "splitsDone": 4,
    "dirty_data": {
        "path": "/tmp/bad",
        "files": ["/tmp/bad/x/0.json"],
        "samples": [{"category": "null", "message": "a is null", "row": {"a": None}}],
    },
}


class FakeCluster:
    """Stands in for the mini-cluster: remembers what it was asked and ends as it was told."""

    outcome: FlinkXError | BaseException | Mapping[str, Any] = REPORT
    asked: Mapping[str, Any] = {}

    def __init__(self, log: Callable[[str], None] | None = None) -> None:
        self.log = log

    def run(
        self, document: Mapping[str, Any], *, job_key: str, on_progress: Callable[..., None], warnings: Sequence[str]
    ) -> Mapping[str, Any]:
        FakeCluster.asked = {"document": document, "job_key": job_key, "warnings": list(warnings)}
        if self.log:
            self.log("a line of [Flink]")
        for _ in range(2):
            on_progress({**REPORT, "state": "RUNNING", "splitsDone": 2})
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> type[FakeCluster]:
    monkeypatch.setattr(local, "LocalCluster", FakeCluster)
    monkeypatch.setattr(FakeCluster, "outcome", REPORT)
    monkeypatch.setattr(FakeCluster, "asked", {})
    return FakeCluster


@pytest.fixture
def job_file(tmp_path: Path) -> str:
    path = tmp_path / "my job.json"
    path.write_text("// lenient\n" + json.dumps(job(READER, STREAM_WRITER)))
    return str(path)


@pytest.fixture
def bad_file(tmp_path: Path) -> str:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(job(with_parameter(HDFS_READER, path=..., pth="/x"), POSTGRESQL_WRITER)))
    return str(path)


@pytest.mark.parametrize("form", ["launcher", "readable"])
def test_run(form: str, cluster: type[FakeCluster], job_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-mode", "local", "-job", job_file] if form == "launcher" else ["run", job_file]
    assert cli.main([*words, "-p", "type=int"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "FINISHED: 1,000 rows read, 999 written, 1 rejected, 50 rows/s, 4 of 4 splits, 20.0 s",
        "rejected (null): a is null",
        "rejected rows are in /tmp/bad",
    ]
    assert err == "RUNNING 1,000 rows read, 999 written, 1 rejected, 50 rows/s, 2 of 4 splits\n"
    reader = cluster.asked["document"]["job"]["content"][0]["reader"]
    assert reader["parameter"]["column"] == [{"name": "a", "type": "int"}]
    assert cluster.asked["warnings"] == []


def test_each_run_has_a_key_of_its_own(cluster: type[FakeCluster], job_file: str) -> None:
    keys = set()
    for _ in range(2):
        cli.main(["run", job_file])
        keys.add(cluster.asked["job_key"])
    assert len(keys) == 2
    assert all(key.startswith("my-job-") for key in keys)
    cli.main(["-job", job_file, "-jobid", "Flink Job/" + "x" * 300])
    assert cluster.asked["job_key"].startswith("Flink-Job-xxx")
    assert len(cluster.asked["job_key"]) == 200


def test_json_prints_the_report_alone(
    cluster: type[FakeCluster], job_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "--json", "--verbose", job_file]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == REPORT
    assert "a line of [Flink]\n" in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ErrorLimitExceededError("2 rows were rejected, errorLimit.record allows 1"), 3),
        (JobFailedError("lost connection to db:3306"), 1),
    ],
)
def test_failed_run_shows_report_and_reason(
    cluster: type[FakeCluster],
    monkeypatch: pytest.MonkeyPatch,
    job_file: str,
    capsys: pytest.CaptureFixture[str],
    error: FlinkXError,
    code: int,
) -> None:
    error.report = {**REPORT, "state": "FAILED"}
    monkeypatch.setattr(cluster, "outcome", error)
    assert cli.main(["run", job_file, "--json"]) == code
    out, err = capsys.readouterr()
    assert json.loads(out) == error.report
    assert err.splitlines()[-1] == f"flinkx: error: {error}"


def test_interrupted_run(
    cluster: type[FakeCluster], monkeypatch: pytest.MonkeyPatch, job_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "outcome", KeyboardInterrupt())
    assert cli.main(["run", job_file]) == 130
    assert capsys.readouterr().out == ""


def test_launcher_flags_without_effect_are_told_in_one_line(
    cluster: type[FakeCluster], job_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-plugin", "a", "-flinkconf", "b", "-yarnconf", "c", "-confProp", '{"x": 1}', "-queue", "q", "-s", "d"]
    assert cli.main(["-mode", "local", "-job", job_file, *words, "-p", "type=int"]) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert warnings == ["flinkx: warning: without effect here: -plugin -flinkconf -yarnconf -queue -confProp -s"]


@pytest.mark.parametrize("mode", ["standalone", "yarn", "yarnPer"])
def test_other_modes_are_refused(mode: str, job_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["-mode", mode, "-job", job_file]) == 2
    assert capsys.readouterr().err == f"flinkx: error: -mode {mode} is not in this version; use -mode local\n"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-mode", "local"],
        ["-job"],
        ["-mode", "mars", "-job", "x"],
        ["-jo", "x"],
        ["run"],
        ["validate"],
        ["fly"],
        ["run", "x", "-p", "novalue"],
        ["run", "x", "-p", "=1"],
    ],
)
def test_wrong_usage_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert "usage: flinkx" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["-p", "a=1,b=2"], {"a": "1", "b": "2"}),
        (["-p", "a=1", "-p", "b=2"], {"a": "1", "b": "2"}),
        (["-p", "where=id in (1,2),day.of=x=y"], {"where": "id in (1,2)", "day.of": "x=y"}),
        (["-p", "a="], {"a": ""}),
    ],
)
def test_placeholder_values(
    cluster: type[FakeCluster], tmp_path: Path, words: list[str], values: dict[str, str]
) -> None:
    path = tmp_path / "job.json"
    constants = [{"name": name, "value": f"${{{name}}}"} for name in values]
    path.write_text(
        json.dumps(
            job({"name": "streamreader", "parameter": {"column": constants, "sliceRecordCount": 1}}, STREAM_WRITER)
        )
    )
    assert cli.main(["run", str(path), *words]) == 0
    columns = cluster.asked["document"]["job"]["content"][0]["reader"]["parameter"]["column"]
    assert {column["name"]: column["value"] for column in columns} == values


def test_bad_job_is_not_run(cluster: type[FakeCluster], bad_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", bad_file]) == 2
    out, err = capsys.readouterr()
    assert (out, cluster.asked) == ("", {})
    assert err.splitlines() == [
        "flinkx: error: job.content[0].reader.parameter.path: is missing",
        "flinkx: error: job.content[0].reader.parameter.pth: unknown key, ignored; did you mean 'path'? (warning)",
    ]


def test_connection_reference_is_refused(
    cluster: type[FakeCluster], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job(with_parameter(HDFS_READER, connectionId="mine"))))
    assert cli.main(["validate", str(path)]) == 0
    assert cli.main(["run", str(path)]) == 2
    assert "job.content[0].reader.parameter.connectionId: 'mine': Airflow's conn" in capsys.readouterr().err


def test_validate_tells_about_every_file(job_file: str, bad_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    missing = f"{bad_file}.none"
    assert cli.main(["validate", job_file, bad_file, missing]) == 2
    assert capsys.readouterr().out.splitlines() == [
        f"{job_file}: valid",
        "  warning: job.content[0].reader.parameter.column[0].type: unknown type '${type}', values are not converted",
        f"{bad_file}: not valid",
        "  error: job.content[0].reader.parameter.path: is missing",
        "  error: job.content[0].reader.parameter.pth: unknown key, ignored; did you mean 'path'? (warning)",
        f"{missing}: not valid",
        f"  error: {missing}: cannot read the job file: No such file or directory",
    ]


def test_validate_json_and_strict(job_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    warning = "job.content[0].reader.parameter.column[0].type: unknown type '${type}', values are not converted"
    assert cli.main(["validate", "--json", job_file]) == 0
    assert json.loads(capsys.readouterr().out) == {job_file: {"valid": True, "problems": [], "warnings": [warning]}}
    assert cli.main(["validate", "--json", "--strict", job_file]) == 2
    assert json.loads(capsys.readouterr().out) == {job_file: {"valid": False, "problems": [warning], "warnings": []}}


def test_strict_counts_warnings_about_the_text(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    reader = {"name": "streamreader", "parameter": {"column": [{"name": "a"}], "sliceRecordCount": 1}}
    path.write_text(json.dumps(job(reader, STREAM_WRITER)).replace('"name": "a"', '"name": "b", "name": "a"'))
    assert cli.main(["validate", str(path)]) == 0
    assert cli.main(["validate", "--strict", str(path)]) == 2


def test_plugins(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plugins"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [
        ["hdfsreader", "hdfswriter"],
        ["mysqlreader", "mysqlwriter"],
        ["postgresqlreader", "postgresqlwriter"],
        ["streamreader", "streamwriter"],
    ]
    assert lines[-1].startswith("not in this version: carbondata, db2")
    assert cli.main(["plugins", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["plugins"][1] == {"name": "mysql", "reader": True, "writer": True, "extra": "mysql"}


@pytest.mark.parametrize(("name", "key"), [("mysqlreader", "splitPk"), ("HdfsWriter", "fileType"), ("job", "job")])
def test_schema(name: str, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema", name]) == 0
    assert key in json.loads(capsys.readouterr().out)["properties"]


def test_schema_of_an_unknown_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema", "mysqreader"]) == 2
    assert "did you mean 'mysqlreader'?" in capsys.readouterr().err


def test_terminal_gets_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    with progress_display(terminal) as display:
        assert isinstance(display, ProgressBar)
        display.update({**REPORT, "state": "RUNNING", "splitsDone": 2})
        display.line("a line of [Flink]")
    shown = terminal.getvalue()
    assert "RUNNING" in shown
    assert "━" in shown
    assert "a line of [Flink]" in shown


def test_validation_imports_no_airflow_flink_arrow_or_driver(job_file: str) -> None:
    program = (
        "import sys; from airflow_provider_flinkx import cli; code = cli.main(['validate', sys.argv[1]]); "
        "heavy = {'airflow', 'pyflink', 'pyarrow', 'pymysql', 'connectorx', 'adbc_driver_postgresql', 'hdfs_native'}; "
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}), code)"
    )
    done = subprocess.run([sys.executable, "-c", program, job_file], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"
