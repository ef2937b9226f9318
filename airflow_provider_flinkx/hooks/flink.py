"""FlinkClusterHook: the `flink` connection becomes a cluster, and a job runs on it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from airflow_provider_flinkx.clusters.local import LocalCluster, java_home
from airflow_provider_flinkx.compat import AirflowNotFoundException, mask_secret
from airflow_provider_flinkx.exceptions import ClusterError, JobFileError
from airflow_provider_flinkx.hooks.connection import CONNECTION, MODE, MODES, PYTHON, SETTINGS
from airflow_provider_flinkx.hooks.secrets import secrets_of
from airflow_provider_flinkx.jobs.references import resolve
from airflow_provider_flinkx.jobs.validation import validate
from airflow_provider_flinkx.plugins.connection import ConnectionValues, connection_type
from airflow_provider_flinkx.plugins.hook import DeclaredHook, connection_values
from airflow_provider_flinkx.plugins.registry import Side, plugins, remarks_of, schema_of

_CHECK_SECONDS = 30


class FlinkClusterHook(DeclaredHook, connection=CONNECTION):
    """Runs jobs on the cluster that a `flink` connection describes.

    Args:
        flink_conn_id: id of the connection; a missing `flink_default` means local mode with defaults.
        mode: overrides the connection's mode.
    """

    conn_name_attr: ClassVar[str] = "flink_conn_id"

    def __init__(self, flink_conn_id: str = "flink_default", mode: str | None = None) -> None:
        super().__init__(flink_conn_id)
        self.mode = mode
        self._running: LocalCluster | None = None

    def run(
        self,
        document: Mapping[str, Any],
        *,
        job_key: str,
        on_progress: Callable[[Mapping[str, Any]], None],
    ) -> dict[str, Any]:
        """Resolve the job's connections, validate it, and run it to its end.

        Args:
            document: the job as plain JSON.
            job_key: name of the run, stable over retries.
            on_progress: see `LocalCluster.run`.

        Returns:
            The job report.

        Raises:
            FlinkXError: what is wrong with the job or ended it.
        """
        resolved = resolve(document, connection_parameters)
        for secret in secrets_of(resolved):
            mask_secret(secret)
        warnings = validate(resolved, schema_of=schema_of, remarks_of=remarks_of).warnings
        for warning in warnings:
            self.log.warning("%s", warning)
        self._running = cluster = self.cluster()
        return cluster.run(resolved, job_key=job_key, on_progress=on_progress, warnings=warnings)

    def cancel(self) -> None:
        """Cancel the job that `run` runs, if any; it is gone within ten seconds."""
        if self._running is not None:
            self._running.cancel()

    def cluster(self) -> LocalCluster:
        """The cluster of the connection.

        Raises:
            JobFileError: when the connection or `mode` names something that there is not.
        """
        values = self.values()
        mode = self.mode or values.extra.get(MODE) or "local"
        if mode not in MODES:
            raise JobFileError(f"mode {mode!r} is unknown; allowed: {', '.join(MODES)}")
        return LocalCluster(
            python=values.extra.get(PYTHON),
            settings={name: _setting(value) for name, value in values.json_object(SETTINGS).items()},
            log=lambda line: self.log.debug("%s", line),
        )

    def values(self) -> ConnectionValues:
        """The stored connection, or an empty one when `flink_default` is not there."""
        try:
            values = super().values()
        except AirflowNotFoundException:
            if self.conn_id != self.default_conn_name:
                raise
            self.log.info("There is no connection %r: the job runs in local mode with defaults.", self.conn_id)
            return ConnectionValues(self.conn_id, self.conn_type)
        if values.conn_type != self.conn_type:
            raise JobFileError(
                f"connection {self.conn_id!r} is of type {values.conn_type!r}; a cluster needs {self.conn_type!r}"
            )
        return values

    def check(self) -> str:
        """Start the interpreter with Flink, and Java, and say their versions."""
        python = self.cluster().python
        flink = _output([python, "-c", "from pyflink.version import __version__; print(__version__)"], python)
        home = java_home(os.environ)
        java = str(Path(home, "bin", "java")) if home else "java"
        return f"local mode: apache-flink {flink} on {python}, {_output([java, '--version'], java)}"


def connection_parameters(connection_id: str, plugin_name: str, side: Side) -> Mapping[str, Any]:
    """What a `connectionId` in a reader or writer stands for.

    Args:
        connection_id: an Airflow connection.
        plugin_name: the plugin, such as `mysql`.
        side: reader or writer.

    Raises:
        JobFileError: when there is no such connection, or it does not fit the plugin.
    """
    plugin = plugins().get(plugin_name)
    declared = connection_type(plugin) if plugin else None
    if declared is None:
        raise JobFileError(f"{plugin_name}{side} takes no connection")
    try:
        connection = DeclaredHook.get_connection(connection_id)
    except AirflowNotFoundException:
        raise JobFileError("there is no such connection in Airflow") from None
    return declared.parameters(side, connection_values(connection))


def _setting(value: Any) -> str:
    """A Flink setting as text; `true` stays `true`."""
    return value if isinstance(value, str) else json.dumps(value)


def _output(command: list[str], what: str) -> str:
    """First line that a program prints.

    Raises:
        ClusterError: when it cannot be started or fails; with its last line.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter is the connection's own setting
            command, capture_output=True, text=True, timeout=_CHECK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(f"{what} does not start: {error}") from None
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode != 0 or not lines:
        raise ClusterError(f"{what} failed: {lines[-1] if lines else 'it printed nothing'}")
    return lines[0]
