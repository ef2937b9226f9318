"""Which files a reader reads: paths, globs, hidden files, name filters, Hive partitions (hdfs.md)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote

import pyarrow.fs as pafs

from airflow_provider_flinkx.exceptions import JobInvalidError, NotFoundError
from airflow_provider_flinkx.plugins.files.filesystem import Location, errors

_GLOB_CHARACTERS = re.compile(r"[*?\[{]")
#: What Hive writes in a path for a null partition value.
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


class SourceFile(NamedTuple):
    """An input file and its size in bytes."""

    path: str
    size: int


def split_paths(text: str) -> list[str]:
    """The paths of a comma-separated list; commas inside braces belong to a glob."""
    parts = re.split(r",(?![^{]*\})", text)
    return [part.strip() for part in parts if part.strip()]


def find_files(location: Location, paths: Sequence[str], filter_regex: str | None) -> list[SourceFile]:
    """All files below the paths, sorted by path, each once.

    Args:
        location: the file system.
        paths: files, directories or globs (`*`, `?`, `[…]`, `{a,b}`).
        filter_regex: what the whole file name must match, or None.

    Raises:
        NotFoundError: a path is not there, or a glob matches nothing.
        JobInvalidError: `filter_regex` is no regular expression.
    """
    name_filter = _compile(filter_regex)
    found: dict[str, int] = {}
    for path in paths:
        for info in _below(location, posixpath.normpath(path)):
            if name_filter is None or name_filter.fullmatch(info.base_name):
                found[info.path] = info.size
    return [SourceFile(path, size) for path, size in sorted(found.items())]


def _compile(filter_regex: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(filter_regex) if filter_regex else None
    except re.error as error:
        raise JobInvalidError([f"filterRegex {filter_regex!r} is no regular expression: {error}"]) from error


def _below(location: Location, path: str) -> list[pafs.FileInfo]:
    if _GLOB_CHARACTERS.search(path):
        return _matching(location, path)
    with errors(location.url, path):
        (info,) = location.filesystem.get_file_info([path])
        if info.type == pafs.FileType.NotFound:
            raise NotFoundError(f"{location.url}{path}: no such file or directory")
        if info.is_file:
            return [info]
        return _visible_files(location, path)


def _matching(location: Location, pattern: str) -> list[pafs.FileInfo]:
    """Files that match a glob, and files below directories that match it."""
    directory = posixpath.dirname(_GLOB_CHARACTERS.split(pattern)[0]) or "/"
    regex = re.compile(f"{glob_to_regex(pattern)}(?:/.*)?")
    with errors(location.url, pattern):
        found = [info for info in _visible_files(location, directory) if regex.fullmatch(info.path)]
    if not found:
        raise NotFoundError(f"{location.url}{pattern}: no file matches")
    return found


def _visible_files(location: Location, directory: str) -> list[pafs.FileInfo]:
    """Files below a directory; names that begin with `_` or `.` are left out, with all below them."""
    selector = pafs.FileSelector(directory, recursive=True)
    prefix = directory.rstrip("/") + "/"
    return [
        info
        for info in location.filesystem.get_file_info(selector)
        if info.is_file and not any(name[0] in "_." for name in info.path.removeprefix(prefix).split("/"))
    ]


def glob_to_regex(pattern: str) -> str:
    """Hadoop's glob as a regular expression; `*` and `?` stop at a slash."""
    expression = ""
    depth = 0
    for piece in re.findall(r"\[[^\]]+\]|.", pattern, re.DOTALL):
        if piece == "*":
            expression += "[^/]*"
        elif piece == "?":
            expression += "[^/]"
        elif piece == "{":
            depth += 1
            expression += "(?:"
        elif piece == "}" and depth:
            depth -= 1
            expression += ")"
        elif piece == "," and depth:
            expression += "|"
        elif len(piece) > 1:
            expression += "[^" + piece[2:] if piece[1] in "!^" else piece
        else:
            expression += re.escape(piece)
    if depth:
        raise JobInvalidError([f"path {pattern!r}: a brace is not closed"])
    return expression


def partition_value(path: str, name: str) -> str | None:
    """The value of `name=value` in a path (any letter case of the name), unescaped; None if it is null or not there."""
    for part in posixpath.dirname(path).split("/"):
        key, separator, value = part.partition("=")
        if separator and key.lower() == name.lower():
            return None if value == _NULL_PARTITION else unquote(value)
    return None
