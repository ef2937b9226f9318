"""Parquet files: pieces are row groups; timestamps are read and written in microseconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_flinkx.exceptions import DataError
from airflow_provider_flinkx.plugins.files.filesystem import Location
from airflow_provider_flinkx.plugins.files.formats import BATCH_ROWS, ColumnarFormat, Piece, cut
from airflow_provider_flinkx.plugins.files.listing import SourceFile

#: Column chunks are read in steps of this size, so that a large row group does not lie in memory as a whole.
_READ_BYTES = 4 << 20


class ParquetFormat(ColumnarFormat):
    """Reads Parquet."""

    def fields(self, location: Location, file: SourceFile) -> pa.Schema:
        """The schema in the file's footer."""
        with _open(location, file.path) as opened:
            return opened.schema_arrow.remove_metadata()

    def pieces(self, location: Location, file: SourceFile, piece_bytes: int) -> list[Piece]:
        """Row groups; a small file is not opened."""
        if file.size <= piece_bytes:
            return [Piece(file.path, file.size)]
        with _open(location, file.path) as opened:
            return cut(file, opened.num_row_groups, piece_bytes)

    def _batches(self, location: Location, piece: Piece, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with _open(location, piece.path) as opened:
            end = opened.num_row_groups if piece.end is None else piece.end
            groups = list(range(piece.start, end))
            batches = opened.iter_batches(BATCH_ROWS, row_groups=groups, columns=list(names), use_threads=False)
            coarse = [name for name in _int96_columns(opened) if name in names]
            if not coarse:
                yield from batches
                return
            with _open(location, piece.path, int96_unit="ns") as finer:
                exact = finer.iter_batches(BATCH_ROWS, row_groups=groups, columns=coarse, use_threads=False)
                for batch, exact_batch in zip(batches, exact, strict=True):
                    _require_microseconds(batch, exact_batch, piece.name(location))
                    yield batch


def _int96_columns(opened: pq.ParquetFile) -> list[str]:
    columns = (opened.schema.column(index) for index in range(len(opened.schema)))
    return [column.name for column in columns if column.physical_type == "INT96"]


def _require_microseconds(batch: pa.RecordBatch, exact: pa.RecordBatch, place: str) -> None:
    """Refuse times that microseconds cut. Nanoseconds may have overflown; modulo 2^64 they still tell."""
    for name in exact.schema.names:
        microseconds = batch.column(batch.schema.names.index(name)).view(pa.int64())
        nanoseconds = exact.column(exact.schema.names.index(name)).view(pa.int64())
        if not pc.all(pc.equal(pc.multiply(microseconds, 1000), nanoseconds), min_count=0).as_py():
            raise DataError(f"{place}: column {name} holds INT96 times finer than a microsecond, which cannot be read")


def _open(location: Location, path: str, int96_unit: str = "us") -> pq.ParquetFile:
    # INT96 goes to nanoseconds by default, which hold the years 1677 to 2262 only.
    return pq.ParquetFile(
        path, filesystem=location.filesystem, buffer_size=_READ_BYTES, coerce_int96_timestamp_unit=int96_unit
    )
