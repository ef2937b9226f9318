"""Local mode: the driver process brings its own Flink mini-cluster, runs one job and ends."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_flinkx import exceptions
from airflow_provider_flinkx.clusters.driver_process import DriverProcess, Progress
from airflow_provider_flinkx.clusters.rest import FlinkRest, run_coroutine
from airflow_provider_flinkx.clusters.watch import JobWatch


def free_port() -> int:
    """A TCP port on the loopback address that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LocalCluster:
    """Runs jobs one at a time, each in a driver process of its own.

    Args:
        python: interpreter that has apache-flink and this package; default the caller's.
        settings: Flink settings that override the mini-cluster's.
        log: gets each line that the driver, Flink and Java write.
    """

    def __init__(
        self,
        python: str | None = None,
        settings: Mapping[str, str] | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.settings = dict(settings or {})
        self._driver = DriverProcess(python, log)

    @property
    def python(self) -> str:
        """The driver's interpreter."""
        return self._driver.python

    def run(
        self,
        document: Mapping[str, Any],
        *,
        job_key: str,
        on_progress: Progress | None = None,
        warnings: Sequence[str] = (),
        take_finished: bool = False,
    ) -> dict[str, Any]:
        """Run a job to its end.

        Args:
            document: a validated job, connection references resolved.
            job_key: name of the run, stable over retries.
            on_progress: see `Progress`.
            warnings: lines that the report repeats.
            take_finished: whether the report of an earlier try of this key will do, when it has finished.

        Returns:
            The job report (docs/job-reference.md).

        Raises:
            FlinkXError: what ended the job; `report` says how far it came.
        """
        with tempfile.TemporaryDirectory(prefix="flinkx-", ignore_cleanup_errors=True) as folder:
            request = {
                "document": document,
                "job_key": job_key,
                "folder": folder,
                "rest_port": free_port(),
                "settings": self.settings,
                "warnings": list(warnings),
                "take_finished": take_finished,
            }
            try:
                return _complete(self._follow(request, folder, on_progress))
            except exceptions.FlinkXError as error:
                error.report = error.report and _complete(error.report)
                raise

    def cancel(self) -> None:
        """Cancel the running job; it and its processes are gone within ten seconds."""
        self._driver.cancel()

    def _follow(self, request: Mapping[str, Any], folder: str, on_progress: Progress | None) -> dict[str, Any]:
        poll: Callable[[], None] | None = None
        with contextlib.closing(self._driver.events(request, folder)) as events:
            for event in events:
                if event is None:
                    if poll is not None:
                        poll()
                elif event["event"] == "submitted" and on_progress is not None:
                    poll = _progress_poll(event["restAddress"], event["jobId"], on_progress)
                elif event["event"] == "report":
                    report: dict[str, Any] = event["report"]
                    return report
        raise AssertionError("the driver's events end with one of these, or an error")


def _progress_poll(address: str, job_id: str, on_progress: Progress) -> Callable[[], None]:
    """A function that looks once at a running job's metrics."""
    rest = FlinkRest([address])
    watch = JobWatch()

    def poll() -> None:
        with contextlib.suppress(exceptions.ClusterError, exceptions.JobLostError):
            on_progress(watch.rated(run_coroutine(rest.progress(job_id))))

    return poll


def _complete(report: Mapping[str, Any]) -> dict[str, Any]:
    return {**report, "cluster": "local"}
