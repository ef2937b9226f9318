"""FlinkClusterHook: the `flink` connection becomes a cluster, and a job runs on it."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from airflow_provider_flinkx.clusters.java import java_home
from airflow_provider_flinkx.clusters.local import LocalCluster
from airflow_provider_flinkx.clusters.session import SessionCluster, StartedJob
from airflow_provider_flinkx.compat import AirflowNotFoundException, mask_secret
from airflow_provider_flinkx.exceptions import ClusterError, JobFileError, VersionMismatchError
from airflow_provider_flinkx.hooks.connection import CONNECTION, cluster_settings
from airflow_provider_flinkx.hooks.secrets import secrets_of
from airflow_provider_flinkx.jobs.references import resolve
from airflow_provider_flinkx.jobs.validation import validate
from airflow_provider_flinkx.plugins.connection import ConnectionValues, connection_type
from airflow_provider_flinkx.plugins.hook import DeclaredHook, connection_values
from airflow_provider_flinkx.plugins.registry import Side, plugins, remarks_of, schema_of

_CHECK_SECONDS = 30
# It logs each request, and Airflow 2 puts that into the log of the task; Airflow 3 sets this level itself.
logging.getLogger("httpx").setLevel(logging.WARNING)

_PRINT_VERSION = "import importlib.metadata; print(importlib.metadata.version('apache-flink'))"


class FlinkClusterHook(DeclaredHook, connection=CONNECTION):
    """Runs jobs on the cluster that a `flink` connection describes.

    Args:
        flink_conn_id: id of the connection; a missing `flink_default` means local mode with defaults.
        mode: overrides the connection's mode.
        application_id: overrides the connection's YARN application.
    """

    conn_name_attr: ClassVar[str] = "flink_conn_id"

    def __init__(
        self, flink_conn_id: str = "flink_default", mode: str | None = None, application_id: str | None = None
    ) -> None:
        super().__init__(flink_conn_id)
        self.mode = mode
        self.application_id = application_id
        self._running: LocalCluster | SessionCluster | None = None

    def run(
        self,
        document: Mapping[str, Any],
        *,
        job_key: str,
        on_progress: Callable[[Mapping[str, Any]], None],
        take_finished: bool = False,
    ) -> dict[str, Any]:
        """Resolve the job's connections, validate it, and run it to its end.

        Args:
            document: the job as plain JSON.
            job_key: name of the run, stable over retries.
            on_progress: see `LocalCluster.run`.
            take_finished: whether this is a later try of the same run, see `LocalCluster.run`.

        Returns:
            The job report.

        Raises:
            FlinkXError: what is wrong with the job or ended it.
        """
        resolved, warnings = self._prepare(document)
        self._running = cluster = self.cluster()
        return cluster.run(
            resolved, job_key=job_key, on_progress=on_progress, warnings=warnings, take_finished=take_finished
        )

    def start(self, document: Mapping[str, Any], *, job_key: str, take_finished: bool = False) -> StartedJob:
        """Like `run`, but on a cluster that outlives the job, and without waiting for it.

        Args: as for `run`. A later try attaches to the job of this key that runs or has finished. A first try
        cancels one that still runs: it belongs to a task that was cleared, or ended without its operator.

        Returns:
            The job in the cluster.

        Raises:
            FlinkXError: when it cannot be submitted.
        """
        session = self._session()
        resolved, warnings = self._prepare(document)
        self._running = session
        if not take_finished:
            session.end(job_key)
        return session.start(resolved, job_key=job_key, warnings=warnings, take_finished=take_finished)

    def cancel(self) -> None:
        """Cancel the job that this hook runs or has started, if any; it is gone within ten seconds."""
        if self._running is not None:
            self._running.cancel()

    @cached_property
    def session(self) -> SessionCluster | None:
        """The cluster that outlives its jobs; None in local mode."""
        cluster = self.cluster()
        return cluster if isinstance(cluster, SessionCluster) else None

    def _session(self) -> SessionCluster:
        if self.session is None:
            raise JobFileError("in local mode a job cannot outlive its driver: run it")
        return self.session

    def _prepare(self, document: Mapping[str, Any]) -> tuple[Mapping[str, Any], Sequence[str]]:
        """The job with its connections resolved, secrets hidden; and what is odd about it, which is logged."""
        resolved = resolve(document, connection_parameters)
        for secret in secrets_of(resolved):
            mask_secret(secret)
        warnings = validate(resolved, schema_of=schema_of, remarks_of=remarks_of).warnings
        for warning in warnings:
            self.log.warning("%s", warning)
        return resolved, warnings

    def cluster(self) -> LocalCluster | SessionCluster:
        """The cluster of the connection; nothing is started or connected yet.

        Raises:
            JobFileError: when the connection or `mode` names something that there is not.
        """
        settings = cluster_settings(self.values(), self.mode)
        if self.application_id is not None:
            settings = replace(settings, application_id=self.application_id)
        if settings.mode == "local":
            return LocalCluster(settings.python, settings.flink, log=self._debug)
        return SessionCluster(settings, log=lambda line: self.log.info("%s", line), debug=self._debug)

    def _debug(self, line: str) -> None:
        self.log.debug("%s", line)

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
        """Ask the cluster, or in local mode the interpreter with Flink and Java, for version and slots."""
        cluster = self.cluster()
        python = cluster.python
        flink = _output([python, "-c", _PRINT_VERSION], python)
        if isinstance(cluster, LocalCluster):
            home = java_home(os.environ)
            java = str(Path(home, "bin", "java")) if home else "java"
            return f"local mode: apache-flink {flink} on {python}, {_output([java, '--version'], java)}"
        overview = cluster.overview()
        if overview.version != flink:
            raise VersionMismatchError(
                f"the cluster runs Flink {overview.version}, {python} has apache-flink {flink}: "
                f"pip install apache-flink=={overview.version} there, or name another Python in this connection"
            )
        return (
            f"{cluster.settings.mode} mode: Flink {overview.version} at {cluster.address}, "
            f"{overview.free_slots} of {overview.slots} slots free on {overview.task_managers} TaskManagers"
        )


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
