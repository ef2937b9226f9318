"""Every error that this package raises on purpose, under one root.

An error's text is one line that says what, where and what to do, and holds no password.
`exit_code` is what the `flinkx` command ends with; `retryable` says whether the same job,
unchanged, may succeed when it is tried again.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class FlinkXError(Exception):
    """Root of all errors of this package.

    Attributes:
        report: the job report as far as it goes, when the error ended a running job.
        trace: the traceback of the place where it happened, for the log, when that was elsewhere.
    """

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    report: Mapping[str, Any] | None = None
    trace: str = ""


class JobFileError(FlinkXError):
    """The job itself is wrong; running it again changes nothing."""

    exit_code = 2


class JobTextError(JobFileError):
    """The job text is not readable JSON; the message has line, column and the text around."""


class JobInvalidError(JobFileError):
    """The job is readable but wrong; `problems` lists everything that is wrong, each with its path."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(list(problems))
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class MissingDriverError(JobFileError):
    """A plugin's client library is not installed; the message names the extra that brings it."""


class DataError(FlinkXError):
    """A source or a target refused to read or write; not a matter of single rows."""


class ConnectionFailedError(DataError):
    """The server cannot be reached, or the connection broke."""

    retryable = True


class AccessDeniedError(DataError):
    """The server answered, and refused the login or the right."""


class NotFoundError(DataError):
    """A table, column, file or directory is not there."""


class RanAgainError(FlinkXError):
    """Flink ran the job again by itself, into a target without a ledger: rows may be there twice."""


class ErrorLimitExceededError(FlinkXError):
    """More rows were rejected than `setting.errorLimit` allows."""

    exit_code = 3


class LocationMovedError(FlinkXError):
    """Another run has moved the location of an incremental read meanwhile; its rows may be there twice."""


class JobFailedError(FlinkXError):
    """The Flink job ended without success."""

    retryable = True


class JobCancelledError(FlinkXError):
    """The Flink job was cancelled."""

    exit_code = 130


class ClusterError(FlinkXError):
    """The Flink cluster cannot be reached or started."""

    retryable = True


class ClusterUnreachableError(ClusterError):
    """No JobManager answers at the cluster's addresses."""


class VersionMismatchError(ClusterError):
    """The cluster runs another Flink than the driver's interpreter has; a job graph fits its own version only."""

    exit_code = 2
    retryable = False


class SlotTimeoutError(ClusterError):
    """The cluster had no free slots for the job within `slot_timeout`, or within Flink's own; the job has ended."""


class JobLostError(JobFailedError):
    """The cluster answers, but no longer knows the job: how far it came is unknown."""


def to_json(error: BaseException) -> dict[str, Any]:
    """An error as plain JSON, for another process: type, message, trace, report."""
    known = isinstance(error, FlinkXError)
    lines = str(error).strip().splitlines()
    return {
        "type": type(error).__name__ if known else JobFailedError.__name__,
        "message": str(error) if known else f"{type(error).__name__}: {lines[0] if lines else 'no message'}",
        "trace": getattr(error, "trace", "") or "".join(traceback.format_exception(error)),
        "report": error.report if isinstance(error, FlinkXError) else None,
    }


def from_json(value: Mapping[str, Any]) -> FlinkXError:
    """Inverse of `to_json`; a type that this version does not know becomes JobFailedError."""
    kind = globals().get(value["type"])
    if not (isinstance(kind, type) and issubclass(kind, FlinkXError)):
        kind = JobFailedError
    message: str = value["message"]
    error = kind(message.split("\n")) if issubclass(kind, JobInvalidError) else kind(message)
    error.trace = value.get("trace") or ""
    error.report = value.get("report")
    return error
