"""The driver process: the interpreter that has PyFlink, started for one job and fed over its standard input.

The caller's interpreter needs neither PyFlink nor pyarrow. See `pipeline/start.py` for the other end.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_flinkx import exceptions
from airflow_provider_flinkx.clusters.java import driver_environment

QUIET_SECONDS = 2.0
_CANCEL_SECONDS = 8.0
_LOG_LINES = 200

#: Called about every two seconds with numRead, numWrite, nErrors, byteRead, byteWrite, splitsDone, splits,
#: rowsPerSecond and state.
Progress = Callable[[Mapping[str, Any]], None]
Event = dict[str, Any]


class DriverProcess:
    """Starts the driver for one request at a time and gives its events.

    Args:
        python: interpreter that has apache-flink and this package's dependencies; default the caller's.
        log: gets each line that the driver, Flink and Java write.
    """

    def __init__(self, python: str | None = None, log: Callable[[str], None] | None = None) -> None:
        self.python = python or sys.executable
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._cancelled = False

    def events(self, request: Mapping[str, Any], folder: str) -> Generator[Event | None, None, None]:
        """Start the driver with a request; it and its JVM are gone when the iterator is closed.

        Args:
            request: see `pipeline/driver.py`.
            folder: an empty folder for whatever Flink and Java write.

        Yields:
            Each event, and None whenever there was none for a while.

        Raises:
            FlinkXError: what the driver says ended the job, or how it died.
        """
        self._process = process = self._start(folder)
        try:
            tail = self._follow_log(process)
            assert process.stdin
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
            for event in _lines(process):
                yield self._checked(event)
            if self._cancelled:
                raise exceptions.JobCancelledError("the job was cancelled")
            raise exceptions.JobFailedError(_death_notice(process, tail))
        finally:
            self._end(process)

    def cancel(self) -> None:
        """End the driver, if one runs, and with it what it does; its processes are gone within ten seconds."""
        self._cancelled = True
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_CANCEL_SECONDS)
        _kill_group(process)

    def _start(self, folder: str) -> subprocess.Popen[str]:
        package_root = str(Path(__file__).parents[2])
        program = f"import sys; sys.path.append({package_root!r}); "
        program += "from airflow_provider_flinkx.pipeline.start import main; main()"
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

    def _checked(self, event: Event | None) -> Event | None:
        if event is not None and event["event"] == "failed":
            raise exceptions.from_json(event["error"])
        if event is not None and event["event"] == "cancelled":
            raise exceptions.JobCancelledError("the job was cancelled")
        return event

    def _end(self, process: subprocess.Popen[str]) -> None:
        if process.stdin:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_CANCEL_SECONDS)
        _kill_group(process)
        process.wait()


def _lines(process: subprocess.Popen[str]) -> Iterator[Event | None]:
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
            line = lines.get(timeout=QUIET_SECONDS)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield json.loads(line)


def _kill_group(process: subprocess.Popen[str]) -> None:
    # The group outlives its leader: a JVM that did not end by itself is ended here.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _death_notice(process: subprocess.Popen[str], tail: deque[str]) -> str:
    code = process.wait()
    ended = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    last = next((line.strip() for line in reversed(tail) if line.strip()), "it wrote nothing")
    return f"the driver process {ended} before the job did; its last line: {last}"
