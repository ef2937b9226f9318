"""An error on its way through Flink, which keeps only the text of a Python exception."""

from __future__ import annotations

import re

from airflow_provider_flinkx import exceptions
from airflow_provider_flinkx.pipeline import marks

_JAVA_CAUSE = re.compile(r"^Caused by: (.*)$", re.MULTILINE)
_PYTHON_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*?(?=\S)(.*)$", re.MULTILINE)
_LOST_TASK_MANAGER = re.compile(
    r"TaskManager with id (?P<id>\S+) (?:is no longer reachable|timed out)|by remote task manager '(?P<address>[^' ]+)"
)
#: A TaskManager has freed the slots of its dead JobManager while the job was about to run again.
_LET_GO = re.compile(r"TaskExecutor \S+ has no more allocated slots for job")
#: What Beam says when the other end of its connection is gone.
_LOST_WORKER = re.compile(r"BeamPythonFunctionRunner.*StatusRuntimeException: CANCELLED", re.DOTALL)
_GO_ON = "try again with the same job key to go on"


def encode(error: exceptions.FlinkXError) -> str:
    """Text for the exception that fails the Flink job, with the error's type, message, trace and report."""
    return marks.enclose("error", exceptions.to_json(error))


def decode(text: str) -> exceptions.FlinkXError:
    """The error that Flink's exception text stands for; without marks, what is known of its cause."""
    value = marks.find("error", text)
    if value is not None:
        return exceptions.from_json(value)
    unknown = _without_slots() if "NoResourceAvailableException" in text else exceptions.JobFailedError(_reason(text))
    unknown.trace = text
    return unknown


def _without_slots() -> exceptions.SlotTimeoutError:
    return exceptions.SlotTimeoutError(
        "the cluster had no free slots for the job for as long as Flink waits: add TaskManagers or slots, or lower "
        "speed.channel"
    )


def _reason(text: str) -> str:
    return f"the Flink job failed: {_cause(text)}"


def _cause(text: str) -> str:
    if lost := _LOST_TASK_MANAGER.search(text):
        where = lost["id"] or lost["address"]
        return f"the TaskManager {where} was lost (killed, out of memory, or its machine is gone); {_GO_ON}"
    if _LET_GO.search(text):
        return f"a TaskManager had let go of the job when another JobManager took over; {_GO_ON}"
    if raised := _PYTHON_TRACEBACK.findall(text):
        return str(raised[-1])
    if _LOST_WORKER.search(text):
        return (
            "a Python worker of the job died (killed, out of memory, or a crash in a driver's library; the log of its "
            f"TaskManager may tell); {_GO_ON}"
        )
    reasons = _JAVA_CAUSE.findall(text) or text.strip().splitlines()[:1]
    return reasons[-1] if reasons else "no reason given"
