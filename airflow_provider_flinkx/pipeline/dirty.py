"""Files of rejected rows: `<dirty.path>/<job id>/<split>.jsonl`, on disk after every batch.

`dirty.path` is a local path, a `file://`, `hdfs://` or any other fsspec URL, or a path on the HDFS that
`dirty.hadoopConfig` names (job.md §6). Files on fsspec file systems are complete only once they are closed, at the
end of the split. With `dirty.format: "flinkx"` a file holds FlinkX's four columns instead of JSON lines: the row, the
category's code, the error, the time, separated by the byte 0x01.
"""

from __future__ import annotations

import io
import json
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import pyarrow.fs as pafs

from airflow_provider_flinkx.exceptions import MissingDriverError
from airflow_provider_flinkx.jobs.model import Dirty
from airflow_provider_flinkx.plugins.base import Category, Reject
from airflow_provider_flinkx.plugins.files.filesystem import Location, connect, errors

#: FlinkX's codes of the categories (job.md §6).
FLINKX_CODES: Mapping[Category, str] = {
    Category.NULL: "npe",
    Category.DUPLICATE: "duplicate",
    Category.CONVERSION: "conversion",
    Category.OTHER: "other",
}
_FLINKX_SEPARATOR = "\x01"
#: Where Hadoop settings name the default file system; the first is the older name of the second.
_DEFAULT_FILE_SYSTEM = ("fs.default.name", "fs.defaultFS", "defaultFS")


class Stream(Protocol):
    """The part of a file object that a reject file needs."""

    def write(self, data: bytes, /) -> Any:
        """Write bytes."""

    def flush(self) -> Any:
        """Hand on what is buffered."""

    def close(self) -> Any:
        """Close the file."""


class RejectFiles:
    """The reject files of one job: opens one per split, lists them, counts their rows."""

    def __init__(self, dirty: Dirty, job_id: str, timezone: str) -> None:
        """`timezone` is the zone of the time stamps, an IANA name; without `dirty.path` nothing is written."""
        self.dirty = dirty
        self.job_id = job_id
        self.timezone = timezone
        self._location: Location | None = None

    @property
    def directory(self) -> str | None:
        """URL or path of the directory of this job's files."""
        return None if self.dirty.path is None else posixpath.join(self.dirty.path, self.job_id)

    def open(self, split_index: int, of_table: Mapping[str, str] = MappingProxyType({})) -> RejectFile:
        """The file of a split; it comes into being with the first rejected row.

        Args:
            split_index: unique in the job.
            of_table: what says which table the rows come from, where the job reads many.
        """
        if self.directory is None:
            return RejectFile(None, _no_stream, _json_line, self.timezone)
        line, suffix = (_flinkx_line, "txt") if self.dirty.format == "flinkx" else (_json_line, "jsonl")
        name = f"{split_index:05d}.{suffix}"
        path = posixpath.join(self.directory, name)
        return RejectFile(path, lambda: self._create(name), line, self.timezone, of_table)

    def files(self) -> list[str]:
        """Paths of this job's files, sorted; empty when no row was rejected."""
        if self.directory is None:
            return []
        filesystem, path, url = self._locate()
        with errors(url, path):
            found = filesystem.get_file_info(pafs.FileSelector(path, allow_not_found=True))
        return sorted(posixpath.join(self.directory, info.base_name) for info in found if info.is_file)

    def count(self) -> int:
        """Number of rejected rows in this job's files."""
        return sum(1 for _ in self.lines())

    def lines(self) -> Iterator[str]:
        """Each line of this job's files, without its end."""
        for file in self.files():
            filesystem, directory, url = self._locate()
            path = posixpath.join(directory, posixpath.basename(file))
            with errors(url, path), filesystem.open_input_stream(path) as stream:
                for line in io.TextIOWrapper(stream, encoding="utf-8", newline="\n"):
                    yield line.rstrip("\n")

    def _locate(self) -> Location:
        if self._location is None:
            assert self.directory is not None
            self._location = locate(self.directory, self.dirty.hadoop_config)
        return self._location

    def _create(self, name: str) -> Stream:
        filesystem, directory, url = self._locate()
        path = posixpath.join(directory, name)
        with errors(url, path):
            filesystem.create_dir(directory, recursive=True)
            return _durable_stream(filesystem, path)


class RejectFile:
    """The rejected rows of one split; `path` is where they stand, None when the job has no `dirty.path`."""

    def __init__(
        self,
        path: str | None,
        create: Callable[[], Stream],
        line: Callable[[Reject, datetime, Mapping[str, str]], str],
        timezone: str,
        of_table: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.path = path
        self._of_table = of_table
        self._create = create
        self._line = line
        self._zone = ZoneInfo(timezone)
        self._stream: Stream | None = None

    def write(self, rejects: Sequence[Reject]) -> None:
        """Append rejected rows and hand them to the file system, so that a crash loses none of them.

        Raises:
            DataError: the file cannot be written.
        """
        if self.path is None or not rejects:
            return
        if self._stream is None:
            self._stream = self._create()
        now = datetime.now(self._zone)
        text = "".join(self._line(reject, now, self._of_table) + "\n" for reject in rejects)
        with errors("", self.path):
            self._stream.write(text.encode())
            self._stream.flush()

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._stream is not None:
            with errors("", self.path or ""):
                self._stream.close()
            self._stream = None


def locate(path: str, hadoop_config: Mapping[str, Any]) -> Location:
    """The file system of a `dirty.path`: a URL, a path on the HDFS of `hadoop_config`, or a local path.

    Raises:
        MissingDriverError: the fsspec implementation of the URL is not installed.
    """
    if path.startswith(("file://", "hdfs://")):
        return connect(path, hadoop_config)
    if "://" in path:
        return _fsspec_location(path)
    default = next((str(hadoop_config[key]) for key in _DEFAULT_FILE_SYSTEM if hadoop_config.get(key)), None)
    if default is None and hadoop_config.get("dfs.nameservices"):
        default = f"hdfs://{str(hadoop_config['dfs.nameservices']).split(',')[0].strip()}"
    url = f"{default.rstrip('/')}/{path.lstrip('/')}" if default else f"file://{Path(path).absolute()}"
    return connect(url, hadoop_config)


def _fsspec_location(url: str) -> Location:
    scheme = url.split("://", 1)[0]
    try:
        import fsspec

        filesystem, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise MissingDriverError(f"dirty.path {url}: no fsspec file system for {scheme!r} here ({error})") from error
    return Location(pafs.PyFileSystem(pafs.FSSpecHandler(filesystem)), path, f"{scheme}://")


class _SyncedHDFSFile:
    """A file on HDFS whose `flush` waits until the DataNodes have the bytes."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self.write = writer.write
        self.flush = writer.hsync
        self.close = writer.close


def _durable_stream(filesystem: pafs.FileSystem, path: str) -> Stream:
    if filesystem.type_name == "py::hdfs":
        return _SyncedHDFSFile(filesystem.handler.client.create(path))
    stream: Stream = filesystem.open_output_stream(path)
    return stream


def _no_stream() -> Stream:
    raise AssertionError("a job without dirty.path opens no file")


def _json_line(reject: Reject, now: datetime, of_table: Mapping[str, str]) -> str:
    entry = {
        "time": now.isoformat(timespec="milliseconds"),
        **of_table,
        "category": reject.category.value,
        "message": reject.message,
        "row": reject.row,
    }
    return json.dumps(entry, ensure_ascii=False)


def _flinkx_line(reject: Reject, now: datetime, of_table: Mapping[str, str]) -> str:
    row = {name: value for name, value in reject.row.items() if value is not None}
    columns = (
        json.dumps(row, ensure_ascii=False),
        FLINKX_CODES[reject.category],
        json.dumps(": ".join([*of_table.values(), reject.message]), ensure_ascii=False),
        now.strftime("%Y-%m-%d %H:%M:%S"),
    )
    return _FLINKX_SEPARATOR.join(columns)
