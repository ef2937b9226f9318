"""Servers in Java that a test may kill and start again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from airflow_provider_flinkx.clusters.java import java_home
from airflow_provider_flinkx.exceptions import ClusterError
from tests.servers import OwnedProcess, ServerMissingError, await_condition

#: Quick to start, small; the machine runs several of them beside the tests.
QUICK = (
    "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto",
    "-Djava.net.preferIPv4Stack=true",
)  # fmt: skip
_KILLED_SECONDS = 10


class Daemon:
    """One JVM of ours, by its name; it dies with the test process.

    Start it from the thread that outlives it: the system ends a process when the *thread* that started it ends.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        folder: Path,
        log: Path,
        environment: Mapping[str, str],
        stop_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = name
        self._command = list(command)
        self._folder = folder
        self._log = log
        self._environment = dict(environment)
        self._stop_signal = stop_signal
        self.process = self.start()

    @property
    def pid(self) -> int:
        """Process id, of the last start."""
        return self.process.pid

    def start(self) -> OwnedProcess:
        """Start the same command again, once the last one has ended."""
        self.process = OwnedProcess(
            self._command,
            log=self._log,
            cwd=self._folder,
            environment=self._environment,
            stop_signal=self._stop_signal,
        )
        return self.process

    def kill(self) -> None:
        """`kill -9` of the JVM alone, as a crash would: what it started lives on, until `stop`."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        await_condition(lambda: not self.process.running, _KILLED_SECONDS, f"end of {self.name}")

    def stop(self) -> None:
        """End the JVM and everything that it started."""
        self.process.stop()


def java(
    main_class: str,
    *arguments: str,
    class_path: str,
    heap_megabytes: int,
    options: Sequence[str] = (),
) -> list[str]:
    """Command line of a JVM."""
    program = str(find_java_home() / "bin" / "java")
    heap = f"-Xmx{heap_megabytes}m"
    return [program, *QUICK, heap, *options, "-cp", class_path, main_class, *arguments]


def find_java_home() -> Path:
    """JAVA_HOME of the Java that local mode uses too."""
    try:
        home = java_home(os.environ)
    except ClusterError as error:
        raise ServerMissingError(str(error)) from None
    program = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    assert program
    return Path(program).resolve().parents[1]
