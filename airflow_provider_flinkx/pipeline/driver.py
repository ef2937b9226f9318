"""The driver process: takes a job on standard input, builds the graph with PyFlink, and runs it or gives it back.

Input: one line of JSON, see `Request`; it holds passwords, so it never travels in arguments or environment.
The driver lives as long as its standard input is open: when the caller goes away, the job is cancelled. So it does
after it has given a compiled job back, without Java: its files hold passwords, and would outlive a caller that dies.
Output: lines of JSON on standard output, each with an `event`:

    submitted  {jobId, restAddress}                       the job runs in this process' JVM
    report     {report}
    compiled   {jobId, graph, jars, artifacts: {name: file}}   for a session cluster; files in the request's folder
    failed     {error: {type, message, trace, report}}
    cancelled  {}

Everything else that Flink and Java print goes to standard error.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import logging
import os
import shutil
import signal
import sys
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

from airflow_provider_flinkx import exceptions
from airflow_provider_flinkx.jobs.validation import validate
from airflow_provider_flinkx.pipeline import java_process, marks
from airflow_provider_flinkx.pipeline.ranges import check_caller
from airflow_provider_flinkx.pipeline.shipping import ship
from airflow_provider_flinkx.pipeline.steps import Run
from airflow_provider_flinkx.plugins.base import RunContext
from airflow_provider_flinkx.plugins.registry import schema_of

_CANCEL_SECONDS = 4.0
_ARCHIVE = "flinkx-python"


@dataclass(frozen=True)
class Session:
    """The cluster that a job graph is compiled for.

    Args:
        flink_version: what it runs.
        python: interpreter on its nodes, or inside `archive`; None means this interpreter's path.
        archive: `.tgz` with a Python environment, which travels with the job.
        brings_jar: whether the job must bring PyFlink's jar, because the cluster has none.
    """

    flink_version: str
    python: str | None
    archive: str | None
    brings_jar: bool


@dataclass(frozen=True)
class Request:
    """What the driver is asked to do.

    Args:
        document: the job, connection references resolved.
        job_key: see `RunContext.job_key`; also the Flink job's name.
        folder: an empty folder for what Flink and Java write.
        rest_port: a free port on the loopback address for the mini-cluster's REST.
        settings: Flink settings that override ours.
        warnings: lines for the report.
        take_finished: see `RunContext`.
        session: the cluster that the job is for; None: it runs here, in a mini-cluster.
    """

    document: Mapping[str, Any]
    job_key: str
    folder: str
    rest_port: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    take_finished: bool = False
    session: Session | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Request:
        """The request in a line of standard input."""
        session = value.get("session")
        return cls(
            **{
                **value,
                "warnings": tuple(value.get("warnings", ())),
                "session": Session(**session) if session else None,
            }
        )


def local_settings(request: Request, channels: int) -> dict[str, str]:
    """Flink settings of a mini-cluster for one job."""
    return {
        "execution.target": "local",
        "python.execution-mode": "thread",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "parallelism.default": "1",
        "taskmanager.numberOfTaskSlots": str(channels),
        "restart-strategy.type": "none",
        "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",
        "rest.port": str(request.rest_port),
        "rest.bind-port": str(request.rest_port),
        # Whoever reaches the port may watch the job, not bring code or cancel.
        "web.submit.enable": "false",
        "web.cancel.enable": "false",
        "metrics.fetcher.update-interval": "1000",
        # Messages are small: 512 buffers of 4 kB, which is Flink's least, do what as many of 32 kB would.
        "taskmanager.memory.segment-size": "4kb",
        "taskmanager.memory.network.min": "2mb",
        "taskmanager.memory.network.max": "2mb",
        "taskmanager.memory.managed.size": "16mb",
        **request.settings,
    }


def session_settings(session: Session, folder: Path) -> dict[str, str]:
    """Flink settings of a job for a session cluster; what travels with it is laid out in `folder`."""
    settings = {
        # Others' jobs run in the same TaskManagers: a driver's crash may end our worker, not theirs. And in one JVM
        # Flink's thread mode can load Python for one job only.
        "python.execution-mode": "process",
        "python.executable": session.python or sys.executable,
        "python.client.executable": sys.executable,
        "python.files": ",".join(ship(folder / "files")),
        # Counters are seen when a bundle ends: after each split.
        "python.fn-execution.bundle.size": "1",
        "parallelism.default": "1",
        "restart-strategy.type": "none",
    }
    if session.archive is not None:
        settings["python.archives"] = f"{session.archive}#{_ARCHIVE}"
        settings["python.executable"] = f"{_ARCHIVE}/{session.python or 'bin/python'}"
    return settings


def check_version(cluster: str) -> None:
    """A job graph is Java's serialized objects: it fits the version of Flink that made it.

    Raises:
        VersionMismatchError: when this interpreter has another one than the cluster.
    """
    ours = importlib.metadata.version("apache-flink")
    if ours != cluster:
        raise exceptions.VersionMismatchError(
            f"the cluster runs Flink {cluster}, {sys.executable} has apache-flink {ours}: "
            f"pip install apache-flink=={cluster} there, or name another Python in the Flink connection"
        )


class Driver:
    """Runs one request; `cancel` may be called from any thread."""

    def __init__(self, request: Request, out: TextIO) -> None:
        self.request = request
        self._out = out
        self._lock = threading.Lock()
        self._job_client: Any = None
        self._cancelled = threading.Event()
        self._done = threading.Event()
        self._let_go = threading.Event()

    def run(self) -> int:
        """Run the job to its end; returns the process' exit code."""
        try:
            if self.request.session is None:
                event, values = "report", {"report": self._complete(self._execute())}
            else:
                event, values = "compiled", self._compile(self.request.session)
        except BaseException as error:
            return self._failed(error)
        # From here on the end of our input says that the caller has got what it wanted.
        self._done.set()
        java_process.keep_classes()
        self._emit(event, **values)
        if event == "compiled":
            java_process.end()
            self._let_go.wait()
        return 0

    def cancel(self) -> None:
        """Cancel the job; the process ends within a few seconds whatever the job does."""
        self._let_go.set()
        if self._done.is_set() or self._cancelled.is_set():
            return
        self._cancelled.set()
        threading.Thread(target=self._end_process, daemon=True).start()

    def _end_process(self) -> None:
        cancelling = threading.Thread(target=self._cancel_job, daemon=True)
        cancelling.start()
        cancelling.join(_CANCEL_SECONDS)
        self._emit("cancelled")
        self.leave(exceptions.JobCancelledError.exit_code)

    def leave(self, code: int) -> NoReturn:
        """End this process and its JVM at once, and remove the run's folder."""
        java_process.end()
        shutil.rmtree(self.request.folder, ignore_errors=True)
        # The JVM is gone: waiting for threads that talk to it would only add seconds.
        os._exit(code)

    def _cancel_job(self) -> None:
        if self._job_client is not None:
            self._job_client.cancel().result()

    def _run(self) -> Run:
        validation = validate(self.request.document, schema_of=schema_of)
        check_caller(validation.job)
        context = RunContext(
            job_key=self.request.job_key,
            attempt=uuid.uuid4().hex[:12],
            channels=validation.job.setting.speed.channel,
            timezone=validation.job.setting.timezone,
            take_finished=self.request.take_finished,
        )
        return Run(validation.job, context, one_process=self.request.session is None, warnings=self.request.warnings)

    def _execute(self) -> dict[str, Any]:
        run = self._run()
        from airflow_provider_flinkx.pipeline.graph import build
        from airflow_provider_flinkx.pipeline.local_environment import collect, create

        channels = run.context.channels
        environment = create(local_settings(self.request, channels), channels)
        stream = build(environment, run)
        results = collect(stream)
        self._job_client = environment.execute_async(self.request.job_key)
        self._emit("submitted", jobId=self._job_id(), restAddress=f"http://127.0.0.1:{self.request.rest_port}")
        report = marks.find("report", results())
        assert report is not None, "the report step encloses it"
        self._job_client.get_job_execution_result().result()
        return report

    def _compile(self, session: Session) -> dict[str, Any]:
        check_version(session.flink_version)
        run = self._run()
        from airflow_provider_flinkx.pipeline.session_graph import compile_job

        settings = session_settings(session, Path(self.request.folder)) | dict(self.request.settings)
        return compile_job(run, settings, Path(self.request.folder), brings_jar=session.brings_jar)

    def _job_id(self) -> str:
        return str(self._job_client.get_job_id())

    def _failed(self, error: BaseException) -> int:
        if self._cancelled.is_set():
            threading.Event().wait()  # `_end_process` has the last word.
        from airflow_provider_flinkx.pipeline import failure

        known = error if isinstance(error, exceptions.FlinkXError) else failure.decode(self._root_text(error))
        if known.report is not None:
            known.report = self._complete(known.report)
        self._emit("failed", error=exceptions.to_json(known))
        return known.exit_code

    def _complete(self, report: Mapping[str, Any]) -> dict[str, Any]:
        return {**report, "jobId": self._job_id()}

    def _root_text(self, error: BaseException) -> str:
        """The full text of what failed the job: the job's own result says more than the iterator's error."""
        if self._job_client is not None:
            try:
                self._job_client.get_job_execution_result().result()
            except Exception as cause:
                return str(cause)
        logging.getLogger(__name__).exception("driver failed", exc_info=error)
        return f"{type(error).__name__}: {error}"

    def _emit(self, event: str, **values: Any) -> None:
        # A caller that died reads no events; the job still has to be ended.
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._out.write(json.dumps({"event": event, **values}) + "\n")
            self._out.flush()


def _cancel_when_input_ends(driver: Driver) -> None:
    sys.stdin.read()
    driver.cancel()


def main(value: Mapping[str, Any], out: TextIO) -> NoReturn:
    """Run the request that `value` says, tell `out` of it, and end this process. See `start.py`, which calls it."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    driver = Driver(Request.from_json(value), out)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        driver.cancel()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    threading.Thread(target=_cancel_when_input_ends, args=(driver,), daemon=True).start()
    driver.leave(driver.run())
