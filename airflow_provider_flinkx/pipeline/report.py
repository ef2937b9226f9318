"""Counters of a split and of a job, and the job report that ends in XCom.

Names of counters are FlinkX's (job.md §9). `numWrite` counts rows that are durable in the target, never
rows of a split that was rolled back; rejected rows count in `nErrors` and in one category.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from airflow_provider_flinkx.jobs.model import ErrorLimit, Job
from airflow_provider_flinkx.jobs.references import is_secret_key
from airflow_provider_flinkx.plugins.base import Category, Reject

#: Rows that a job must have read before its ratio of rejected rows is judged while it runs.
ROWS_BEFORE_RATIO = 100_000
#: By how many standard deviations of an even spread the ratio must then be above the limit.
_DEVIATIONS_OF_CHANCE = 6
MAX_SAMPLES = 20
MAX_SAMPLE_TEXT = 200

_COUNTER_OF_CATEGORY = {
    Category.NULL: "nullErrors",
    Category.DUPLICATE: "duplicateErrors",
    Category.CONVERSION: "conversionErrors",
    Category.OTHER: "otherErrors",
}


@dataclass
class Counters:
    """FlinkX's counters: rows, bytes of Arrow data, and milliseconds of work summed over channels."""

    numRead: int = 0  # noqa: N815
    numWrite: int = 0  # noqa: N815
    nErrors: int = 0  # noqa: N815
    nullErrors: int = 0  # noqa: N815
    duplicateErrors: int = 0  # noqa: N815
    conversionErrors: int = 0  # noqa: N815
    otherErrors: int = 0  # noqa: N815
    byteRead: int = 0  # noqa: N815
    byteWrite: int = 0  # noqa: N815
    readDuration: int = 0  # noqa: N815
    writeDuration: int = 0  # noqa: N815

    def add(self, other: Counters) -> None:
        """Add the other's numbers to these."""
        for counter in fields(self):
            setattr(self, counter.name, getattr(self, counter.name) + getattr(other, counter.name))

    def count_rejects(self, rejects: Sequence[Reject]) -> None:
        """Count rejected rows, in total and by category."""
        self.nErrors += len(rejects)
        for reject in rejects:
            name = _COUNTER_OF_CATEGORY[reject.category]
            setattr(self, name, getattr(self, name) + 1)

    def without_writes(self) -> Counters:
        """These counters for a split that was rolled back: what was read and rejected, nothing written."""
        return Counters(**{**asdict(self), "numWrite": 0, "byteWrite": 0})


@dataclass
class SplitReport:
    """What became of one split. Crosses Flink as JSON, so it stays small: samples are capped.

    `table` is the place of its table in a job that reads many. `checksum` is that of the rows that were written, where
    the job wants it.
    """

    index: int
    counters: Counters = field(default_factory=Counters)
    samples: list[dict[str, Any]] = field(default_factory=list)
    dirty_file: str | None = None
    location: dict[str, str] = field(default_factory=dict)
    table: int = 0
    checksum: dict[str, Any] | None = None

    def add_samples(self, rejects: Sequence[Reject], of_table: Mapping[str, str]) -> None:
        """Keep the first rejected rows as samples, values cut and secrets masked.

        Args:
            rejects: the rows.
            of_table: what says which table they come from, where the job reads many; else nothing.
        """
        for reject in rejects[: MAX_SAMPLES - len(self.samples)]:
            row = {name: _sample_value(name, value) for name, value in reject.row.items()}
            message = reject.message[: 2 * MAX_SAMPLE_TEXT]
            self.samples.append({**of_table, "category": reject.category.value, "message": message, "row": row})

    def to_json(self) -> dict[str, Any]:
        """Plain JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SplitReport:
        """Inverse of `to_json`."""
        return cls(**{**value, "counters": Counters(**value["counters"])})


def _sample_value(name: str, value: Any) -> Any:
    if is_secret_key(name):
        return "***"
    if isinstance(value, str) and len(value) > MAX_SAMPLE_TEXT:
        return value[:MAX_SAMPLE_TEXT] + "…"
    return value


def error_limit_outcome(limit: ErrorLimit, errors: int, read: int) -> dict[str, Any]:
    """Judge rejected rows of the whole job against `setting.errorLimit` (job.md §4).

    Args:
        limit: the two limits; None means none.
        errors: rejected rows of the job.
        read: rows read by the job; the base of the ratio.

    Returns:
        record, percentage, nErrors, ratio (0..1), exceeded, reason; exceeded means strictly greater.
    """
    ratio = errors / read if read else 0.0
    reason = None
    if limit.record is not None and errors > limit.record:
        reason = f"{errors} rows were rejected, errorLimit.record allows {limit.record}"
    elif limit.percentage is not None and ratio * 100 > limit.percentage and not _same(ratio * 100, limit.percentage):
        reason = f"{errors} of {read} rows were rejected ({ratio:.4%}), errorLimit.percentage allows {limit.percentage}"
    return {
        "record": limit.record,
        "percentage": limit.percentage,
        "nErrors": errors,
        "ratio": ratio,
        "exceeded": reason is not None,
        "reason": reason,
    }


def reason_to_end_early(limit: ErrorLimit, errors: int, read: int) -> str | None:
    """Judge the ratio of rejected rows while others are still to come, which may make it fall again.

    It counts from `ROWS_BEFORE_RATIO` rows on, and only above what bad rows that are spread evenly over a job that
    passes would give by chance: errors > p * read + 6 * sqrt(p * (1 - p) * read), with p = percentage / 100. A
    percentage of 0 has nothing to wait for.

    Args:
        limit: its percentage; None means none.
        errors: rejected rows so far.
        read: rows read so far, each batch as a whole with its rejects.

    Returns:
        Why the job must end; None when it may go on.
    """
    outcome = error_limit_outcome(replace(limit, record=None), errors, read)
    if limit.percentage is None or not outcome["exceeded"]:
        return None
    share = limit.percentage / 100
    chance = _DEVIATIONS_OF_CHANCE * math.sqrt(share * (1 - share) * read)
    is_certain = share == 0 or (read >= ROWS_BEFORE_RATIO and errors > share * read + chance)
    return f"{outcome['reason']}; judged while rows were still to come" if is_certain else None


def _same(left: float, right: float) -> bool:
    # 29 of 100 rows are 28.999999999999996 % or 29.000000000000004 %: not more than 29.
    return math.isclose(left, right, rel_tol=1e-12)


@dataclass
class TableReport:
    """The sum over the splits of one of the tables of a job that reads many.

    Args:
        source: the table that is read, as messages call it.
        target: the table that is written.
        splits: how many there are.
        failed: whether one of them has failed, or rows were lost or doubled.
    """

    source: str
    target: str
    splits: int
    splits_done: int = 0
    counters: Counters = field(default_factory=Counters)
    location: dict[str, str] = field(default_factory=dict)
    verification: dict[str, Any] | None = None
    failed: bool = False

    def add(self, split: SplitReport, *, committed: bool) -> None:
        """Add a split; only a committed one counts as done."""
        self.splits_done += committed
        self.counters.add(split.counters)
        self.location.update(split.location)

    def to_json(self, *, finished: bool, published: bool) -> dict[str, Any]:
        """The table's part of the report.

        Args:
            finished: whether the job has.
            published: whether what its splits wrote is in the target.
        """
        written = published and self.splits_done == self.splits
        unfinished = "FAILED" if self.failed else "WRITTEN" if written else "UNFINISHED"
        return {
            "source": self.source,
            "target": self.target,
            "state": "FINISHED" if finished else unfinished,
            **asdict(self.counters),
            "splits": self.splits,
            "splitsDone": self.splits_done,
            **self.location,
            **({} if self.verification is None else {"verify": self.verification}),
        }


@dataclass
class JobReport:
    """The running sum over splits, in the report step; `to_json` is the report of design.md, "XCom".

    `located` are the indexes of the first and the last split that have told a location. `tables` are those of a job
    that reads many. `published` is whether what was committed is in the target, `each_row_once` whether it is there
    once even when Flink runs the job again by itself.
    """

    job: Job
    splits: int = 0
    splits_done: int = 0
    counters: Counters = field(default_factory=Counters)
    samples: list[dict[str, Any]] = field(default_factory=list)
    dirty_files: list[str] = field(default_factory=list)
    location: dict[str, str] = field(default_factory=dict)
    located: tuple[int, int] | None = None
    warnings: list[str] = field(default_factory=list)
    ended_early: str | None = None
    verification: dict[str, Any] | None = None
    tables: list[TableReport] = field(default_factory=list)
    published: bool = True
    each_row_once: bool = False

    def add(self, split: SplitReport, *, committed: bool) -> None:
        """Add a split; only a committed one counts as done."""
        self.splits_done += committed
        self.counters.add(split.counters)
        self.samples.extend(split.samples[: MAX_SAMPLES - len(self.samples)])
        if split.dirty_file:
            self.dirty_files.append(split.dirty_file)
        if self.tables:
            self.tables[split.table].add(split, committed=committed)
        elif split.location:
            self._add_location(split)

    def _add_location(self, split: SplitReport) -> None:
        """From where the first split reads to where the last one does; those of a job that polls differ."""
        first, last = self.located or (split.index, split.index)
        begins_before, ends_after = split.index <= first, split.index >= last
        for name, value in split.location.items():
            if name not in self.location or (begins_before if name == "startLocation" else ends_after):
                self.location[name] = value
        self.located = (min(first, split.index), max(last, split.index))

    def take_back_writes(self) -> None:
        """Nothing of what was committed is in the target, because the job failed before its publication."""
        self.published = False
        self.counters = self.counters.without_writes()
        for table in self.tables:
            table.counters = table.counters.without_writes()

    def error_limit(self) -> dict[str, Any]:
        """See `error_limit_outcome`; a reason to end the job early stands, whatever was read beside it."""
        outcome = error_limit_outcome(self.job.setting.error_limit, self.counters.nErrors, self.counters.numRead)
        if self.ended_early is not None and not outcome["exceeded"]:
            outcome |= {"exceeded": True, "reason": self.ended_early}
        return outcome

    def to_json(self, *, state: str, seconds: float) -> dict[str, Any]:
        """The report; `seconds` is the wall time from the plan to now."""
        counters = asdict(self.counters)
        by_category = {category.value: counters[name] for category, name in _COUNTER_OF_CATEGORY.items()}
        content = {
            "reader": self.job.content.reader.name,
            "writer": self.job.content.writer.name,
            **counters,
            **self.location,
        }
        return {
            "state": state,
            **counters,
            "seconds": round(seconds, 3),
            "rowsPerSecond": round(self.counters.numWrite / seconds) if seconds > 0 else 0,
            "splits": self.splits,
            "splitsDone": self.splits_done,
            **self.location,
            "timezone": self.job.setting.timezone,
            "warnings": self.warnings,
            "eachRowOnce": self.each_row_once,
            **({} if self.verification is None else {"verify": self.verification}),
            **({"tables": self._tables(finished=state == "FINISHED")} if self.tables else {}),
            "contents": [content],
            "error_limit": self.error_limit(),
            "dirty_data": {
                "path": self.job.setting.dirty.path,
                "files": self.dirty_files,
                "count": self.counters.nErrors,
                "by_category": by_category,
                "samples": self.samples,
            },
        }

    def _tables(self, *, finished: bool) -> list[dict[str, Any]]:
        return [table.to_json(finished=finished, published=self.published) for table in self.tables]
