"""HDFS for pyarrow, on hdfs-native: speaks Hadoop's protocol itself and fails over between NameNodes, without Java.

Paths go to the client as they are. (fsspec's wrapper of the same client parses them as URLs, so that
`a#b` would become `a`.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
from hdfs_native import Client, WriteOptions


class HDFSHandler(pafs.FileSystemHandler):  # type: ignore[misc]
    """What `pyarrow.fs.PyFileSystem` asks of a file system."""

    def __init__(self, url: str, settings: Mapping[str, str]) -> None:
        self.url = url
        self.settings = dict(settings)
        self.client = Client(url, self.settings)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HDFSHandler) and (self.url, self.settings) == (other.url, other.settings)

    def __hash__(self) -> int:
        return hash(self.url)

    def get_type_name(self) -> str:
        """Name of this kind of file system."""
        return "hdfs"

    def normalize_path(self, path: str) -> str:
        """Paths need no change."""
        return path

    def get_file_info(self, paths: Sequence[str]) -> list[pafs.FileInfo]:
        """One entry per path; a missing one has the type NotFound."""
        return [self._info(path) for path in paths]

    def _info(self, path: str) -> pafs.FileInfo:
        try:
            return _file_info(path, self.client.get_file_info(path))
        except FileNotFoundError:
            return pafs.FileInfo(path, pafs.FileType.NotFound)

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        """What is in a directory, with all below it when the selector is recursive."""
        try:
            found = list(self.client.list_status(selector.base_dir, selector.recursive))
        except FileNotFoundError:
            if selector.allow_not_found:
                return []
            raise
        return [_file_info(status.path, status) for status in found]

    def create_dir(self, path: str, recursive: bool) -> None:
        """Make a directory; one that is there is no error."""
        self.client.mkdirs(path, 0o755, recursive)

    def delete_dir(self, path: str) -> None:
        """Delete a directory with all that is in it."""
        self._delete(path, recursive=True)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        """Empty a directory."""
        for info in self.get_file_info_selector(pafs.FileSelector(path, allow_not_found=missing_dir_ok)):
            self._delete(info.path, recursive=True)

    def delete_root_dir_contents(self) -> None:
        """Refused: nothing here empties a whole file system."""
        raise PermissionError("the root directory is not emptied")

    def delete_file(self, path: str) -> None:
        """Delete a file."""
        self._delete(path, recursive=False)

    def _delete(self, path: str, *, recursive: bool) -> None:
        if not self.client.delete(path, recursive):
            raise FileNotFoundError(path)

    def move(self, source: str, target: str) -> None:
        """Rename in one step of the NameNode; an existing target is an error."""
        self.client.rename(source, target, False)

    def copy_file(self, source: str, target: str) -> None:
        """Refused: nothing here copies."""
        raise NotImplementedError("copy_file")

    def open_input_stream(self, path: str) -> pa.NativeFile:
        """Open for reading from the beginning."""
        return self.open_input_file(path)

    def open_input_file(self, path: str) -> pa.NativeFile:
        """Open for reading at any place."""
        return pa.PythonFile(self.client.read(path), mode="r")

    def open_output_stream(self, path: str, _metadata: Mapping[str, str] | None) -> pa.NativeFile:
        """Create or replace a file."""
        options = WriteOptions()
        options.overwrite = True
        return pa.PythonFile(self.client.create(path, write_options=options), mode="w")

    def open_append_stream(self, path: str, _metadata: Mapping[str, str] | None) -> pa.NativeFile:
        """Open a file to write at its end."""
        return pa.PythonFile(self.client.append(path), mode="w")


def _file_info(path: str, status: Any) -> pafs.FileInfo:
    kind = pafs.FileType.Directory if status.isdir else pafs.FileType.File
    size = None if status.isdir else status.length
    return pafs.FileInfo(path, kind, size=size, mtime=status.modification_time / 1000)
