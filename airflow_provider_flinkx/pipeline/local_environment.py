"""A Flink mini-cluster in the driver's JVM, and the result of a job that runs there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pyflink.common import Configuration
from pyflink.datastream import DataStream, StreamExecutionEnvironment

from airflow_provider_flinkx.pipeline import java_process


def create(settings: Mapping[str, str], channels: int) -> StreamExecutionEnvironment:
    """An environment whose job runs in this process' JVM on `channels` slots."""
    java = java_process.gateway().jvm.org.apache.flink.streaming.api.environment.StreamExecutionEnvironment
    return StreamExecutionEnvironment(java.createLocalEnvironment(channels, configuration(settings)._j_configuration))


def configuration(settings: Mapping[str, str]) -> Configuration:
    """Settings as Flink's own object."""
    made = Configuration()
    for key, value in settings.items():
        made.set_string(key, value)
    return made


def collect(stream: DataStream) -> Callable[[], str]:
    """Ask for the stream's elements before the job is submitted; the function then waits for the only one."""
    elements = stream._j_data_stream.collectAsync()

    def only() -> str:
        # hasNext waits until the job has an element or has ended, and raises when it failed.
        if not elements.hasNext():
            raise RuntimeError("the job ended without a report")
        return str(elements.next())

    return only
