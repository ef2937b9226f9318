from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flinkx import cli
from airflow_provider_flinkx.cli_cluster import settings_of, without_effect
from airflow_provider_flinkx.cli_progress import ProgressBar, progress_display
from airflow_provider_flinkx.clusters import local, session
from airflow_provider_flinkx.clusters.settings import ClusterSettings, KerberosLogin, Tls
from airflow_provider_flinkx.exceptions import ErrorLimitExceededError, FlinkXError, JobFailedError
from airflow_provider_flinkx.plugins.registry import BUILT_IN
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
    """Stands in for the clusters: remembers what it was asked and ends as it was told."""

    outcome: FlinkXError | BaseException | Mapping[str, Any] = REPORT
    asked: Mapping[str, Any] = {}
    settings: ClusterSettings | None = None
    cancelled = False

    def __init__(self, log: Callable[[str], None] | None) -> None:
        self.log = log

    @classmethod
    def local(cls, python: str | None, flink: Mapping[str, str], log: Callable[[str], None] | None) -> FakeCluster:
        cls.settings = ClusterSettings(python=python, flink=flink)
        return cls(log)

    @classmethod
    def session(cls, settings: ClusterSettings, log: Callable[[str], None], debug: object) -> FakeCluster:
        cls.settings = settings
        return cls(log)

    def cancel(self) -> None:
        FakeCluster.cancelled = True

    def run(
        self,
        document: Mapping[str, Any],
        *,
        job_key: str,
        on_progress: Callable[..., None],
        warnings: Sequence[str],
        take_finished: bool,
    ) -> Mapping[str, Any]:
        FakeCluster.asked = {
            "document": document,
            "job_key": job_key,
            "warnings": list(warnings),
            "take_finished": take_finished,
        }
        if self.log:
            self.log("a line of [Flink]")
        for _ in range(2):
            on_progress({**REPORT, "state": "RUNNING", "splitsDone": 2})
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> type[FakeCluster]:
    monkeypatch.setattr(local, "LocalCluster", FakeCluster.local)
    monkeypatch.setattr(session, "SessionCluster", FakeCluster.session)
    for name, value in {"outcome": REPORT, "asked": {}, "settings": None, "cancelled": False}.items():
        monkeypatch.setattr(FakeCluster, name, value)
    for variable in ("FLINK_HOME", "HADOOP_HOME", "KRB5_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
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


def test_a_run_is_resumed_by_its_name(cluster: type[FakeCluster], job_file: str) -> None:
    cli.main(["run", job_file, "--resume", "nightly"])
    assert (cluster.asked["job_key"], cluster.asked["take_finished"]) == ("nightly", True)
    cli.main(["run", job_file, "--job-key", "nightly"])
    assert (cluster.asked["job_key"], cluster.asked["take_finished"]) == ("nightly", False)


@pytest.mark.parametrize("words", [["run", "{}", "--job-key"], ["-job", "{}", "-jobid"]])
def test_a_name_that_is_given_is_the_key(cluster: type[FakeCluster], job_file: str, words: list[str]) -> None:
    assert cli.main([*(word.format(job_file) for word in words), "nightly_1.0-a"]) == 0
    assert cluster.asked["job_key"] == "nightly_1.0-a"


def test_names_of_any_letters_are_keys_that_differ(cluster: type[FakeCluster], job_file: str) -> None:
    keys = []
    for name in ("Flink Job", "Flink-Job", "Flink/Job", "Flink Job", "x" * 300):
        cli.main(["-job", job_file, "-jobid", name])
        keys.append(cluster.asked["job_key"])
    assert keys[0] == keys[3]
    assert len(set(keys)) == 4
    assert keys[0].startswith("Flink-Job-")
    assert len(keys[4]) == 200


def test_a_report_of_many_tables_has_a_line_for_each(
    cluster: type[FakeCluster], monkeypatch: pytest.MonkeyPatch, job_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table = {"source": "a", "target": "ods_a", "state": "FINISHED", "numRead": 1000, "numWrite": 999, "nErrors": 1}
    samples = [{"table": "a", "category": "null", "message": "x is null", "row": {}}]
    report = {**REPORT, "tables": [table], "dirty_data": {"path": None, "files": [], "samples": samples}}
    monkeypatch.setattr(cluster, "outcome", report)
    assert cli.main(["run", job_file]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "a to ods_a: FINISHED, 1,000 rows read, 999 written, 1 rejected",
        "rejected (null) from a: x is null",
    ]


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
    assert cluster.cancelled


def test_launcher_flags_without_effect_are_told_in_one_line(
    cluster: type[FakeCluster], job_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-plugin", "a", "-flinkconf", "b", "-yarnconf", "c", "-queue", "q", "-s", "d", "-appId", "e"]
    conf = ["-confProp", '{"flink.checkpoint.interval": 1, "taskmanager.slots": 2, "x": 3}']
    assert cli.main(["-mode", "local", "-job", job_file, *words, *conf, "-p", "type=int"]) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert warnings == [
        "flinkx: warning: without effect in local mode: -plugin -s -flinkconf -yarnconf -appId -queue "
        "-confProp flink.checkpoint.interval -confProp taskmanager.slots"
    ]
    assert cluster.settings == ClusterSettings(flink={"x": "3"})


def test_options_of_another_mode_are_told(
    cluster: type[FakeCluster], job_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", job_file, "--rest-address", "a:1", "--queue", "q", "--worker-python", "p", "-p", "type=int"]
    assert cli.main([*words, "--mode", "yarn", "--yarn-conf", "/c"]) == 0
    assert "warning: without effect in yarn mode: --rest-address\n" in capsys.readouterr().err
    assert cli.main([*words, "--mode", "standalone"]) == 0
    assert "warning: without effect in standalone mode: --queue\n" in capsys.readouterr().err
    assert cli.main(words) == 0
    assert "without effect in local mode: --rest-address --queue --worker-python\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("launcher", "readable", "settings"),
    [
        (
            ["-mode", "standalone", "-flinkconf", "/conf", "-confProp", '{"a.b": true, "c": "d"}'],
            ["--mode", "standalone", "--flink-conf", "/conf", "-D", "a.b=true", "-D", "c=d"],
            ClusterSettings(mode="standalone", flink_conf=Path("/conf"), flink={"a.b": "true", "c": "d"}),
        ),
        (
            ["-mode", "yarn", "-yarnconf", "/conf", "-appId", "application_1_2", "-queue", "fast"],
            ["--mode", "yarn", "--yarn-conf", "/conf", "--application-id", "application_1_2", "--queue", "fast"],
            ClusterSettings(mode="yarn", yarn_conf=Path("/conf"), application_id="application_1_2", queue="fast"),
        ),
        (
            ["-mode", "yarn", "-principal", "me@REALM", "-keytab", "/me.keytab"],
            ["--mode", "yarn", "--kerberos-principal", "me@REALM", "--kerberos-keytab", "/me.keytab"],
            ClusterSettings(mode="yarn", kerberos=KerberosLogin("me@REALM", Path("/me.keytab"))),
        ),
    ],
)
def test_both_forms_name_the_same_cluster(
    cluster: type[FakeCluster],
    job_file: str,
    launcher: list[str],
    readable: list[str],
    settings: ClusterSettings,
) -> None:
    assert cli.main([*launcher, "-job", job_file]) == 0
    assert cluster.settings == settings
    assert cli.main(["run", job_file, *readable]) == 0
    assert cluster.settings == settings


def test_what_only_the_readable_form_says_of_a_cluster(
    cluster: type[FakeCluster], job_file: str, tmp_path: Path
) -> None:
    archive = tmp_path / "w.tgz"
    archive.touch()
    words = ["--mode", "standalone", "--rest-address", "https://a:1,b", "--python", "/p", "--worker-python", "w"]
    words += ["--worker-archive", str(archive), "--tls-ca", "/ca", "--tls-certificate", "/cert", "--tls-key", "/key"]
    assert cli.main(["run", job_file, *words, "--reconnect-timeout", "5", "--slot-timeout", "6"]) == 0
    assert cluster.settings == ClusterSettings(
        mode="standalone",
        rest_addresses=("https://a:1", "http://b:8081"),
        python="/p",
        worker_python="w",
        worker_archive=archive,
        tls=Tls(Path("/ca"), Path("/cert"), Path("/key")),
        reconnect_timeout=5,
        slot_timeout=6,
    )


def test_an_archive_that_is_not_there_is_named(
    cluster: type[FakeCluster], job_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--mode", "standalone", "--rest-address", "a", "--worker-archive", "/none.tgz"]
    assert cli.main(["run", job_file, *words]) == 2
    assert capsys.readouterr().err.startswith("flinkx: error: /none.tgz: there is no such archive")
    assert cluster.settings is None


def test_folders_are_looked_for_where_flinkx_does(
    cluster: type[FakeCluster], monkeypatch: pytest.MonkeyPatch, job_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLINK_HOME", "/flink")
    monkeypatch.setenv("HADOOP_HOME", "/hadoop")
    folders = {}
    for mode in ("local", "standalone", "yarn"):
        assert cli.main(["-mode", mode, "-job", job_file]) == 0
        assert cluster.settings
        folders[mode] = (cluster.settings.flink_conf, cluster.settings.yarn_conf)
    assert folders == {
        "local": (None, None),
        "standalone": (Path("/flink/conf"), None),
        "yarn": (None, Path("/hadoop/etc/hadoop")),
    }
    assert "without effect" not in capsys.readouterr().err


def test_kerberos_settings_are_those_of_the_flag(
    cluster: type[FakeCluster], monkeypatch: pytest.MonkeyPatch, job_file: str
) -> None:
    monkeypatch.setenv("KRB5_CONFIG", "/etc/krb5.conf")
    assert cli.main(["-job", job_file, "-krb5conf", "/my.conf"]) == 0
    assert os.environ["KRB5_CONFIG"] == "/my.conf"


def test_a_cluster_per_job_is_refused_with_the_reason(job_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["-mode", "yarnPer", "-job", job_file]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "needs Hadoop's jars" in line
    assert "use -mode yarn" in line


def test_standalone_mode_without_an_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, job_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FLINK_HOME", raising=False)
    assert cli.main(["run", job_file, "--mode", "standalone"]) == 2
    assert "needs the cluster's REST address" in capsys.readouterr().err


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
        ["run", "x", "-D", "novalue"],
        ["run", "x", "--mode", "yarnPer"],
        ["run", "x", "--job-key", "a b"],
        ["run", "x", "--slot-timeout", "soon"],
        ["-job", "x", "-confProp", "[]"],
        ["-job", "x", "-confProp", "{"],
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


def commands_in_the_documents() -> Iterator[object]:
    """Every line of the documents' shell examples that calls this command."""
    root = Path(__file__).parents[2]
    for document in sorted([root / "README.md", *root.glob("docs/**/*.md")]):
        for block in re.findall(r"^```(?:sh)?\n(.*?)^```$", document.read_text("utf-8"), re.DOTALL | re.MULTILINE):
            for line in block.splitlines():
                if line.startswith("flinkx "):
                    yield pytest.param(shlex.split(line, comments=True)[1:], id=line)


@pytest.mark.parametrize("words", list(commands_in_the_documents()))
def test_commands_in_the_documents_are_understood(words: list[str]) -> None:
    options = cli._parse(words)
    if options.command in ("run", "launch"):
        assert without_effect(options, launcher=options.command == "launch") == []
        options.worker_archive = None
        assert settings_of(options).mode == options.mode


def test_plugins(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plugins"]) == 0
    lines = capsys.readouterr().out.splitlines()
    sides = {"mysqld": ["reader"]}
    expected = [[f"{name}{side}" for side in sides.get(name, ["reader", "writer"])] for name in BUILT_IN]
    assert [[word for word in line.split() if word.endswith("er")] for line in lines[:-1]] == expected
    assert lines[-1].startswith("not in this version: carbondata")
    assert cli.main(["plugins", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"name": "mysql", "reader": True, "writer": True, "extra": "mysql"} in listed["plugins"]


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
