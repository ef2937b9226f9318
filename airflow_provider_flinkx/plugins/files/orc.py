"""ORC files: pieces are stripes.

Arrow reads ORC timestamps as nanoseconds in 64 bits, which hold the years 1677 to 2262 only; what lies outside comes
out as another time, without an error. So the file's statistics are looked at first, and such columns
are read by pyorc instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.orc as orc
import pyorc

from airflow_provider_flinkx.exceptions import DataError
from airflow_provider_flinkx.plugins.files.filesystem import Location
from airflow_provider_flinkx.plugins.files.formats import BATCH_ROWS, ColumnarFormat, Piece, cut
from airflow_provider_flinkx.plugins.files.listing import SourceFile

#: Seconds from 1970 that nanoseconds in 64 bits reach, either way.
_NANOSECOND_REACH: Final = (2**63 - 1) // 1_000_000_000


class ORCFormat(ColumnarFormat):
    """Reads ORC."""

    def fields(self, location: Location, file: SourceFile) -> pa.Schema:
        """The schema in the file's footer, timestamps as microseconds."""
        with location.filesystem.open_input_file(file.path) as source:
            schema = orc.ORCFile(source).schema
        return pa.schema([(field.name, _in_microseconds(field.type)) for field in schema])

    def pieces(self, location: Location, file: SourceFile, piece_bytes: int) -> list[Piece]:
        """Stripes; a small file is not opened."""
        if file.size <= piece_bytes:
            return [Piece(file.path, file.size)]
        with location.filesystem.open_input_file(file.path) as source:
            return cut(file, orc.ORCFile(source).nstripes, piece_bytes)

    def _batches(self, location: Location, piece: Piece, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with location.filesystem.open_input_file(piece.path) as source:
            opened = orc.ORCFile(source)
            place = piece.name(location)
            far = _far_timestamps(source, opened.schema, names)
            end = opened.nstripes if piece.end is None else piece.end
            for stripe in range(piece.start, end):
                # Some column must be read to learn the number of rows.
                batch = opened.read_stripe(stripe, columns=list(names) or [opened.schema.names[0]])
                for name in far:
                    index = batch.schema.names.index(name)
                    batch = batch.set_column(index, name, _far_column(source, name, stripe, place))
                for start in range(0, batch.num_rows, BATCH_ROWS):
                    yield batch.slice(start, BATCH_ROWS)


def _in_microseconds(arrow: pa.DataType) -> pa.DataType:
    return pa.timestamp("us", arrow.tz) if pa.types.is_timestamp(arrow) else arrow


class _SecondsAndNanoseconds(pyorc.converters.ORCConverter):  # type: ignore[misc]
    """Takes timestamps from pyorc as two numbers: exact, and without Python's limits of the year."""

    @staticmethod
    def from_orc(seconds: int, nanoseconds: int, _timezone: Any) -> tuple[int, int]:
        return seconds, nanoseconds

    @staticmethod
    def to_orc(value: tuple[int, int], _timezone: Any) -> tuple[int, int]:
        return value


_CONVERTERS: Final[dict[pyorc.TypeKind, type[pyorc.converters.ORCConverter]]] = {
    pyorc.TypeKind.TIMESTAMP: _SecondsAndNanoseconds,
    pyorc.TypeKind.TIMESTAMP_INSTANT: _SecondsAndNanoseconds,
}


def _far_timestamps(source: pa.NativeFile, schema: pa.Schema, names: Sequence[str]) -> list[str]:
    """The timestamp columns whose statistics do not rule out what nanoseconds cannot hold."""
    candidates = [name for name in names if pa.types.is_timestamp(schema.field(name).type)]
    if not candidates:
        return []
    reader = pyorc.Reader(source, converters=_CONVERTERS)
    return [name for name in candidates if _is_far(reader[reader.schema.find_column_id(name)].statistics)]


def _is_far(statistics: dict[str, Any]) -> bool:
    if not statistics.get("number_of_values"):
        return False
    bounds = statistics.get("minimum"), statistics.get("maximum")
    return not all(bound and abs(bound[0]) < _NANOSECOND_REACH - 1 for bound in bounds)


def _far_column(source: pa.NativeFile, name: str, stripe: int, place: str) -> pa.Array:
    reader = pyorc.Reader(source, column_names=[name], converters=_CONVERTERS)
    values = [value for (value,) in reader.read_stripe(stripe)]
    if any(value is not None and value[1] % 1000 for value in values):
        raise DataError(f"{place}: column {name} holds times finer than a microsecond outside the years 1677 to 2262")
    microseconds = [None if value is None else value[0] * 1_000_000 + value[1] // 1000 for value in values]
    return pa.array(microseconds, pa.timestamp("us"))
