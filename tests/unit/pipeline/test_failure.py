"""Errors survive the way through Flink's exception text."""

from __future__ import annotations

import pytest

from airflow_provider_flinkx import exceptions
from airflow_provider_flinkx.pipeline import failure

JAVA = (
    "org.apache.flink.runtime.client.JobExecutionException: Job execution failed.\n"
    "\tat org.apache.flink.X(X.java:1)\n"
    "Caused by: pemja.core.PythonException: <class 'RuntimeError'>: {}\n"
    "\tat report.flat_map(graph.py:1)\n"
)


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ConnectionFailedError("cannot reach db1:5432: refused"),
        exceptions.ErrorLimitExceededError("137 rows </flinkx-error> \n ü"),
        exceptions.JobInvalidError(["a: wrong", "b: missing"]),
    ],
)
def test_round_trip(error: exceptions.FlinkXError) -> None:
    error.report = {"numRead": 3, "samples": ["<flinkx-error>"]}
    decoded = failure.decode(JAVA.format(failure.encode(error)))
    assert type(decoded) is type(error)
    assert str(decoded) == str(error)
    assert decoded.report == error.report


def test_foreign_failure_names_the_innermost_cause() -> None:
    decoded = failure.decode(JAVA.format("segment fault") + "Caused by: java.io.IOException: disk full\n\tat a.b(c)\n")
    assert isinstance(decoded, exceptions.JobFailedError)
    assert str(decoded) == "the Flink job failed: java.io.IOException: disk full"
    assert "report.flat_map" in decoded.trace


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(
            "org.apache.flink.runtime.JobException: Recovery is suppressed\n\tat a.b(c)\n"
            "Caused by: org.apache.flink.runtime.resourcemanager.exceptions.ResourceManagerException: "
            "TaskManager with id 127.0.0.1:42661-835e8c is no longer reachable.\n\tat a.b(c)\n",
            "the TaskManager 127.0.0.1:42661-835e8c was lost",
            id="TaskManager",
        ),
        pytest.param(
            "java.util.concurrent.TimeoutException: Heartbeat of TaskManager with id container_1(node:1) timed out."
            "\n\tat a.b(c)\n",
            "the TaskManager container_1(node:1) was lost",
            id="heartbeat",
        ),
        pytest.param(
            "java.lang.RuntimeException: Error while waiting for BeamPythonFunctionRunner flush\n\tat a.b(c)\n"
            "Caused by: java.lang.RuntimeException: Failed to close remote bundle\n\tat a.b(c)\n"
            "Caused by: org.apache.beam.vendor.grpc.v1p60p1.io.grpc.StatusRuntimeException: CANCELLED\n",
            "a Python worker of the job died",
            id="worker",
        ),
    ],
)
def test_a_lost_process_is_named(text: str, reason: str) -> None:
    said = str(failure.decode(text))
    assert said.startswith(f"the Flink job failed: {reason} (")
    assert said.endswith("; try again with the same job key to go on")


def test_a_job_that_a_task_manager_let_go() -> None:
    cause = (
        "FlinkExpectedException: TaskExecutor pekko.tcp://flink@h:1/user/rpc/taskmanager_0 has no more allocated slots"
    )
    said = str(failure.decode(f"JobException: suppressed\n\tat a.b(c)\nCaused by: {cause} for job fb573c40.\n"))
    assert said.startswith(
        "the Flink job failed: a TaskManager had let go of the job when another JobManager took over"
    )


def test_a_job_that_got_no_slots() -> None:
    cause = "org.apache.flink.runtime.jobmanager.scheduler.NoResourceAvailableException: Could not acquire resources."
    error = failure.decode(f"org.apache.flink.runtime.JobException: suppressed\n\tat a.b(c)\nCaused by: {cause}\n")
    assert isinstance(error, exceptions.SlotTimeoutError)
    assert cause in error.trace
