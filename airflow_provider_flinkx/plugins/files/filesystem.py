"""File systems by URL: `file://` and `hdfs://` as `pyarrow.fs.FileSystem`, and one-line errors for what they raise."""

from __future__ import annotations

import contextlib
import posixpath
import socket
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pyarrow.fs as pafs

from airflow_provider_flinkx.exceptions import (
    AccessDeniedError,
    ConnectionFailedError,
    DataError,
    FlinkXError,
    JobInvalidError,
    MissingDriverError,
    NotFoundError,
)

DEFAULT_NAMENODE_PORT = 8020
CONNECT_SECONDS = 4.0


class Location(NamedTuple):
    """A path on a file system; `url` is how messages name the file system (`hdfs://ns1`)."""

    filesystem: pafs.FileSystem
    path: str
    url: str


def connect(url: str, hadoop_config: Mapping[str, Any]) -> Location:
    """The file system and path of a `file://` or `hdfs://` URL.

    Args:
        url: such as `hdfs://host:port/path`, `hdfs://nameservice/path`, `file:///path`.
        hadoop_config: settings of the Hadoop client, such as those of high availability (hdfs.md).

    Raises:
        JobInvalidError: another scheme.
        ConnectionFailedError: no NameNode answers.
        MissingDriverError: hdfs-native is not installed.
    """
    parts = urlsplit(url)
    path = posixpath.normpath("/" + _path_of(url).lstrip("/"))
    if parts.scheme == "file":
        return Location(pafs.LocalFileSystem(), path, "file://")
    if parts.scheme != "hdfs" or not parts.netloc:
        raise JobInvalidError(
            [f"{url!r} is no URL of a file system: file:///… or hdfs://host:port or hdfs://nameservice"]
        )
    filesystem_url = f"hdfs://{parts.netloc}"
    return Location(_hdfs(filesystem_url, parts.netloc, hadoop_config), path, filesystem_url)


def _path_of(url: str) -> str:
    """The path as it stands: `#`, `?` and `%` are ordinary characters of file names here."""
    return url.split("://", 1)[1].partition("/")[2]


def _hdfs(url: str, authority: str, hadoop_config: Mapping[str, Any]) -> pafs.FileSystem:
    settings = {str(key): _setting(value) for key, value in hadoop_config.items()}
    _probe(url, namenodes(authority, settings))
    try:
        from airflow_provider_flinkx.plugins.files.hdfs import HDFSHandler
    except ModuleNotFoundError as error:
        raise MissingDriverError(
            f"{url} needs the Python package {error.name!r}, which is not installed here: "
            "pip install 'airflow-provider-flinkx[hdfs]'"
        ) from error
    with errors(url, "/"):
        return pafs.PyFileSystem(HDFSHandler(url, settings))


def _setting(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def namenodes(authority: str, settings: Mapping[str, str]) -> list[tuple[str, int]]:
    """Host and port of each NameNode of `hdfs://authority`; empty when only a Hadoop configuration file knows."""
    names = settings.get(f"dfs.ha.namenodes.{authority}", "")
    addresses = [settings.get(f"dfs.namenode.rpc-address.{authority}.{name.strip()}") for name in names.split(",")]
    known = [address for address in addresses if address]
    if not known and ":" in authority:
        known = [authority]
    pairs = (address.rpartition(":") for address in known)
    return [(host, int(port)) if host else (port, DEFAULT_NAMENODE_PORT) for host, _, port in pairs]


def _probe(url: str, addresses: list[tuple[str, int]]) -> None:
    """Fail fast when no NameNode answers: the client itself would go on trying for minutes."""
    reasons: list[str] = []
    for host, port in addresses:
        try:
            socket.create_connection((host, port), CONNECT_SECONDS).close()
            return
        except OSError as error:
            reasons.append(f"{host}:{port} ({error.strerror or error})")
    if reasons:
        raise ConnectionFailedError(f"{url}: no NameNode answers: {', '.join(reasons)}")


@contextlib.contextmanager
def errors(url: str, path: str) -> Iterator[None]:
    """Turn what file systems raise into this package's errors, one line with URL and path."""
    place = url + path
    try:
        yield
    except FlinkXError:
        raise
    except FileNotFoundError as error:
        raise NotFoundError(f"{place}: no such file or directory") from error
    except PermissionError as error:
        raise AccessDeniedError(f"{place}: permission denied") from error
    except (ConnectionError, TimeoutError) as error:
        raise ConnectionFailedError(f"{place}: {one_line(error)}") from error
    except (OSError, RuntimeError, EOFError) as error:
        text = one_line(error)
        if "AccessControlException" in text:
            raise AccessDeniedError(f"{place}: {text}") from error
        if "No NameNode hosts" in text:
            raise ConnectionFailedError(
                f"{url}: not known as a host or name service; give host:port, or hadoopConfig with dfs.nameservices"
            ) from error
        raise DataError(f"{place}: {text}") from error


def one_line(error: BaseException) -> str:
    """The first line of an error's text, at most 300 characters."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
