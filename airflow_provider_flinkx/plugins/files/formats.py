"""How files of one format are read: their fields, the pieces that they can be cut into, and the rows of a piece."""

from __future__ import annotations

import abc
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.fs as pafs

from airflow_provider_flinkx.exceptions import DataError
from airflow_provider_flinkx.plugins.base import Category, Reject
from airflow_provider_flinkx.plugins.files.filesystem import Location
from airflow_provider_flinkx.plugins.files.listing import SourceFile
from airflow_provider_flinkx.plugins.files.text import (
    Encoding,
    Fields,
    blocks,
    decoded_blocks,
    lines_of,
)

BATCH_ROWS: Final = 65_536
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
#: File name ending -> Arrow's name of the compression.
_COMPRESSIONS: Final[Mapping[str, str]] = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
#: Hadoop's own block formats, which no library here reads.
_UNREADABLE: Final = (".lzo", ".lzo_deflate", ".snappy", ".lz4", ".deflate", ".lzma", ".xz", ".zip")


class Piece(NamedTuple):
    """A part of a file: units `start` to before `end` (bytes, row groups or stripes); `end` None is the whole file.

    `size` is the file's size in bytes when the piece was cut: a file that has changed since is not read.
    """

    path: str
    size: int
    start: int = 0
    end: int | None = None

    def name(self, location: Location) -> str:
        """The file's URL, for messages."""
        return location.url + self.path


class Rows(NamedTuple):
    """Rows of a piece: one column for each wanted field, and rows that could not be read."""

    batch: pa.RecordBatch
    rejects: Sequence[Reject] = ()


class FileFormat(abc.ABC):
    """One file format. A field is named by its index (text) or its name (ORC, Parquet)."""

    @abc.abstractmethod
    def fields(self, location: Location, file: SourceFile) -> pa.Schema:
        """Names and Arrow types of a file's fields."""

    @abc.abstractmethod
    def pieces(self, location: Location, file: SourceFile, piece_bytes: int) -> list[Piece]:
        """Cut a file into pieces of about `piece_bytes`."""

    @abc.abstractmethod
    def rows(self, location: Location, piece: Piece, wanted: Sequence[str], *, every: bool) -> Iterator[Rows]:
        """The rows of a piece.

        Args:
            location: the file system.
            piece: what to read.
            wanted: names of fields; one that the file lacks is a column of nulls.
            every: whether `wanted` claims to be all fields; one more in the file is then an error of the row or file.
        """


def cut(file: SourceFile, units: int, piece_bytes: int) -> list[Piece]:
    """Cut a file of `units` equal units into pieces of about `piece_bytes` each."""
    number = max(1, min(units, math.ceil(file.size / piece_bytes)))
    if number == 1:
        return [Piece(file.path, file.size)]
    bounds = [units * step // number for step in range(number + 1)]
    return [Piece(file.path, file.size, start, end) for start, end in itertools.pairwise(bounds)]


class TextFormat(FileFormat):
    """Lines of delimited text; a field's name is its index, from 0."""

    def __init__(self, delimiter: str, encoding: Encoding) -> None:
        self.delimiter = delimiter
        self.encoding = encoding

    def fields(self, location: Location, file: SourceFile) -> pa.Schema:
        """As many text fields as the first line has."""
        for lines in self._lines(location, Piece(file.path, file.size), []):
            if len(lines):
                number = int(Fields(lines.slice(0, 1), self.delimiter).lengths[0])
                return pa.schema([(str(index), pa.string()) for index in range(number)])
        return pa.schema([])

    def pieces(self, location: Location, file: SourceFile, piece_bytes: int) -> list[Piece]:
        """Ranges of bytes; a compressed file is one piece."""
        if self._compression(file.path, location) or not self.encoding.splittable:
            return [Piece(file.path, file.size)]
        return cut(file, file.size, piece_bytes)

    def rows(self, location: Location, piece: Piece, wanted: Sequence[str], *, every: bool) -> Iterator[Rows]:
        """Text fields; a line with more fields than `wanted` is rejected where `wanted` claims to be all."""
        bad: list[Reject] = []
        for lines in self._lines(location, piece, bad):
            fields = Fields(lines, self.delimiter)
            if every and (fields.lengths > len(wanted)).any():
                too_long = pa.array(fields.lengths > len(wanted))
                message = f"the line has more than the {len(wanted)} fields of the first line of the first file"
                texts = lines.filter(too_long).to_pylist()
                bad += [_bad_line(piece.name(location), text, message) for text in texts]
                fields = Fields(lines.filter(pa.compute.invert(too_long)), self.delimiter)
            columns = [fields.field(int(index)) for index in wanted]
            yield Rows(_batch(columns, wanted, len(fields.lengths)), tuple(bad))
            bad.clear()

    def _lines(self, location: Location, piece: Piece, bad: list[Reject]) -> Iterator[pa.StringArray]:
        place = piece.name(location)
        with self._open(location, piece) as stream:
            if self.encoding.splittable:
                found = blocks(stream, piece.start, piece.end, place)
                encoding = self.encoding
            else:
                found = decoded_blocks(stream, self.encoding, place)
                encoding = Encoding("utf-8", splittable=True)
            first = piece.start == 0
            for block in found:
                lines, refused = lines_of(block.removeprefix(_BYTE_ORDER_MARK) if first else block, encoding)
                first = False
                bad += [_bad_line(place, line.text, line.message) for line in refused]
                # At least once: a block whose lines are all refused has its rejects to hand on.
                for start in range(0, max(1, len(lines)), BATCH_ROWS):
                    yield lines.slice(start, BATCH_ROWS)

    def _open(self, location: Location, piece: Piece) -> pa.NativeFile:
        filesystem: pafs.FileSystem = location.filesystem
        compression = self._compression(piece.path, location)
        if compression:
            return filesystem.open_input_stream(piece.path, compression=compression)
        return filesystem.open_input_file(piece.path)

    @staticmethod
    def _compression(path: str, location: Location) -> str | None:
        for ending, compression in _COMPRESSIONS.items():
            if path.lower().endswith(ending):
                return compression
        if path.lower().endswith(_UNREADABLE):
            readable = ", ".join(_COMPRESSIONS)
            raise DataError(f"{location.url}{path}: this compression cannot be read; readable are {readable} and none")
        return None


def _bad_line(place: str, text: str, message: str) -> Reject:
    return Reject({"line": text}, Category.CONVERSION, f"{place}: {message}")


def _batch(columns: Sequence[pa.Array], names: Sequence[str], rows: int) -> pa.RecordBatch:
    """A record batch that knows its number of rows even without columns."""
    if columns:
        return pa.RecordBatch.from_arrays(list(columns), names=list(names))
    return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))


def match_fields(schema: pa.Schema, wanted: Sequence[str]) -> list[int | None]:
    """The index of each wanted field in a file, by name in any letter case (hdfs.md); None where it is not there."""
    exact = {name: index for index, name in reversed(list(enumerate(schema.names)))}
    folded = {name.lower(): index for name, index in reversed(list(exact.items()))}
    return [exact.get(name, folded.get(name.lower())) for name in wanted]


def crossing_type(field: pa.Field, place: str) -> pa.DataType:
    """The type with which a file's field crosses to the writer (`plugins.base`).

    Raises:
        DataError: a nested or otherwise unknown type.
    """
    arrow = field.type
    if pa.types.is_dictionary(arrow):
        return crossing_type(pa.field(field.name, arrow.value_type), place)
    if pa.types.is_timestamp(arrow):
        if arrow.tz is not None:
            return pa.timestamp("us", "UTC")
        return arrow if arrow.unit == "ns" else pa.timestamp("us")
    for matches, target in _CROSSING:
        if matches(arrow):
            return target or arrow
    raise DataError(f"{place}: column {field.name} has the type {arrow}, which cannot be read; leave it out of column")


_CROSSING: Final[Sequence[tuple[Any, pa.DataType | None]]] = (
    (pa.types.is_integer, None),
    (pa.types.is_boolean, None),
    (pa.types.is_decimal, None),
    (pa.types.is_float16, pa.float32()),
    (pa.types.is_floating, None),
    (pa.types.is_string, None),
    (pa.types.is_large_string, pa.string()),
    (pa.types.is_null, pa.string()),
    (pa.types.is_binary, None),
    (pa.types.is_large_binary, pa.binary()),
    (pa.types.is_fixed_size_binary, pa.binary()),
    (pa.types.is_date, pa.date32()),
    (pa.types.is_time, pa.time64("us")),
)


def _column(batch: pa.RecordBatch, name: str | None) -> pa.Array:
    return pa.nulls(batch.num_rows) if name is None else batch.column(batch.schema.names.index(name))


class ColumnarFormat(FileFormat):
    """What ORC and Parquet share: fields have names and types."""

    def rows(self, location: Location, piece: Piece, wanted: Sequence[str], *, every: bool) -> Iterator[Rows]:
        """Columns by name; a file with fields beyond `wanted` is refused where `wanted` claims to be all."""
        schema = self.fields(location, SourceFile(piece.path, piece.size))
        matches = match_fields(schema, wanted)
        if every and len({match for match in matches if match is not None}) < len(schema):
            extra = [name for index, name in enumerate(schema.names) if index not in matches]
            raise DataError(
                f"{piece.name(location)}: has the columns {', '.join(extra)}, which the first file has not; "
                "name the columns in column"
            )
        names = [schema.names[match] for match in matches if match is not None]
        for batch in self._batches(location, piece, sorted(set(names))):
            columns = [
                pa.nulls(batch.num_rows)
                if match is None
                else batch.column(batch.schema.names.index(schema.names[match]))
                for match in matches
            ]
            yield Rows(_batch(columns, wanted, batch.num_rows))

    @abc.abstractmethod
    def _batches(self, location: Location, piece: Piece, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The named columns of a piece; without names, batches that only have a number of rows."""
