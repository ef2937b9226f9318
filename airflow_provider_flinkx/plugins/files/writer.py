"""Writes files: columns of the target table, files of bounded size, publication at the end (hdfs.md)."""

from __future__ import annotations

import abc
import contextlib
import posixpath
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa

from airflow_provider_flinkx.exceptions import FlinkXError, JobInvalidError
from airflow_provider_flinkx.jobs.many_tables import TABLE
from airflow_provider_flinkx.jobs.model import Column
from airflow_provider_flinkx.jobs.types import parse_type
from airflow_provider_flinkx.plugins.base import Category, Reader, RunContext, Split, SplitWriter, Writer, WriteResult
from airflow_provider_flinkx.plugins.conversion import arrow_type, conform, rejects_of
from airflow_provider_flinkx.plugins.files.filesystem import Location, errors
from airflow_provider_flinkx.plugins.files.publication import Publication
from airflow_provider_flinkx.plugins.files.sinks import Sink, SinkFactory

_DEFAULT_FILE_BYTES: Final = 1 << 30
_MOST_ORC_DIGITS: Final = 38
#: Numbers that Hive has no type for, and the ones that hold them.
_SIGNED: Final = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
}


class FileWriter(Writer):
    """What every writer of files does; a subclass says where the files go."""

    published_by_finish = True
    runs_again = True

    def __init__(self, parameter: Mapping[str, Any], columns: Sequence[Column], context: RunContext) -> None:
        super().__init__(parameter, columns, context)
        self.sinks = SinkFactory(parameter, context.timezone)
        self.most_file_bytes = int(parameter.get("maxFileSize") or _DEFAULT_FILE_BYTES)

    @abc.abstractmethod
    def connect(self) -> Location:
        """The file system; its path is not looked at."""

    @cached_property
    def location(self) -> Location:
        """File system and target directory, with `{table}` where it stands in the job."""
        filesystem, _, url = self.connect()
        given = str(self.parameter["path"]).removeprefix(url)
        return Location(filesystem, posixpath.join("/", given, self.parameter.get("fileName") or "").rstrip("/"), url)

    @cached_property
    def publication(self) -> Publication:
        """The files of this attempt.

        Raises:
            JobInvalidError: the name of a table cannot be that of a directory.
        """
        above, below = _cut(self.location.path)
        location, names = self.location._replace(path=above), self.context.tables
        if not below:
            return Publication(location, [""], self.context)
        wrong = [name for name in names if "/" in name or name in (".", "..")]
        if wrong:
            raise JobInvalidError(
                [
                    f"path: table {name!r} has a name that no directory can have; read it in a job of its own"
                    for name in wrong
                ]
            )
        return Publication(location, [below.replace(TABLE, name) for name in names], self.context)

    def prepare(self, schema: pa.Schema) -> None:
        """Check the columns and make the hidden directory."""
        self.columns_of(schema)
        self.publication.prepare()

    @classmethod
    def prepare_all(cls, targets: Sequence[tuple[Writer, Reader]]) -> None:
        """The columns of all tables, then all directories."""
        problems: list[str] = []
        for writer, reader in targets:
            assert isinstance(writer, FileWriter)
            try:
                with contextlib.closing(reader), contextlib.closing(writer):
                    writer.columns_of(reader.schema)
            except JobInvalidError as error:
                problems += [f"table {', '.join(writer.context.tables)}: {problem}" for problem in error.problems]
        if problems:
            raise JobInvalidError(problems)
        first, _ = targets[0]
        names = [name for writer, _ in targets for name in writer.context.tables]
        whole = cls(first.parameter, first.columns, replace(first.context, tables=tuple(names)))
        whole.publication.prepare()

    def open(self, split: Split, schema: pa.Schema) -> FileSplitWriter:
        """The files of a split."""
        return FileSplitWriter(self, split, self.columns_of(schema))

    def columns_of(self, schema: pa.Schema) -> TargetColumns:
        """The columns of the files for rows of `schema`."""
        return TargetColumns(self.parameter, self.columns, self.sinks.file_type, schema)

    def finish(self, report: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002  # no ledger here
        """Publish all files."""
        mode = str(self.parameter.get("writeMode") or "append").lower()
        self.publication.publish(overwrite=mode != "append")

    def abort(self) -> None:
        """Remove all files that are not published."""
        with contextlib.suppress(FlinkXError):
            self.publication.abort()


def _cut(path: str) -> tuple[str, str]:
    """A path as the directory that the directories of all tables are below, and the rest; no rest without `{table}`."""
    before, found, _ = path.partition(TABLE)
    if not found:
        return path, ""
    above = before[: before.rindex("/")]
    return above or "/", path[len(above) + 1 :]


class TargetColumns:
    """Which columns the files have, and which column of the source supplies each; without names in the job all of them.

    `incoming` are the types that the source's columns get, `target` the columns of the files: the same ones, in
    the order of `fullColumnName`, with nulls for those that the job does not name.

    Raises:
        JobInvalidError: unknown types, or columns that do not fit together; all problems at once.
    """

    def __init__(
        self, parameter: Mapping[str, Any], columns: Sequence[Column], file_type: str, source: pa.Schema
    ) -> None:
        columns = columns or [Column(name=name) for name in source.names]
        if len(columns) != len(source):
            raise JobInvalidError([f"the reader has {len(source)} columns, the writer's column has {len(columns)}"])
        self._file_type = file_type
        self._problems: list[str] = []
        names = parameter.get("fullColumnName") or [column.name or "" for column in columns]
        full = self._full_columns(names, parameter.get("fullColumnType"))
        self._check_names([column.name or "" for column in columns], names)
        pairs = zip(columns, source, strict=True)
        # The type of the table's column counts; `column` may repeat it, and is all there is without fullColumnType.
        typed = [(full.get((column.name or "").lower(), column), field.type) for column, field in pairs]
        self.incoming = pa.schema([(column.name or "", self._type(column, source)) for column, source in typed])
        places = {column.lower(): place for place, column in enumerate(self.incoming.names)}
        self._places = [places.get(name.lower()) for name in names]
        self.target = pa.schema([self._target_field(name, places.get(name.lower()), full) for name in names])
        if self._problems:
            raise JobInvalidError(self._problems)

    def _full_columns(self, names: Sequence[str], types: Sequence[str] | None) -> dict[str, Column]:
        """The columns that `fullColumnType` gives a type, by name in lower case."""
        if not types:
            return {}
        if len(types) != len(names):
            self._problems.append(f"fullColumnType has {len(types)} types for {len(names)} columns")
        pairs = zip(names, map(parse_type, types), strict=False)
        return {name.lower(): Column(name=name, type=kind.name, type_arguments=kind.arguments) for name, kind in pairs}

    def _check_names(self, given: Sequence[str], full: Sequence[str]) -> None:
        known = {name.lower() for name in full}
        self._problems += [f"column {name!r} is not in fullColumnName" for name in given if name.lower() not in known]
        for where, names in (("column", given), ("fullColumnName", full)):
            counts = Counter(name.lower() for name in names)
            self._problems += [
                f"{where}: {name!r} is there {count} times" for name, count in counts.items() if count > 1
            ]

    def _target_field(self, name: str, place: int | None, full: Mapping[str, Column]) -> pa.Field:
        if place is not None:
            return self.incoming.field(place).with_name(name)
        column = full.get(name.lower())
        return pa.field(name, pa.string() if column is None else self._type(column, pa.string()))

    def _type(self, column: Column, source: pa.DataType) -> pa.DataType:
        arrow = arrow_type(column) if column.type else self._like(source)
        if arrow is None and column.type in ("decimal", "number"):
            arrow = self._decimal_without_digits(source)
        if arrow is None:
            self._problems.append(f"column {column.name}: type {column.type!r} is not known")
            return pa.string()
        if self._file_type == "orc" and not _fits_orc(arrow):
            self._problems.append(f"column {column.name}: ORC has no type {arrow}")
        return arrow

    def _like(self, source: pa.DataType) -> pa.DataType:
        """The type that Hive has for all values of the source's; text where it has none."""
        if source in _SIGNED:
            return _SIGNED[source]
        if pa.types.is_timestamp(source):
            return pa.timestamp("us")
        is_beyond = pa.types.is_decimal256(source) or (pa.types.is_time(source) and self._file_type == "orc")
        return pa.string() if is_beyond else source

    def _decimal_without_digits(self, source: pa.DataType) -> pa.DataType:
        """The source's digits, else Hive's widest; in a text file the number's text stays as it is."""
        if pa.types.is_decimal(source):
            return source
        if pa.types.is_integer(source):
            return pa.decimal128(20, 0)
        return pa.string() if self._file_type == "text" else pa.decimal128(38, 18)

    def arrange(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Rows of `incoming` as rows of `target`."""
        pairs = zip(self.target, self._places, strict=True)
        arrays = [
            pa.nulls(batch.num_rows, field.type) if place is None else batch.column(place) for field, place in pairs
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.target)


def _fits_orc(arrow: pa.DataType) -> bool:
    if pa.types.is_decimal(arrow):
        return bool(arrow.precision <= _MOST_ORC_DIGITS)
    return not pa.types.is_time(arrow)


class FileSplitWriter(SplitWriter):
    """The files of one split; a new one is begun when one has reached `maxFileSize`, or does not take a batch."""

    def __init__(self, writer: FileWriter, split: Split, columns: TargetColumns) -> None:
        self._writer = writer
        self._split = split.index
        self._columns = columns
        self._directory = writer.publication.begin_split(split.index)
        self._sink: Sink | None = None
        self._files = 0

    def write(self, batch: pa.RecordBatch) -> WriteResult:
        """Write a batch; rows whose values do not fit the columns' types, or the format, are rejects."""
        context = self._writer.context
        names = context.field_names or tuple(batch.schema.names)
        rows, rejects, kept = conform(batch, self._columns.incoming, timezone=context.timezone, field_names=names)
        if not rows.num_rows:
            return WriteResult(0, rejects)
        with errors(self._writer.location.url, self._directory):
            arranged = self._columns.arrange(rows)
            sink = self._sink_for(arranged)
            failures = sink.write(arranged)
            if sink.size >= self._writer.most_file_bytes:
                self._close_sink()
        positions = np.arange(batch.num_rows) if kept is None else kept
        reasons = {int(positions[at]): (Category.CONVERSION, message) for at, message in failures.items()}
        rejects += rejects_of(batch, reasons, names)
        return WriteResult(rows.num_rows - len(failures), rejects)

    def _sink_for(self, batch: pa.RecordBatch) -> Sink:
        if self._sink is not None and not self._sink.takes(batch):
            self._close_sink()
        if self._sink is None:
            sinks, publication = self._writer.sinks, self._writer.publication
            name = publication.file_name(self._split, self._files, sinks.ending)
            path = posixpath.join(self._directory, name)
            self._sink = sinks.open(self._writer.location.filesystem, path, batch)
            self._files += 1
        return self._sink

    def _close_sink(self) -> None:
        if self._sink is not None:
            sink, self._sink = self._sink, None
            sink.close()

    def commit(self) -> None:
        """Close the last file and mark the split as complete."""
        with errors(self._writer.location.url, self._directory):
            self._close_sink()
        self._writer.publication.commit_split(self._split)

    def rollback(self) -> None:
        """Remove the files."""
        with contextlib.suppress(FlinkXError, OSError, pa.ArrowException):
            self._close_sink()
        with contextlib.suppress(FlinkXError):
            self._writer.publication.rollback_split(self._split)
