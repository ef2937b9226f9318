"""The plan of a job that reads many tables: each is looked at as in a job of its own, in turn.

One connection looks at all tables of a server. All tables come before the first target, so that no
target is touched when one of them cannot be read.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pyarrow as pa

from airflow_provider_flinkx.exceptions import DataError, JobInvalidError
from airflow_provider_flinkx.jobs import many_tables
from airflow_provider_flinkx.jobs.model import SourceTable
from airflow_provider_flinkx.pipeline import verification
from airflow_provider_flinkx.pipeline.steps import Run, shared_state
from airflow_provider_flinkx.plugins.base import KeptRun, Reader, Split, TableColumn, Writer


class _Source(NamedTuple):
    """A table of the source, once it was looked at; its reader has no connection open."""

    table: SourceTable
    reader: Reader
    schema: pa.Schema
    splits: Sequence[Split]


def begin(run: Run, reader: Reader, digest: str) -> KeptRun:
    """Prepare all targets and cut all tables.

    Args:
        run: of the whole job.
        reader: of the whole job.
        digest: see `KeptRun`.

    Raises:
        JobInvalidError: two tables would go to one target, or tables that go to one target differ.
        DataError: a table cannot be read, or a target is not as it must be.
    """
    tables = list(reader.tables())
    own_targets = many_tables.has_own_targets(run.job.content)
    if own_targets:
        _check_names(run, tables)
    sources: list[_Source] = []
    for table in tables:
        sources.append(_look_at(run, table, sources[-1].reader if sources else None))
    if not own_targets:
        _check_shapes(sources, with_lengths=_makes_table(run))
    splits: list[Split] = []
    for number, source in enumerate(sources):
        splits += [replace(split, index=len(splits) + at, table=number) for at, split in enumerate(source.splits)]
    if own_targets:
        pairs = [(run.of_target([source.table], common=source is sources[0]), source) for source in sources]
    else:
        pairs = [(run.of_target(tables), sources[0])]
    return KeptRun(digest, splits, {}, before=_prepared(pairs), tables=tables)


def resume(run: Run, kept: KeptRun) -> None:
    """Look at the targets of the tables that an earlier try has left unfinished."""
    left = {split.table for split in kept.splits if split.index not in kept.done}
    for number in sorted(left):
        part = run.of_table(kept.tables[number])
        with contextlib.closing(part.reader()) as reader, contextlib.closing(part.writer(reader.schema)) as writer:
            writer.resume(reader.schema)


def splits_of(kept: KeptRun) -> Iterator[tuple[SourceTable, int]]:
    """Each table, and how many splits it has."""
    counts = Counter(split.table for split in kept.splits)
    for number, table in enumerate(kept.tables):
        yield table, counts[number]


def _look_at(run: Run, table: SourceTable, last: Reader | None) -> _Source:
    with contextlib.closing(run.of_table(table).reader()) as reader:
        if last is not None:
            reader.join_snapshot(last)
        source = _Source(table, reader, reader.schema, reader.splits())
        shared_state(run).hold(reader)
        return source


def _prepared(pairs: Sequence[tuple[Run, _Source]]) -> list[dict[str, Any]]:
    """Prepare the targets; gives what they hold then, where the job wants them verified."""
    run, _ = pairs[0]
    targets = [(each, source, each.writer(source.schema)) for each, source in pairs]
    run.writer_class().prepare_all([(writer, source.reader) for _, source, writer in targets])
    before = [_figures(each, source, writer) for each, source, writer in targets]
    return [figures for figures in before if figures is not None]


def _figures(run: Run, source: _Source, writer: Writer) -> dict[str, Any] | None:
    with contextlib.closing(source.reader), contextlib.closing(writer):
        return verification.figures(run, source.reader, writer)


def _check_names(run: Run, tables: Sequence[SourceTable]) -> None:
    """No two tables may go to one target by accident."""
    by_target: dict[str, list[str]] = {}
    for table in tables:
        target = many_tables.target_of_table(run.job.content, table)
        by_target.setdefault(target, []).append(table.label)
    doubled = [f"{target} from {' and '.join(labels)}" for target, labels in by_target.items() if len(labels) > 1]
    if doubled:
        raise JobInvalidError(
            [
                f"job.content[0].writer.parameter.{many_tables.key_of_target(run.job.content)}: two tables would go to "
                f"one: {'; '.join(doubled)}; leave {many_tables.TABLE} out where they are meant to"
            ]
        )


def _makes_table(run: Run) -> bool:
    parameter = run.job.content.writer.parameter
    return bool(parameter.get("createTable")) or parameter.get("saveMode") == "recreate"


def _check_shapes(sources: Sequence[_Source], *, with_lengths: bool) -> None:
    """Tables that go to one target must be alike: by name, place and type.

    Args:
        sources: the tables.
        with_lengths: whether lengths count too, because the target is made like the first table.
    """
    first, *others = sources
    wanted = _shape(first, with_lengths=with_lengths)
    problems = []
    for other in others:
        found = _shape(other, with_lengths=with_lengths)
        if differences := _differences(wanted, found):
            problems.append(f"{other.table.label} has {', '.join(differences)}")
    if problems:
        raise DataError(
            f"the tables that are read into one differ from {first.table.label}: {'; '.join(problems)}: give the "
            "columns that they have in common, or {table} in the writer's table"
        )


def _shape(source: _Source, *, with_lengths: bool) -> list[tuple[str, str]]:
    """Name and type of each column."""
    if not with_lengths:
        return [(field.name, _type_name(field)) for field in source.schema]
    with contextlib.closing(source.reader):
        return [(column.name, _declared(column)) for column in source.reader.table_columns()]


def _type_name(field: pa.Field) -> str:
    """The Arrow type; for what crosses as text, the source's own."""
    source = (field.metadata or {}).get(b"source_type")
    return source.decode() if source and pa.types.is_string(field.type) else str(field.type)


def _declared(column: TableColumn) -> str:
    length = "" if column.length is None else f"({column.length})"
    return column.declared[1] if column.declared else f"{column.type}{length}"


def _differences(wanted: Sequence[tuple[str, str]], found: Sequence[tuple[str, str]]) -> list[str]:
    """What a table has otherwise, in words."""
    types = dict(found)
    missing = [f"no {name}" for name, _ in wanted if name not in types]
    added = [f"a column {name} more" for name, _ in found if name not in dict(wanted)]
    changed = [
        f"{name} as {types[name]} instead of {kind}" for name, kind in wanted if name in types and types[name] != kind
    ]
    moved = ["its columns in another order"] if not (missing or added or wanted == found or changed) else []
    return [*missing, *added, *changed, *moved]
