"""How one ORC file is written: by Arrow, or row by row where Arrow's file would be one that Java does not read.

ORC keeps a time as seconds and nanoseconds. For a time before 1970 with a fraction of a second, Arrow up to 16 at least
writes negative nanoseconds; Java ends with "nanos > 999999999 or < 0" on them. pyorc writes them as Java does.

Java takes a second off where the seconds are negative and there is a whole millisecond or more, and writers add
that second before: from -1 second it comes to 0, where no reader takes it off. So the format cannot
hold 1969-12-31 23:59:59.001 to 23:59:59.999999 (Apache's issue ORC-763).
"""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.orc as orc
import pyorc

from airflow_provider_flinkx.plugins.files.sinks import Sink

_SECOND: Final = 1_000_000
_MILLISECOND: Final = 1_000
_BATCH_ROWS: Final = 1024

_COMPRESSIONS: Final = {
    "uncompressed": pyorc.CompressionKind.NONE,
    "snappy": pyorc.CompressionKind.SNAPPY,
    "zlib": pyorc.CompressionKind.ZLIB,
    "lz4": pyorc.CompressionKind.LZ4,
}


class ORCSink(Sink):
    """ORC, written by Arrow."""

    def __init__(self, filesystem: pafs.FileSystem, path: str, compression: str) -> None:
        super().__init__(filesystem, path)
        self._writer = orc.ORCWriter(self._stream, compression=compression)

    def takes(self, batch: pa.RecordBatch) -> bool:
        """Whether Java can read what Arrow makes of the batch."""
        return not has_early_fractions(batch)

    def write(self, batch: pa.RecordBatch) -> dict[int, str]:
        """Every row can be held."""
        self._writer.write(pa.Table.from_batches([batch]))
        return {}

    def close(self) -> None:
        """Write the last stripe and the footer."""
        self._writer.close()
        self._stream.close()


class RowORCSink(Sink):
    """ORC, written by pyorc: any time that the format can hold, much slower than Arrow."""

    def __init__(self, filesystem: pafs.FileSystem, path: str, schema: pa.Schema, compression: str) -> None:
        super().__init__(filesystem, path)
        self._writer = pyorc.Writer(
            self._stream,
            _orc_type(schema),
            batch_size=_BATCH_ROWS,
            compression=_COMPRESSIONS[compression],
            converters={pyorc.TypeKind.TIMESTAMP: _Microseconds, pyorc.TypeKind.DATE: _Days},
        )

    def write(self, batch: pa.RecordBatch) -> dict[int, str]:
        """Refuses times in the last second before 1970, except in its first millisecond."""
        failures: dict[int, str] = {}
        for name, column in _timestamps(batch):
            for at in np.flatnonzero(_is_lost(_microseconds(column))):
                value = column[int(at)].as_py()
                failures.setdefault(
                    int(at), f"column {name}: ORC cannot hold {value}, a time in the last second before 1970"
                )
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            columns = [_as_written(column) for column in batch.slice(start, _BATCH_ROWS).columns]
            for at, row in enumerate(zip(*columns, strict=True), start):
                if at not in failures:
                    self._writer.write(row)
        return failures

    def close(self) -> None:
        """Write the last stripe and the footer."""
        self._writer.close()
        self._stream.close()


class _Microseconds(pyorc.converters.ORCConverter):  # type: ignore[misc]
    """Takes microseconds since 1970; the fraction is never negative."""

    @staticmethod
    def to_orc(microseconds: int, _timezone: Any) -> tuple[int, int]:
        seconds, fraction = divmod(microseconds, _SECOND)
        return seconds, fraction * 1000


class _Days(pyorc.converters.ORCConverter):  # type: ignore[misc]
    """Takes days since 1970, of any year."""

    @staticmethod
    def to_orc(days: int) -> int:
        return days


def has_early_fractions(batch: pa.RecordBatch) -> bool:
    """Whether a time before 1970 is between two seconds."""
    return any(_is_early_fraction(_microseconds(column)).any() for _, column in _timestamps(batch))


def _is_early_fraction(microseconds: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    early: npt.NDArray[np.int64] = microseconds[microseconds < 0]
    fractions: npt.NDArray[np.bool_] = early % _SECOND != 0
    return fractions


def _is_lost(microseconds: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    return (microseconds >= _MILLISECOND - _SECOND) & (microseconds < 0)


def _timestamps(batch: pa.RecordBatch) -> list[tuple[str, pa.TimestampArray]]:
    pairs = zip(batch.schema.names, batch.columns, strict=True)
    return [(name, column) for name, column in pairs if pa.types.is_timestamp(column.type)]


def _microseconds(column: pa.TimestampArray) -> npt.NDArray[np.int64]:
    """Microseconds since 1970; null is 0."""
    values: npt.NDArray[np.int64] = column.view(pa.int64()).fill_null(0).to_numpy()
    return values


def _as_written(column: pa.Array) -> list[Any]:
    """The values that pyorc's converters, or pyorc itself, take."""
    if pa.types.is_timestamp(column.type):
        column = column.view(pa.int64())
    elif pa.types.is_date(column.type):
        column = column.view(pa.int32())
    values: list[Any] = column.to_pylist()
    return values


def _orc_type(schema: pa.Schema) -> pyorc.TypeDescription:
    """The type of a file that Arrow writes with this schema."""
    stream = io.BytesIO()
    orc.write_table(schema.empty_table(), stream)
    return pyorc.Reader(stream).schema
