"""A Flink cluster that outlives its jobs: standalone, or a session on YARN.

A job is compiled to a job graph by the driver process, uploaded over REST, and from then on lives in the cluster: it
is found again by its name, which is the job key, so whoever comes back attaches to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from airflow_provider_flinkx import exceptions
from airflow_provider_flinkx.clusters.driver_process import DriverProcess, Progress
from airflow_provider_flinkx.clusters.flink_configuration import read_flink_configuration, rest_addresses
from airflow_provider_flinkx.clusters.rest import (
    UPLOAD_SECONDS,
    ClusterOverview,
    CompiledJob,
    FlinkJob,
    FlinkRest,
    run_coroutine,
)
from airflow_provider_flinkx.clusters.settings import ClusterSettings
from airflow_provider_flinkx.clusters.watch import JobWatch
from airflow_provider_flinkx.clusters.yarn import find_session
from airflow_provider_flinkx.pipeline import failure, marks

POLL_SECONDS = 2.0
#: Warning in the report.
RAN_AGAIN = "another Flink JobManager took over while the job ran, and ran it again from its beginning"
_TWICE = (
    f"{RAN_AGAIN}: rows that were written before are there twice, because the target keeps no ledger "
    "(setting.exactlyOnce), unless preSql or a key removed them. Look at the target, then run the job anew"
)
#: By how much the clocks of the client and the cluster may differ.
_CLOCK_SECONDS = 60.0
_STALE_SECONDS = 15
Result = TypeVar("Result")
Question = Callable[[FlinkRest], Awaitable[Result]]


@dataclass(frozen=True)
class StartedJob:
    """A job in a cluster.

    Args:
        job_id: Flink's id.
        attached: whether it was there already.
        began: when Flink began it first, by Flink's clock in milliseconds since 1970; None: not known.
    """

    job_id: str
    attached: bool
    began: int | None = None


@dataclass(frozen=True)
class Located:
    """Where a cluster is.

    Args:
        rest: its client.
        pages: address of Flink's pages for people.
        application_id: of the YARN application.
    """

    rest: FlinkRest
    pages: str
    application_id: str | None = None


class SessionCluster:
    """Runs jobs on a standalone cluster or in a YARN session.

    Args:
        settings: mode `standalone` or `yarn`.
        log: gets lines for the user.
        debug: gets each line that the driver and Java write.
    """

    def __init__(
        self,
        settings: ClusterSettings,
        log: Callable[[str], None] | None = None,
        debug: Callable[[str], None] | None = None,
    ) -> None:
        self.settings = settings
        self._log = log or (lambda _line: None)
        self._driver = DriverProcess(settings.python, debug)
        self._located: Located | None = None
        self._job_id: str | None = None
        self._cancelled = False

    def run(
        self,
        document: Mapping[str, Any],
        *,
        job_key: str,
        on_progress: Progress | None = None,
        warnings: Sequence[str] = (),
        take_finished: bool = False,
    ) -> dict[str, Any]:
        """Start a job, or attach to it, and wait for its end.

        Args: see `start`; `on_progress` as for `LocalCluster.run`.

        Returns:
            The job report (docs/job-reference.md).

        Raises:
            FlinkXError: what ended the job; `report` says how far it came.
        """
        started = self.start(document, job_key=job_key, warnings=warnings, take_finished=take_finished)
        self.wait(started.job_id, on_progress)
        return self.result(started.job_id, started.began)

    def start(
        self,
        document: Mapping[str, Any],
        *,
        job_key: str,
        warnings: Sequence[str] = (),
        take_finished: bool = False,
    ) -> StartedJob:
        """Submit a job, unless one of this key is there already.

        Args:
            document: a validated job, connection references resolved.
            job_key: name of the run, stable over retries; the Flink job's name.
            warnings: lines that the report repeats.
            take_finished: whether a job of this key that has finished will do as well.

        Raises:
            FlinkXError: when it cannot be submitted.
        """
        found = run_coroutine(self._reachable(lambda rest: rest.find(job_key)))
        if found is not None and (found.is_alive or (take_finished and found.state == "FINISHED")):
            self._job_id = found.job_id
            self._log(f"Attached to the Flink job {found.job_id}, which is {found.state}.")
            return StartedJob(found.job_id, attached=True, began=self._first_began(found))
        if found is not None and not found.has_ended:
            self._log(f"The Flink job {found.job_id} of an earlier try is {found.state}; waiting for its end.")
            self.wait(found.job_id)
        self._job_id = self._submit(document, job_key, warnings, take_finished)
        return StartedJob(self._job_id, attached=False, began=self._began(self._job_id))

    def _began(self, job_id: str) -> int | None:
        """When Flink began a job; None when it has forgotten it already, which its next look will tell."""
        with contextlib.suppress(exceptions.JobLostError):
            return run_coroutine(self._reachable(lambda rest: rest.job(job_id))).started
        return None

    def _first_began(self, found: FlinkJob) -> int:
        """When Flink began a job that another caller has submitted: not later than that one would have waited."""
        told = run_coroutine(self._reachable(lambda rest: rest.parameters(found.job_id)))
        waits = self.settings.reconnect_timeout + UPLOAD_SECONDS + _CLOCK_SECONDS
        return min(found.started, int(told.get(marks.COMPILED, found.started)) + round(1000 * waits))

    async def follow(self, job_id: str, on_progress: Progress | None = None, interval: float = POLL_SECONDS) -> None:
        """Wait until a job has ended, whatever its end.

        Args:
            job_id: Flink's id.
            on_progress: as for `LocalCluster.run`, once in an interval.
            interval: seconds between two looks.

        Raises:
            ClusterUnreachableError: the cluster was away for longer than `reconnect_timeout`.
            JobLostError: the cluster no longer knows the job.
            SlotTimeoutError: no slots within `slot_timeout`; the job is cancelled.
        """
        watch = JobWatch(self.settings.reconnect_timeout, self.settings.slot_timeout)
        while not await self._look(job_id, watch, on_progress):
            await asyncio.sleep(interval)

    def wait(self, job_id: str, on_progress: Progress | None = None, seconds: float | None = None) -> bool:
        """`follow` for callers that are not asynchronous.

        Args:
            job_id: Flink's id.
            on_progress: as for `LocalCluster.run`.
            seconds: wait no longer than this; None: until the job ends.

        Returns:
            Whether the job has ended.
        """
        try:
            run_coroutine(asyncio.wait_for(self.follow(job_id, on_progress), seconds))
        except asyncio.TimeoutError:
            return False
        return True

    def result(self, job_id: str, began: int | None = None) -> dict[str, Any]:
        """The report of a job that has ended.

        Args:
            job_id: Flink's id.
            began: see `StartedJob`. Only another JobManager makes a job begin again.

        Raises:
            RanAgainError: it began again, and its rows may be there twice; with the report.
            FlinkXError: when it did not finish: what ended it, with the report as far as there is one.
        """
        return run_coroutine(self._reachable(lambda rest: self._result(rest, job_id, began)))

    def cancel(self, job_id: str | None = None) -> None:
        """Cancel a job, by default the one that this object started or is about to start."""
        self._cancelled = True
        self._driver.cancel()
        wanted = job_id or self._job_id
        if wanted is not None:
            run_coroutine(self.cancel_job(wanted))

    def end(self, job_key: str) -> None:
        """Cancel the job of this key that still runs, if any, and wait until it has ended."""
        found = run_coroutine(self._reachable(lambda rest: rest.find(job_key)))
        if found is not None and not found.has_ended:
            self._log(f"Cancelling the Flink job {found.job_id}, which is {found.state}.")
            run_coroutine(self.cancel_job(found.job_id))
            self.wait(found.job_id)

    async def cancel_job(self, job_id: str) -> None:
        """Cancel a job; one that has ended stays as it is."""
        await self._reachable(lambda rest: rest.cancel(job_id))

    def overview(self) -> ClusterOverview:
        """Version and slots of the cluster.

        Raises:
            ClusterError: when it cannot be found, or does not answer.
        """
        return run_coroutine(self._ask(lambda rest: rest.overview()))

    @property
    def python(self) -> str:
        """The driver's interpreter."""
        return self._driver.python

    @property
    def address(self) -> str:
        """Where the cluster answered last; it is looked for if it was not asked yet."""
        return run_coroutine(self._client()).address

    def job_url(self, job_id: str) -> str:
        """Where a person sees the job in Flink's own pages."""
        run_coroutine(self._client())
        assert self._located is not None
        return f"{self._located.pages.rstrip('/')}/#/job/running/{job_id}/overview"

    async def _client(self) -> FlinkRest:
        """The cluster's REST client; in YARN mode its address is asked for first."""
        if self._located is None:
            self._located = await asyncio.to_thread(_locate, self.settings)
            # FlinkX's rule may find another session the next time; the job is in this one.
            self.settings = replace(self.settings, application_id=self._located.application_id)
        return self._located.rest

    async def _ask(self, question: Question[Result]) -> Result:
        """Ask the cluster once. A JobManager that is gone may come back elsewhere, so it is looked for anew."""
        try:
            return await question(await self._client())
        except exceptions.ClusterUnreachableError:
            self._located = None
            raise

    async def _reachable(self, question: Question[Result]) -> Result:
        """Ask the cluster, as often as it takes until it answers, at most for `reconnect_timeout`."""
        watch = JobWatch(self.settings.reconnect_timeout, self.settings.slot_timeout)
        while True:
            try:
                return await self._ask(question)
            except exceptions.ClusterUnreachableError as error:
                watch.missed(error)
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self, job_id: str, watch: JobWatch, on_progress: Progress | None) -> bool:
        """Look once at a job; whether it has ended."""
        try:
            job = await self._ask(lambda rest: rest.job(job_id))
            if job.has_ended:
                return True
            watch.seen(has_slots=job.has_slots)
            if on_progress is not None and job.has_slots:
                on_progress(watch.rated(await self._ask(lambda rest: rest.progress(job_id))))
        except (exceptions.ClusterUnreachableError, exceptions.JobLostError) as error:
            if not watch.is_out_of_sight:
                self._log(f"{error}; waiting for it.")
            watch.missed(error)
        except exceptions.SlotTimeoutError:
            await self.cancel_job(job_id)
            raise
        return False

    async def _result(self, rest: FlinkRest, job_id: str, began: int | None) -> dict[str, Any]:
        job = await rest.job(job_id)
        if job.state == "FINISHED":
            report = marks.find("report", await _text(rest.result_text, job_id, "</flinkx-report>"))
            if report is None:
                raise exceptions.JobFailedError(f"the Flink job {job_id} has finished, but left no report")
            return _each_row_once(self._complete(report, job, began))
        if job.state == "CANCELED":
            raise exceptions.JobCancelledError("the job was cancelled")
        error = failure.decode(await _text(rest.failure_text, job_id, "\n"))
        if error.report is not None:
            error.report = self._complete(error.report, job, began)
        raise error

    def _complete(self, report: Mapping[str, Any], job: FlinkJob, began: int | None) -> dict[str, Any]:
        ran_again = [RAN_AGAIN] if began not in (None, job.started) else []
        warnings = [*report["warnings"], *ran_again]
        return {**report, "warnings": warnings, "jobId": job.job_id, "cluster": self.settings.mode}

    def _await_slots(self, needed: int) -> ClusterOverview:
        """Wait until a standalone cluster has slots for the job, if it would refuse the job without them."""
        started = time.monotonic()
        while True:
            overview = run_coroutine(self._reachable(lambda rest: rest.overview()))
            waited = time.monotonic() - started
            if waited < POLL_SECONDS:
                self._log(f"Flink {overview.version}, {overview.free_slots} of {overview.slots} slots free.")
                if overview.free_slots >= needed or self.settings.mode != "standalone" or self._queues_jobs():
                    return overview
                self._log(f"The job needs {needed}: waiting for them, at most {self.settings.slot_timeout:g} s.")
            elif overview.free_slots >= needed:
                return overview
            elif waited > self.settings.slot_timeout:
                raise exceptions.SlotTimeoutError(
                    f"the cluster had {overview.free_slots} of {needed} slots free for the job after "
                    f"{self.settings.slot_timeout:g} s: add TaskManagers or slots, or lower speed.channel"
                )
            time.sleep(POLL_SECONDS)

    def _queues_jobs(self) -> bool:
        """Whether a standalone cluster lets jobs wait for slots, which it does for this time after its start only."""
        settings = run_coroutine(self._reachable(lambda rest: rest.configuration()))
        return "resourcemanager.standalone.start-up-time" in settings

    def _submit(self, document: Mapping[str, Any], job_key: str, warnings: Sequence[str], take_finished: bool) -> str:
        overview = self._await_slots(channels_of(document))
        brings_jar = "flink-python" not in run_coroutine(self._reachable(lambda rest: rest.class_path()))
        with tempfile.TemporaryDirectory(prefix="flinkx-", ignore_cleanup_errors=True) as folder:
            request = {
                "document": document,
                "job_key": job_key,
                "folder": folder,
                "settings": dict(self.settings.flink),
                "warnings": list(warnings),
                "take_finished": take_finished,
                "session": {
                    "flink_version": overview.version,
                    "python": self.settings.worker_python,
                    "archive": str(self.settings.worker_archive) if self.settings.worker_archive else None,
                    "brings_jar": brings_jar,
                },
            }
            with contextlib.closing(self._driver.events(request, folder)) as events:
                compiled = _compiled(next(event for event in events if event is not None))
                self._job_id = compiled.job_id
                if self._cancelled:
                    raise exceptions.JobCancelledError("the job was cancelled")
                # While the driver lives: if we die now, it removes the files, which hold passwords.
                self._upload(compiled)
        if self._cancelled:  # while it was on its way, when there was no job yet to be cancelled
            run_coroutine(self.cancel_job(compiled.job_id))
        self._log(f"Flink job {compiled.job_id}: {self.job_url(compiled.job_id)}")
        return compiled.job_id

    def _upload(self, compiled: CompiledJob) -> None:
        run_coroutine(self._reachable(lambda rest: _submit_once(rest, compiled)))


async def _submit_once(rest: FlinkRest, compiled: CompiledJob) -> None:
    """Submit a job, unless it is there: the answer to the last attempt may have been lost, not the job."""
    try:
        await rest.submit(compiled)
    except exceptions.ClusterError as error:
        try:
            await rest.job(compiled.job_id)
        except exceptions.JobLostError:
            raise error from None


def channels_of(document: Mapping[str, Any]) -> int:
    """`setting.speed.channel` of a valid job: as many slots it takes."""
    speed = (document["job"].get("setting") or {}).get("speed") or {}
    return int(speed.get("channel") or 1)


def _locate(settings: ClusterSettings) -> Located:
    """Find the cluster.

    Raises:
        JobFileError: when the settings do not say where it is.
        ClusterError: when YARN has no such session.
    """
    if settings.mode == "yarn":
        return _locate_on_yarn(settings)
    addresses = settings.rest_addresses
    if not addresses and settings.flink_conf is not None:
        addresses = rest_addresses(read_flink_configuration(settings.flink_conf))
    if not addresses:
        raise exceptions.JobFileError(
            "standalone mode needs the cluster's REST address: give it, or the folder of its config.yaml (flinkconf)"
        )
    return Located(FlinkRest(addresses, settings.tls), addresses[0])


def _locate_on_yarn(settings: ClusterSettings) -> Located:
    if settings.yarn_conf is None:
        raise exceptions.JobFileError("yarn mode needs the folder of yarn-site.xml (yarnconf)")
    session = find_session(
        settings.yarn_conf,
        application_id=settings.application_id,
        name=settings.application_name,
        queue=settings.queue,
        kerberos=settings.kerberos,
        tls=settings.tls,
    )
    has_tls = settings.flink.get("security.ssl.rest.enabled") == "true"
    address = session.rest_address.replace("http:", "https:") if has_tls else session.rest_address
    # YARN's proxy does not get at pages behind TLS, unless the ResourceManager's Java trusts their authority.
    pages = address if has_tls else session.tracking_url
    return Located(FlinkRest([address], settings.tls), pages, session.application_id)


def _each_row_once(report: dict[str, Any]) -> dict[str, Any]:
    """The report of a job whose rows are not there twice.

    Raises:
        RanAgainError: they may be.
    """
    # A report that an earlier version has left in a ledger does not say it.
    if RAN_AGAIN not in report["warnings"] or report.get("eachRowOnce", True):
        return report
    error = exceptions.RanAgainError(_TWICE)
    error.report = {**report, "state": "FAILED"}
    raise error


async def _text(ask: Callable[[str], Awaitable[str]], job_id: str, mark: str) -> str:
    """What REST says of an ended job; its answer may be one from before the end, which it keeps for some seconds."""
    for _ in range(_STALE_SECONDS):
        text = await ask(job_id)
        if mark in text:
            break
        await asyncio.sleep(1)
    return text


def _compiled(event: Mapping[str, Any]) -> CompiledJob:
    return CompiledJob(
        event["jobId"],
        Path(event["graph"]),
        [Path(jar) for jar in event["jars"]],
        {name: Path(file) for name, file in event["artifacts"].items()},
    )
