"""The job as typed values: what the rest of the package works with after validation.

Imports neither Arrow nor Flink nor Airflow. Meaning of the keys: ../shared/flinkx/job.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Column:
    """One element of `column` (job.md §10); exactly one of name, index, value is sure to be there.

    `type` is the lower-cased type name without (n,m); `type_arguments` are the numbers in the brackets.
    `value` alone is a constant, beside name or index the default for null. `format` is a date pattern
    of Java's SimpleDateFormat.
    """

    name: str | None = None
    index: int | None = None
    type: str | None = None
    type_arguments: tuple[int, ...] = ()
    value: str | None = None
    format: str | None = None
    splitter: str | None = None
    is_part: bool = False


@dataclass(frozen=True)
class ErrorLimit:
    """`setting.errorLimit`: None means no limit; strictly greater than the limit fails the job."""

    record: int | None = 0
    percentage: float | None = 0.0


@dataclass(frozen=True)
class Speed:
    """`setting.speed`: channels, and bytes per second of the whole job (None: no ceiling)."""

    channel: int = 1
    bytes: int | None = None


@dataclass(frozen=True)
class Dirty:
    """`setting.dirty`: where rejected rows are written; `format` is "json" or "flinkx"."""

    path: str | None = None
    hadoop_config: Mapping[str, Any] = field(default_factory=dict)
    format: str = "json"


@dataclass(frozen=True)
class Setting:
    """`job.setting`.

    `exactly_once` is None where the job does not say: then a target that cannot keep a ledger does without. `restore`
    is FlinkX's word for it (job.md §7), which its own file writers take too.
    `verify` is "count", "checksum" or None.
    """

    speed: Speed = Speed()
    error_limit: ErrorLimit = ErrorLimit()
    dirty: Dirty = Dirty()
    timezone: str = "UTC"
    exactly_once: bool | None = None
    restore: bool = False
    verify: str | None = None


@dataclass(frozen=True)
class Endpoint:
    """A reader or writer of a job: plugin name such as `mysqlreader`, parameters with defaults filled in.

    `columns` is empty for `["*"]`.
    """

    name: str
    parameter: Mapping[str, Any]
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Content:
    """One reader-writer pair."""

    reader: Endpoint
    writer: Endpoint


@dataclass(frozen=True)
class SourceTable:
    """One of the tables of a job that reads many.

    Args:
        table: its name as it stands in `connection[].table` of the job of this table alone.
        name: without schema and quotes; what `{table}` stands for.
        label: what messages and the report call it.
        connection: place in the reader's `connection`.
    """

    table: str
    name: str
    label: str
    connection: int = 0


@dataclass(frozen=True)
class Job:
    """A validated job. `document` is the plain JSON value that it came from, defaults not filled in."""

    content: Content
    setting: Setting
    document: Mapping[str, Any]
