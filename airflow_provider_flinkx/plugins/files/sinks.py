"""How one file of each format is written."""

from __future__ import annotations

import abc
import codecs
from collections.abc import Callable, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.fs as pafs

from airflow_provider_flinkx.exceptions import JobInvalidError
from airflow_provider_flinkx.plugins.files.text import Encoding, LineWriter, parse_delimiter

#: Formats write in small steps; one request to the file system per step would be slow.
_BUFFER_BYTES: Final = 1 << 20
#: Rows held in memory for one Parquet row group, whatever `rowGroupSize` allows: Arrow bytes.
_MOST_GROUP_BYTES: Final = 8 << 20

#: File type -> `compress` -> Arrow's name (hdfs.md); the first is the default.
COMPRESSIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "text": {"none": "", "gzip": "gzip", "bzip2": "bz2"},
    "orc": {"none": "uncompressed", "snappy": "snappy", "gzip": "zlib", "zlib": "zlib", "lz4": "lz4"},
    "parquet": {"snappy": "snappy", "gzip": "gzip", "none": "none"},
}
_ENDINGS: Final[Mapping[str, str]] = {"text": ".txt", "orc": ".orc", "parquet": ".parquet"}
_COMPRESSION_ENDINGS: Final[Mapping[str, str]] = {"gzip": ".gz", "bz2": ".bz2"}


class Sink(abc.ABC):
    """One open file."""

    def __init__(self, filesystem: pafs.FileSystem, path: str) -> None:
        self._stream = filesystem.open_output_stream(path, compression=None, buffer_size=_BUFFER_BYTES)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return int(self._stream.tell())

    def takes(self, batch: pa.RecordBatch) -> bool:  # noqa: ARG002  # a question of ORC only
        """Whether the batch can go into this file, and not only into a new one."""
        return True

    @abc.abstractmethod
    def write(self, batch: pa.RecordBatch) -> dict[int, str]:
        """Write a batch, except the rows that the format cannot hold: their positions and messages are returned."""

    @abc.abstractmethod
    def close(self) -> None:
        """Write what is left and close the file."""


class TextSink(Sink):
    """Lines of delimited text."""

    def __init__(
        self, filesystem: pafs.FileSystem, path: str, lines: LineWriter, compression: str, encoding: Encoding
    ) -> None:
        super().__init__(filesystem, path)
        self._lines = lines
        self._out = pa.CompressedOutputStream(self._stream, compression) if compression else self._stream
        # Kept over the whole file: some encodings begin with a byte order mark.
        self._encoder = None if encoding.name == "utf-8" else codecs.getincrementalencoder(encoding.name)()

    def write(self, batch: pa.RecordBatch) -> dict[int, str]:
        """Refuses values that would break their line."""
        data, failures = self._lines.lines(batch)
        self._out.write(data if self._encoder is None else self._encoder.encode(data.to_pybytes().decode()))
        return failures

    def close(self) -> None:
        """Close the file."""
        self._out.close()
        if not self._stream.closed:
            self._stream.close()


class ParquetSink(Sink):
    """Parquet; rows are gathered to row groups."""

    def __init__(self, filesystem: pafs.FileSystem, path: str, schema: pa.Schema, options: Mapping[str, Any]) -> None:
        import pyarrow.parquet as pq

        super().__init__(filesystem, path)
        self._schema = schema
        self._group_bytes = min(options["group_bytes"], _MOST_GROUP_BYTES)
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0
        self._writer = pq.ParquetWriter(
            self._stream, schema, compression=options["compression"], use_dictionary=options["dictionary"]
        )

    def write(self, batch: pa.RecordBatch) -> dict[int, str]:
        """Every row can be held."""
        self._waiting.append(batch)
        self._waiting_bytes += batch.nbytes
        if self._waiting_bytes >= self._group_bytes:
            self._write_group()
        return {}

    def _write_group(self) -> None:
        table = pa.Table.from_batches(self._waiting, self._schema)
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._waiting.clear()
        self._waiting_bytes = 0

    def close(self) -> None:
        """Write the last row group and the footer."""
        if self._waiting:
            self._write_group()
        self._writer.close()
        self._stream.close()


class SinkFactory:
    """Opens files of the format that a writer's parameters say; `ending` ends their names.

    Raises:
        JobInvalidError: an unknown format, compression, delimiter or encoding.
    """

    def __init__(self, parameter: Mapping[str, Any], timezone: str) -> None:
        self.file_type = str(parameter["fileType"]).lower()
        if self.file_type not in COMPRESSIONS:
            raise JobInvalidError([f"fileType {self.file_type!r} is not text, orc or parquet"])
        self._compression = self._compression_of(parameter.get("compress"))
        self._parameter = parameter
        self.ending = _ENDINGS[self.file_type]
        if self.file_type == "text":
            self.ending += _COMPRESSION_ENDINGS.get(self._compression, "")
            self._encoding = Encoding.of(parameter.get("encoding") or "UTF-8")
            self._lines = LineWriter(
                parse_delimiter(parameter.get("fieldDelimiter") or "\x01"), self._encoding, timezone
            )

    def _compression_of(self, name: str | None) -> str:
        known = COMPRESSIONS[self.file_type]
        wanted = (name or next(iter(known))).strip().lower()
        if wanted not in known:
            raise JobInvalidError([f"compress {name!r}: {self.file_type} can be written with {', '.join(known)}"])
        return known[wanted]

    def open(self, filesystem: pafs.FileSystem, path: str, first: pa.RecordBatch) -> Sink:
        """Create a file for rows such as those of its first batch, which it takes."""
        opened: Mapping[str, Callable[[], Sink]] = {
            "text": lambda: TextSink(filesystem, path, self._lines, self._compression, self._encoding),
            "orc": lambda: self._open_orc(filesystem, path, first),
            "parquet": lambda: ParquetSink(filesystem, path, first.schema, self._parquet_options()),
        }
        return opened[self.file_type]()

    def _open_orc(self, filesystem: pafs.FileSystem, path: str, first: pa.RecordBatch) -> Sink:
        from airflow_provider_flinkx.plugins.files.orc_sinks import ORCSink, RowORCSink, has_early_fractions

        if has_early_fractions(first):
            return RowORCSink(filesystem, path, first.schema, self._compression)
        return ORCSink(filesystem, path, self._compression)

    def _parquet_options(self) -> dict[str, Any]:
        dictionary = self._parameter.get("enableDictionary")
        return {
            "compression": self._compression,
            "dictionary": True if dictionary is None else dictionary,
            "group_bytes": self._parameter.get("rowGroupSize") or _MOST_GROUP_BYTES,
        }
