"""An error on its way through Flink, which keeps only the text of a Python exception."""

from __future__ import annotations

import re

from airflow_provider_flinkx import exceptions
from airflow_provider_flinkx.pipeline import marks

_JAVA_CAUSE = re.compile(r"^Caused by: (.*)$", re.MULTILINE)
_PYTHON_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*?(?=\S)(.*)$", re.MULTILINE)


def encode(error: exceptions.FlinkXError) -> str:
    """Text for the exception that fails the Flink job, with the error's type, message, trace and report."""
    return marks.enclose("error", exceptions.to_json(error))


def decode(text: str) -> exceptions.FlinkXError:
    """The error that Flink's exception text stands for; without marks, the Python error or the innermost Java cause."""
    value = marks.find("error", text)
    if value is not None:
        return exceptions.from_json(value)
    reasons = _PYTHON_TRACEBACK.findall(text) or _JAVA_CAUSE.findall(text) or text.strip().splitlines()[:1]
    unknown = exceptions.JobFailedError(f"the Flink job failed: {reasons[-1] if reasons else 'no reason given'}")
    unknown.trace = text
    return unknown
