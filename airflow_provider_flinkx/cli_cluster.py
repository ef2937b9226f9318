"""Where a job of the `flinkx` command runs: its options, which are the fields of a `flink` connection.

FlinkX's launcher has flags of its own for some of them (cli.md, "Flags"); both forms become one `ClusterSettings`.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_provider_flinkx.clusters.settings import ClusterSettings
from airflow_provider_flinkx.exceptions import JobFileError
from airflow_provider_flinkx.hooks.connection import CONNECTION, cluster_settings
from airflow_provider_flinkx.plugins.connection import ConnectionValues, Field

#: Option -> the flag of FlinkX's launcher that says the same.
LAUNCHER_FLAGS = {
    "mode": "mode",
    "flink_conf": "flinkconf",
    "yarn_conf": "yarnconf",
    "application_id": "appId",
    "queue": "queue",
    "kerberos_principal": "principal",
    "kerberos_keytab": "keytab",
    "settings": "confProp",
}
#: Keys of `-confProp` that are FlinkX's own: checkpoints are not used, and the rest is of clusters that it starts.
CONF_PROP_WITHOUT_EFFECT = (
    "flink.checkpoint.interval", "flink.checkpoint.timeout", "jobmanager.memory.mb", "taskmanager.memory.mb",
    "taskmanager.slots",
)  # fmt: skip
PER_JOB_MODE = "yarnPer"

_EVERYWHERE = ("mode", "python", "settings")
_STANDALONE_ONLY = ("rest_address", "flink_conf")
_YARN_ONLY = ("yarn_conf", "application_id", "application_name", "queue", "kerberos_principal", "kerberos_keytab")
#: Where FlinkX looks for a folder that is not given: variable, folder below it.
_HOMES = {"flink_conf": ("FLINK_HOME", "conf"), "yarn_conf": ("HADOOP_HOME", "etc/hadoop")}


def add_cluster_options(parser: argparse.ArgumentParser, *, launcher: bool) -> None:
    """Add an option for each field of a `flink` connection, and FlinkX's flags for the same if `launcher`."""
    group = parser.add_argument_group("cluster", "where the job runs; as in a `flink` connection")
    group.add_argument(
        "--rest-address",
        metavar="URL[,URL]",
        help="http(s)://host:port of the JobManager, of each one in HA; for standalone",
    )
    for field in CONNECTION.fields:
        flag = LAUNCHER_FLAGS.get(field.name) if launcher else None
        _add_option(group, field, [f"-{flag}"] if flag else [])


def _add_option(group: argparse._ArgumentGroup, field: Field, flags: Sequence[str]) -> None:
    names = [*flags, f"--{field.name.replace('_', '-')}"]
    if field.name == "settings":
        group.add_argument("-D", action="append", metavar="KEY=VALUE", type=_setting, help="a Flink setting")
        for flag in flags:
            group.add_argument(flag, metavar="JSON", type=_json_object, dest="settings", help="Flink settings as JSON")
    elif field.choices:
        per_job = [PER_JOB_MODE] * bool(flags)
        group.add_argument(
            *names,
            dest=field.name,
            default=field.default,
            choices=[*field.choices, *per_job],
            help=_help(field),
        )
    else:
        kind = int if field.kind == "integer" else str
        group.add_argument(*names, dest=field.name, metavar="VALUE", type=kind, help=_help(field))


def _help(field: Field) -> str:
    default = "" if field.default is None else f" Default {field.default}."
    return (field.description + default).replace("%", "%%")


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError("must be key=value")
    return name, value


def _json_object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("must be a JSON object")
    return value


def settings_of(options: argparse.Namespace) -> ClusterSettings:
    """The cluster that the options name, in either form.

    Raises:
        JobFileError: when they name one that there is not, an archive that is not there, or FlinkX's `yarnPer`.
    """
    if options.mode == PER_JOB_MODE:
        raise JobFileError(
            f"-mode {PER_JOB_MODE} is not offered: starting a cluster on YARN needs Hadoop's jars on this machine; "
            "start a session with Flink's yarn-session.sh and use -mode yarn"
        )
    extra = {field.name: getattr(options, field.name, None) for field in CONNECTION.fields}
    extra |= {name: extra[name] or _home(options, name) for name in _HOMES}
    settings = {key: value for key, value in (extra["settings"] or {}).items() if key not in CONF_PROP_WITHOUT_EFFECT}
    extra["settings"] = settings | dict(options.D or ())
    given = {name: value for name, value in extra.items() if value is not None}
    if options.worker_archive is not None and not Path(options.worker_archive).is_file():
        raise JobFileError(f"{options.worker_archive}: there is no such archive; `flinkx pack` makes one")
    return cluster_settings(ConnectionValues("", CONNECTION.conn_type, host=options.rest_address, extra=given))


def _home(options: argparse.Namespace, name: str) -> str | None:
    variable, below = _HOMES[name]
    home = os.environ.get(variable)
    return f"{home}/{below}" if home and name in _used(options.mode) else None


def without_effect(options: argparse.Namespace, *, launcher: bool) -> list[str]:
    """The options given that mean nothing in the mode given, as they are written."""
    return list(_without_effect(options, launcher))


def _without_effect(options: argparse.Namespace, launcher: bool) -> Iterator[str]:
    used = _used(options.mode)
    for name in ("rest_address", *(field.name for field in CONNECTION.fields)):
        if name not in used and getattr(options, name) is not None:
            yield f"-{LAUNCHER_FLAGS[name]}" if launcher and name in LAUNCHER_FLAGS else f"--{name.replace('_', '-')}"
    for key in getattr(options, "settings", None) or ():
        if key in CONF_PROP_WITHOUT_EFFECT:
            yield f"-confProp {key}"


def _used(mode: str) -> set[str]:
    """The options that mean something in a mode."""
    if mode == "local":
        return set(_EVERYWHERE)
    every = {"rest_address", *(field.name for field in CONNECTION.fields)}
    return every - set(_YARN_ONLY if mode == "standalone" else _STANDALONE_ONLY)
