"""The driver's own JVM; a Flink mini-cluster in it, and the result of a job that runs there."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from subprocess import Popen
from typing import IO, Any

from pyflink import java_gateway
from pyflink.common import Configuration
from pyflink.datastream import DataStream, StreamExecutionEnvironment

_java: Popen[bytes] | None = None


def create(settings: Mapping[str, str], channels: int) -> StreamExecutionEnvironment:
    """An environment whose job runs in this process' JVM on `channels` slots."""
    java = gateway().jvm.org.apache.flink.streaming.api.environment.StreamExecutionEnvironment
    return StreamExecutionEnvironment(java.createLocalEnvironment(channels, configuration(settings)._j_configuration))


def configuration(settings: Mapping[str, str]) -> Configuration:
    """Settings as Flink's own object."""
    made = Configuration()
    for key, value in settings.items():
        made.set_string(key, value)
    return made


def end_java() -> None:
    """Kill the JVM, if there is one: Python code in a native call inside it would keep it from ending by itself."""
    if _java is not None:
        _java.kill()
        _java.wait()


def gateway() -> Any:
    """PyFlink's gateway to its JVM, whose standard error is passed on.

    PyFlink opens a pipe for it that nobody reads: after 64 kB the JVM, and Python inside it, would wait forever.
    """
    launch = java_gateway.launch_gateway_server_process

    def launch_and_pass_on(environment: Mapping[str, str], arguments: list[str]) -> Popen[bytes]:
        global _java
        process: Popen[bytes] = launch(environment, arguments)
        _java = process
        threading.Thread(target=_pass_on, args=(process.stderr,), daemon=True).start()
        return process

    java_gateway.launch_gateway_server_process = launch_and_pass_on
    try:
        return java_gateway.get_gateway()
    finally:
        java_gateway.launch_gateway_server_process = launch


def _pass_on(lines: IO[bytes]) -> None:
    for line in lines:
        sys.stderr.buffer.write(line)
        sys.stderr.flush()


def collect(stream: DataStream) -> Callable[[], str]:
    """Ask for the stream's elements before the job is submitted; the function then waits for the only one."""
    elements = stream._j_data_stream.collectAsync()

    def only() -> str:
        # hasNext waits until the job has an element or has ended, and raises when it failed.
        if not elements.hasNext():
            raise RuntimeError("the job ended without a report")
        return str(elements.next())

    return only
