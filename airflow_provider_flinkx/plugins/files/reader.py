"""Reads files: finds them, cuts them into splits, and makes the columns of the job from their fields (hdfs.md)."""

from __future__ import annotations

import abc
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import pyarrow as pa

from airflow_provider_flinkx.exceptions import DataError, JobInvalidError
from airflow_provider_flinkx.jobs.model import Column
from airflow_provider_flinkx.plugins.base import Batch, Category, Reader, Reject, RunContext, Split
from airflow_provider_flinkx.plugins.conversion import apply_columns, arrow_type, conform, field_name
from airflow_provider_flinkx.plugins.files.filesystem import Location, errors
from airflow_provider_flinkx.plugins.files.formats import FileFormat, Piece, TextFormat, crossing_type, match_fields
from airflow_provider_flinkx.plugins.files.listing import SourceFile, find_files, partition_value, split_paths
from airflow_provider_flinkx.plugins.files.text import Encoding, from_base64, parse_delimiter

#: Splits per channel that are aimed at: enough for balance and progress.
_SPLITS_PER_CHANNEL: Final = 8
_SMALLEST_SPLIT_BYTES: Final = 8 << 20
_LARGEST_SPLIT_BYTES: Final = 128 << 20


class FileReader(Reader):
    """What every reader of files does; a subclass says where the files are."""

    def __init__(self, parameter: Mapping[str, Any], columns: Sequence[Column], context: RunContext) -> None:
        super().__init__(parameter, columns, context)
        self._format = read_format(parameter)

    @abc.abstractmethod
    def connect(self) -> Location:
        """The file system."""

    @cached_property
    def _location(self) -> Location:
        return self.connect()

    @cached_property
    def _files(self) -> list[SourceFile]:
        """The input files that hold anything."""
        below = self.parameter.get("fileName") or ""
        given = (path.removeprefix(self._location.url) for path in split_paths(self.parameter["path"]))
        paths = [posixpath.join("/", path, below) for path in given]
        return [file for file in find_files(self._location, paths, self.parameter.get("filterRegex")) if file.size]

    @cached_property
    def _first_fields(self) -> pa.Schema:
        """The fields of the first file, with the types that cross to the writer."""
        if not self._files:
            return pa.schema([])
        first = self._files[0]
        with errors(self._location.url, first.path):
            fields = self._format.fields(self._location, first)
        if not self.columns:
            return pa.schema([(field.name, crossing_type(field, self._location.url + first.path)) for field in fields])
        return fields

    @cached_property
    def _sources(self) -> list[str | None]:
        """For each column of the job the name of its field in the files; None for constants and partitions."""
        if not self.columns:
            return list(self._first_fields.names)
        return [self._source(column) for column in self.columns]

    def _source(self, column: Column) -> str | None:
        if column.is_part or (column.name is None and column.index is None):
            return None
        if isinstance(self._format, TextFormat):
            if column.index is None:
                raise JobInvalidError([f"column {column.name}: fields of text files have no name, give an index"])
            return str(column.index)
        if column.name is not None:
            return column.name
        assert column.index is not None
        # An index that the first file does not have names no field, and so gives null or `value`.
        return self._first_fields.names[column.index] if column.index < len(self._first_fields) else str(column.index)

    @cached_property
    def _schema(self) -> pa.Schema:
        if not self.columns:
            return self._first_fields
        return pa.schema(
            [
                (field_name(column), self._type(column, source))
                for column, source in zip(self.columns, self._sources, strict=True)
            ]
        )

    def _type(self, column: Column, source: str | None) -> pa.DataType:
        declared = arrow_type(column)
        if declared is not None:
            return declared
        (match,) = match_fields(self._first_fields, [source or ""])
        if source is None or match is None:
            return pa.string()
        return crossing_type(self._first_fields.field(match), self._location.url + self._files[0].path)

    @property
    def schema(self) -> pa.Schema:
        """Declared types, else those of the first file."""
        return self._schema

    def splits(self) -> list[Split]:
        """Ranges of bytes, row groups or stripes of about equal size; small files share a split."""
        files = self._files
        total = sum(file.size for file in files)
        wanted = total // max(1, self.context.channels * _SPLITS_PER_CHANNEL)
        piece_bytes = min(max(wanted, _SMALLEST_SPLIT_BYTES), _LARGEST_SPLIT_BYTES)
        groups: list[list[Piece]] = []
        room = 0.0
        for file in files:
            with errors(self._location.url, file.path):
                pieces = self._format.pieces(self._location, file, piece_bytes)
            size = file.size / len(pieces)
            for piece in pieces:
                if not groups or room < size:
                    groups.append([])
                    room = piece_bytes
                groups[-1].append(piece)
                room -= size
        return [Split(index, {"pieces": [list(piece) for piece in group]}) for index, group in enumerate(groups)]

    def read(self, split: Split) -> Iterator[Batch]:
        """The rows of each piece of the split, in order."""
        for spec in split.spec["pieces"]:
            piece = Piece(*spec)
            with errors(self._location.url, piece.path):
                self._require_unchanged(piece)
                yield from self._read_piece(piece)

    def _require_unchanged(self, piece: Piece) -> None:
        (info,) = self._location.filesystem.get_file_info([piece.path])
        if info.size != piece.size:
            raise DataError(
                f"{piece.name(self._location)}: had {piece.size} bytes when the job began and has "
                f"{info.size if info.is_file else 'gone'} now; run the job again when nobody writes the file"
            )

    def _read_piece(self, piece: Piece) -> Iterator[Batch]:
        wanted = [source for source in self._sources if source is not None]
        for rows in self._format.rows(self._location, piece, wanted, every=not self.columns):
            columns = iter(rows.batch.columns)
            arrays = [next(columns) for _ in wanted] if not self.columns else []
            for column, source in zip(self.columns, self._sources, strict=False):
                array = next(columns) if source is not None else self._given(column, piece, rows.batch.num_rows)
                arrays.append(array)
            yield self._finished(arrays, rows.rejects)

    @staticmethod
    def _given(column: Column, piece: Piece, number: int) -> pa.Array:
        """The text of a partition; nulls in place of a constant, which is put in later."""
        value = partition_value(piece.path, column.name or "") if column.is_part else None
        return pa.nulls(number, pa.string()) if value is None else pa.repeat(pa.scalar(value), number)

    def _finished(self, arrays: list[pa.Array], rejects: Sequence[Reject]) -> Batch:
        batch = pa.RecordBatch.from_arrays(arrays, names=self._schema.names)
        found = list(rejects)
        if isinstance(self._format, TextFormat):
            batch, refused = self._decode_binary(batch)
            found += refused
        typed = apply_columns(batch, self.columns, timezone=self.context.timezone)
        conformed = conform(typed.rows, self._schema, timezone=self.context.timezone, field_names=self._schema.names)
        return Batch(conformed.rows, [*found, *typed.rejects, *conformed.rejects])

    def _decode_binary(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[Reject]]:
        """Base64 fields of text files as bytes."""
        failures: dict[int, str] = {}
        names = self._schema.names
        arrays = list(batch.columns)
        for index, field in enumerate(self._schema):
            if pa.types.is_binary(field.type) and pa.types.is_string(arrays[index].type):
                arrays[index], failed = from_base64(arrays[index])
                failures |= {at: f"column {field.name}: {message}" for at, message in failed.items()}
        decoded = pa.RecordBatch.from_arrays(arrays, names=names)
        if not failures:
            return decoded, []
        rejects = [
            Reject(
                {name: batch.column(index)[at].as_py() for index, name in enumerate(names)},
                Category.CONVERSION,
                message,
            )
            for at, message in sorted(failures.items())
        ]
        kept = pa.array([at not in failures for at in range(batch.num_rows)])
        return decoded.filter(kept), rejects


def read_format(parameter: Mapping[str, Any]) -> FileFormat:
    """The format that `fileType`, `fieldDelimiter` and `encoding` say.

    Raises:
        JobInvalidError: an unknown format, delimiter or encoding.
    """
    name = str(parameter.get("fileType") or "text").lower()
    if name == "text":
        delimiter = parse_delimiter(parameter.get("fieldDelimiter") or "\x01")
        return TextFormat(delimiter, Encoding.of(parameter.get("encoding") or "UTF-8"))
    if name == "parquet":
        from airflow_provider_flinkx.plugins.files.parquet import ParquetFormat

        return ParquetFormat()
    if name == "orc":
        from airflow_provider_flinkx.plugins.files.orc import ORCFormat

        return ORCFormat()
    raise JobInvalidError([f"fileType {name!r} is not text, orc or parquet"])
