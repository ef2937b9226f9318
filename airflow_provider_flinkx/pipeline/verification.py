"""`setting.verify`: what a target holds before the first split and after the last, against what was read.

    count     rows by which the table has grown
    checksum  rows, and the checksum of their values (`plugins.checksum`), by which the table's own have grown

The figures before the first split are kept in the ledger with the plan, those of each split with its report: so all
are of the whole run, however many tries it took.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from airflow_provider_flinkx.exceptions import DataError, JobInvalidError
from airflow_provider_flinkx.plugins.base import Reader, Writer
from airflow_provider_flinkx.plugins.checksum import Checksum, Comparison, comparable
from airflow_provider_flinkx.plugins.registry import split_name

if TYPE_CHECKING:
    from airflow_provider_flinkx.pipeline.steps import Run

_PATH = "job.setting.verify"
_OTHERS = "or somebody else wrote the table meanwhile"
_NOT_FIGURED = "an earlier try of this run did not look at the target; take verify out for this run"


class Sides:
    """The rows of source and target side by side: the columns that the job writes.

    Args:
        run: the run.
        writer: the target may be asked for its columns.
        source: schema of the source's rows.
    """

    def __init__(self, run: Run, writer: Writer, source: pa.Schema) -> None:
        self._target = run.target_reader(writer, writer.written_columns(source))
        fields = _named_by_catalog(self._target)
        places = range(len(fields)) if writer.taken is None else writer.taken
        self._pairs = [(source.field(place), field) for place, field in zip(places, fields, strict=True)]
        self._places = list(places)
        self._run = run
        self._comparison = Comparison(fields, timezone=run.context.timezone, empty_is_null=writer.empty_text_is_null)

    def check(self) -> None:
        """Refuse columns whose values cannot be compared.

        Raises:
            JobInvalidError: there are some; all are named.
        """
        content = self._run.job.content
        same = split_name(content.reader.name)[:1] == split_name(content.writer.name)[:1]  # type: ignore[index]
        problems = [
            f"{_PATH}: checksum cannot compare column {target.name}: it is {_words(source)} in the source and "
            f"{_words(target)} in the target; take count, or leave the column out"
            for source, target in self._pairs
            if not comparable(source, target, same_product=same)
        ]
        if problems:
            raise JobInvalidError(problems)

    def of_nothing(self) -> Checksum:
        """The checksum of no rows."""
        return self._comparison.nothing

    def with_rows(
        self, kept: Mapping[str, Any] | None, rows: pa.RecordBatch, rejected_at: Sequence[int]
    ) -> dict[str, Any]:
        """The checksum of a split with rows that were written, without those at the places of the rejected ones."""
        assert kept is not None, "it begins with that of no rows"
        if len(rejected_at):
            rows = rows.take(pa.array(np.setdiff1d(np.arange(rows.num_rows), rejected_at), pa.int64()))
        added = self._comparison.checksum([rows.column(place) for place in self._places], rows.num_rows)
        return (Checksum.from_json(kept) + added).to_json()

    def of_target(self) -> Checksum:
        """The checksum of all rows that the target holds: reads it, batch by batch."""
        parts = (
            self._comparison.checksum(batch.rows.columns, batch.rows.num_rows)
            for split in self._target.splits()
            for batch in self._target.read(split)
        )
        return functools.reduce(operator.add, parts, self._comparison.nothing)

    def close(self) -> None:
        """Release the connection to the target."""
        self._target.close()


def check_writer(run: Run, writer: Writer) -> None:
    """Refuse a target whose rows do not add up.

    Raises:
        JobInvalidError: the job wants them compared.
    """
    method = run.job.setting.verify
    if method and not writer.grows_by_rows:
        name = run.job.content.writer.name
        message = f"{_PATH}: {method} is for tables that rows are inserted into, not for this {name}"
        raise JobInvalidError([f"{message}; leave the key out, or take writeMode insert"])


def check_kept(run: Run, before: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to go on with a run whose earlier try has not kept the figures.

    Raises:
        JobInvalidError: they are needed.
    """
    method = run.job.setting.verify
    if method and not (before and all(_KEY[method] in figures for figures in before)):
        raise JobInvalidError([f"{_PATH}: {_NOT_FIGURED}"])


_KEY = {"count": "rows", "checksum": "checksum"}


def figures(run: Run, reader: Reader, writer: Writer) -> dict[str, Any] | None:
    """What the target holds now: `rows`, and for `checksum` that of them; None where the job does not ask.

    Raises:
        JobInvalidError: a column cannot be compared.
    """
    method = run.job.setting.verify
    if not method:
        return None
    if method == "count":
        return {"rows": writer.row_count()}
    sides = Sides(run, writer, reader.schema)
    try:
        sides.check()
        return sides.of_target().to_json()
    finally:
        sides.close()


class WrittenRows:
    """The checksums of the splits that are in their targets, by the place of their table."""

    def __init__(self) -> None:
        self._sums: dict[int, Checksum] = {}
        self._is_whole = True

    def add(self, table: int, checksum: Mapping[str, Any] | None) -> None:
        """Take that of a split; None where it was made by a try that did not want one."""
        if checksum is None:
            self._is_whole = False
            return
        added = Checksum.from_json(checksum)
        self._sums[table] = self._sums[table] + added if table in self._sums else added

    def of_table(self, table: int) -> Checksum | None:
        """Of one table; None where it has no splits, or they are not known."""
        return self._sums.get(table) if self._is_whole else None

    def of_all(self) -> Checksum | None:
        """Of all tables, which go to one target."""
        return functools.reduce(operator.add, self._sums.values()) if self._sums and self._is_whole else None


def compare_rows(source: int, before: int, now: int) -> tuple[dict[str, Any], str | None]:
    """What the report says of the rows of one target, and what is wrong with them.

    Args:
        source: rows read and not rejected.
        before: rows that were there before the first split.
        now: rows that are there.
    """
    target = now - before
    told = {"source": source, "target": target, "equal": source == target}
    grown = f"the table had {before} rows and has {now}, which is {target} more"
    wrong = f"{source} rows were read and not rejected, but {grown}: rows were lost or doubled, {_OTHERS}"
    return told, None if source == target else wrong


def compare_checksums(
    source: Checksum | None, before: Mapping[str, Any], now: Mapping[str, Any], names: Sequence[str]
) -> tuple[dict[str, Any], str | None]:
    """The same for checksums.

    Args:
        source: of the rows read and not rejected.
        before: `figures` before the first split.
        now: `figures`.
        names: of the target's columns.

    Raises:
        DataError: an earlier try has made no checksums.
    """
    if source is None:
        raise DataError(f"{_PATH}: {_NOT_FIGURED}")
    target = Checksum.from_json(now) - Checksum.from_json(before)
    pairs = zip(names, source.columns, target.columns, strict=True)
    differing = [name for name, left, right in pairs if left != right]
    told = {"method": "checksum", "source": _shown(source), "target": _shown(target), "equal": source == target}
    if source == target:
        return told, None
    sides = [f"{side.rows} rows with the checksum {_shown(side)['checksum']}" for side in (source, target)]
    where = f"columns that differ: {', '.join(differing)}" if differing else "values stand in other rows"
    wrong = f"{sides[0]} were read and not rejected, but the table has grown by {sides[1]} ({where})"
    return {**told, "columns": differing}, f"{wrong}: rows were lost, doubled or altered, {_OTHERS}"


def together(figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of all targets; equal only where each of them is. Checksums of several tables are not added up."""
    is_equal = all(each["equal"] for each in figures)
    if all(each.get("method") == "checksum" for each in figures):
        sides = {side: {"rows": sum(each[side]["rows"] for each in figures)} for side in ("source", "target")}
        return {"method": "checksum", **sides, "equal": is_equal}
    return {**{side: sum(each[side] for each in figures) for side in ("source", "target")}, "equal": is_equal}


def _named_by_catalog(reader: Reader) -> list[pa.Field]:
    """The fields of a table, `uuid` those that the catalog calls so: on MariaDB's wire they are like a CHAR."""
    fields = list(reader.schema)
    if all((field.metadata or {}).get(b"source_type") != b"string" for field in fields):
        return fields
    declared = [column.declared[1].lower() if column.declared else "" for column in reader.table_columns()]
    return [
        field.with_metadata({"source_type": "uuid"}) if kind == "uuid" else field
        for field, kind in zip(fields, declared, strict=True)
    ]


def _shown(checksum: Checksum) -> dict[str, Any]:
    told = checksum.to_json()
    return {"rows": told["rows"], "checksum": told["checksum"]}


def _words(field: pa.Field) -> str:
    return (field.metadata or {}).get(b"source_type", b"").decode() or str(field.type)
