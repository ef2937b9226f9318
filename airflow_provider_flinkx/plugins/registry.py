"""Which plugins there are: the built-in ones and those that other packages add by an entry point.

A plugin declares itself as `PLUGIN = Plugin(...)` in `plugins/<name>/__init__.py`, which imports no driver.
Third parties add one with an entry point of the group `airflow_provider_flinkx.plugins`
whose value is `package.module:PLUGIN`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from typing import Any, Literal

from airflow_provider_flinkx.exceptions import MissingDriverError
from airflow_provider_flinkx.jobs import schemas
from airflow_provider_flinkx.jobs.problems import did_you_mean

Side = Literal["reader", "writer"]
ENTRY_POINT_GROUP = "airflow_provider_flinkx.plugins"

BUILT_IN = ("db2", "hdfs", "mysql", "mysqld", "oracle", "postgresql", "sqlserver", "stream")

#: Plugin names of FlinkX (job.md §2) and of this project's plan that are not built yet.
KNOWN_NOT_INSTALLED = (
    "carbondata", "es", "ftp", "hbase", "http", "mongodb", "odps", "redis",
)  # fmt: skip


@dataclass(frozen=True)
class Plugin:
    """Declaration of one source.

    Args:
        name: the word before `reader` and `writer` in job files.
        package: the package that holds `reader.schema.json` and `writer.schema.json`.
        reader: `module:Class` of the Reader, or None.
        writer: `module:Class` of the Writer, or None.
        extra: the extra of this distribution that brings the drivers, or None if it needs none.
        connection: `module:NAME` of the ConnectionType, or None.
        remarks: `module:function` that is asked by `remarks_of`, or None; its module imports no driver.
    """

    name: str
    package: str
    reader: str | None = None
    writer: str | None = None
    extra: str | None = None
    connection: str | None = None
    remarks: str | None = None

    def schema(self, side: Side) -> Mapping[str, Any]:
        """The JSON Schema of the reader's or writer's `parameter`."""
        return schemas.load(self.package, f"{side}.schema.json")

    def load(self, side: Side) -> type[Any]:
        """The Reader or Writer class.

        Raises:
            MissingDriverError: when its driver is not installed.
        """
        target = self.reader if side == "reader" else self.writer
        if target is None:
            raise MissingDriverError(f"plugin {self.name} has no {side}")
        loaded: type[Any] = load(target, f"{self.name}{side}", self.extra)
        return loaded


def load(target: str, needed_by: str, extra: str | None) -> Any:
    """Import what a declaration names as `module:name`.

    Args:
        target: module and name.
        needed_by: who needs it, for the message.
        extra: the extra of this distribution that brings the packages that it imports.

    Raises:
        MissingDriverError: when one of them is not installed.
    """
    module, _, attribute = target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        hint = f"pip install 'airflow-provider-flinkx[{extra}]'" if extra else f"install {error.name}"
        raise MissingDriverError(
            f"{needed_by} needs the Python package {error.name!r}, which is not installed here: {hint}"
        ) from error


@cache
def plugins() -> Mapping[str, Plugin]:
    """All plugins by name, sorted."""
    found: dict[str, Plugin] = {}
    for name in BUILT_IN:
        found[name] = import_module(f"airflow_provider_flinkx.plugins.{name}").PLUGIN
    for entry in metadata.entry_points(group=ENTRY_POINT_GROUP):
        found[entry.name] = entry.load()
    return dict(sorted(found.items()))


def schema_of(name: str) -> Mapping[str, Any]:
    """The JSON Schema of the parameters of a reader or writer.

    Args:
        name: as in a job, such as `mysqlreader`; any letter case.

    Raises:
        LookupError: when there is no such plugin; the text says why, and names the nearest one.
    """
    parts = split_name(name)
    if parts is None:
        raise LookupError(f"{name!r} ends neither in reader nor in writer")
    plugin_name, side = parts
    plugin = plugins().get(plugin_name)
    if plugin is not None and (plugin.reader if side == "reader" else plugin.writer):
        return plugin.schema(side)
    if plugin is not None:
        raise LookupError(f"plugin {plugin_name!r} has no {side}")
    if plugin_name in KNOWN_NOT_INSTALLED:
        raise LookupError(f"plugin {plugin_name!r} is not installed; there are {', '.join(plugins())}")
    known = [f"{known}{side}" for known in (*plugins(), *KNOWN_NOT_INSTALLED)]
    raise LookupError(f"unknown plugin {name!r}{did_you_mean(name, known)}")


def remarks_of(name: str, parameter: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """What the author of a job should know of valid parameters: pairs of a key and a sentence.

    Args:
        name: as in a job, such as `oraclereader`.
        parameter: the parameters, fitted to the schema.
    """
    parts = split_name(name)
    plugin = plugins().get(parts[0]) if parts else None
    if plugin is None or plugin.remarks is None:
        return ()
    remarks: Sequence[tuple[str, str]] = load(plugin.remarks, name, plugin.extra)(parameter)
    return remarks


def split_name(name: str) -> tuple[str, Side] | None:
    """`mysqlreader` -> ("mysql", "reader"); None when the name ends in neither word (job.md §2)."""
    lowered = name.lower()
    for side in ("reader", "writer"):
        if lowered.endswith(side) and len(lowered) > len(side):
            return lowered[: -len(side)], side
    return None
