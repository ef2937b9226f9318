"""An error on its way through Flink, which keeps only the text of a Python exception.

The text carries the error's type, message, traceback and report between two marks.
"""

from __future__ import annotations

import json
import re

from airflow_provider_flinkx import exceptions

_PATTERN = re.compile(r"<flinkx-error>(.*?)</flinkx-error>", re.DOTALL)
_JAVA_CAUSE = re.compile(r"^Caused by: (.*)$", re.MULTILINE)


def encode(error: exceptions.FlinkXError) -> str:
    """Text for the exception that fails the Flink job; ASCII, on one line."""
    # The closing mark must not occur inside.
    return "<flinkx-error>" + json.dumps(exceptions.to_json(error)).replace("</", "<\\/") + "</flinkx-error>"


def decode(text: str) -> exceptions.FlinkXError:
    """The error that Flink's exception text stands for; without marks, the innermost Java cause."""
    found = _PATTERN.search(text)
    if found:
        return exceptions.from_json(json.loads(found.group(1)))
    causes = _JAVA_CAUSE.findall(text)
    first_line = text.strip().splitlines()[0] if text.strip() else "no message"
    unknown = exceptions.JobFailedError(f"the Flink job failed: {causes[-1] if causes else first_line}")
    unknown.trace = text
    return unknown
