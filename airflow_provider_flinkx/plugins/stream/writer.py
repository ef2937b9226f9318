"""streamwriter: counts rows and drops them, after printing them if the job says so (job.md §2)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from airflow_provider_flinkx.plugins.base import Split, SplitWriter, Writer, WriteResult
from airflow_provider_flinkx.plugins.conversion import json_rows


class StreamWriter(Writer):
    """A target that keeps nothing."""

    runs_again = True

    def prepare(self, schema: pa.Schema) -> None:
        """Nothing to prepare."""

    def open(self, split: Split, schema: pa.Schema) -> StreamSplitWriter:  # noqa: ARG002 - the contract's arguments
        """A split writer that prints if `print` is true."""
        delimiter = self.parameter.get("writeDelimiter") or "|"
        return StreamSplitWriter(delimiter if self.parameter.get("print") else None)

    def finish(self, report: Mapping[str, Any] | None = None) -> None:
        """Nothing to publish."""

    def abort(self) -> None:
        """Nothing to remove."""


class StreamSplitWriter(SplitWriter):
    """Prints rows when it has a delimiter."""

    def __init__(self, delimiter: str | None) -> None:
        self._delimiter = delimiter

    def write(self, batch: pa.RecordBatch) -> WriteResult:
        """Every row counts as written."""
        if self._delimiter is not None:
            names = [str(index) for index in range(batch.num_columns)]
            for row in json_rows(batch, names):
                sys.stdout.write(self._delimiter.join(map(_shown, row.values())) + "\n")
            sys.stdout.flush()
        return WriteResult(batch.num_rows)

    def commit(self) -> None:
        """Nothing to keep."""

    def rollback(self) -> None:
        """Printed rows stay printed."""


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
