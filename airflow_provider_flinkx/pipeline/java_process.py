"""The driver's JVM: started before the driver imports what it needs, and handed to PyFlink when that asks for one."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from airflow_provider_flinkx.pipeline.class_archive import ClassArchive, Jvm, find_class_archive

_CONNECTION_VARIABLE = "_PYFLINK_CONN_INFO_PATH"
_GATEWAY = ["-c", "org.apache.flink.client.python.PythonGatewayServer", "local"]


class JavaProcess:
    """A JVM with PyFlink's gateway in it.

    Args:
        folder: the run's own, for files of the start.
        purpose: see `Jvm`.
    """

    def __init__(self, folder: Path, purpose: str) -> None:
        from pyflink import pyflink_gateway_server as pyflink

        environment = {**os.environ, _CONNECTION_VARIABLE: str(folder / "gateway")}
        pyflink.prepare_environment_variables(environment)
        self._connection = folder / "gateway"
        self._archive = _archive(pyflink, environment, folder, purpose)
        self._environment = environment
        self._process = self._launch(self._archive.options() if self._archive else [])

    def gateway(self) -> Any:
        """PyFlink's gateway, with this JVM behind it."""
        from pyflink import java_gateway

        launch = java_gateway.launch_gateway_server_process
        java_gateway.launch_gateway_server_process = self._hand_over
        try:
            return java_gateway.get_gateway()
        finally:
            java_gateway.launch_gateway_server_process = launch

    def keep_classes(self) -> None:
        """Have the classes archived that the JVM has loaded, for the next JVM of its kind."""
        if self._archive is not None:
            self._archive.start_making()

    def end(self) -> None:
        """Kill the JVM: Python code in a native call inside it would keep it from ending by itself."""
        self._process.kill()
        self._process.wait()

    def _hand_over(self, environment: Mapping[str, str], _arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        """What PyFlink calls to start a JVM: the gateway's address appears where PyFlink looks for it."""
        self._await_connection()
        if self._process.poll() is not None and self._archive is not None:
            # Java goes on without an archive that does not fit, but ends when one is cut.
            self._archive.discard()
            self._archive = None
            self._process = self._launch([])
            self._await_connection()
        if self._connection.exists():
            self._connection.replace(environment[_CONNECTION_VARIABLE])
        return self._process

    def _launch(self, options: Sequence[str]) -> subprocess.Popen[bytes]:
        from pyflink import pyflink_gateway_server as pyflink

        all_options = " ".join([self._environment.get("JDK_JAVA_OPTIONS", ""), *options])
        environment = {**self._environment, "JDK_JAVA_OPTIONS": all_options.strip()}
        process: subprocess.Popen[bytes] = pyflink.launch_gateway_server_process(environment, _GATEWAY)
        # PyFlink opens a pipe for it that nobody reads: after 64 kB the JVM, and Python in it, would wait forever.
        threading.Thread(target=_pass_on, args=(process.stderr,), daemon=True).start()
        return process

    def _await_connection(self) -> None:
        while self._process.poll() is None and not self._connection.exists():
            time.sleep(0.01)


def _archive(pyflink: Any, environment: Mapping[str, str], folder: Path, purpose: str) -> ClassArchive | None:
    java = shutil.which(pyflink.find_java_executable())
    if java is None:
        return None
    jars = tuple(Path(entry) for entry in pyflink.construct_flink_classpath(environment).split(os.pathsep) if entry)
    return find_class_archive(Jvm(Path(java), jars, environment, purpose, folder))


def _pass_on(lines: IO[bytes]) -> None:
    for line in lines:
        sys.stderr.buffer.write(line)
        sys.stderr.flush()


_process: JavaProcess | None = None


def start(folder: Path, purpose: str) -> None:
    """Start this process' JVM. Without PyFlink there is none; the driver will miss PyFlink and say so."""
    global _process
    with contextlib.suppress(ModuleNotFoundError):
        _process = JavaProcess(folder, purpose)


def gateway() -> Any:
    """PyFlink's gateway to this process' JVM."""
    assert _process is not None, "started before PyFlink was imported"
    return _process.gateway()


def keep_classes() -> None:
    """See `JavaProcess`."""
    if _process is not None:
        _process.keep_classes()


def end() -> None:
    """See `JavaProcess`."""
    if _process is not None:
        _process.end()
