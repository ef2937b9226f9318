"""Flink's REST interface: the one client of it. Paths are those of Flink's "REST API" page, version v1.

Asynchronous, because a triggerer watches many jobs at once; `run_coroutine` is for everyone else.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from airflow_provider_flinkx.clusters.settings import Tls
from airflow_provider_flinkx.exceptions import ClusterError, ClusterUnreachableError, JobLostError

Result = TypeVar("Result")

ENDED = ("FINISHED", "FAILED", "CANCELED")
_SYNC_COUNTERS = ("numRead", "numWrite", "nErrors", "byteRead", "byteWrite", "splitsDone")
_TIMEOUT = 5.0
UPLOAD_SECONDS = 120.0
_SIGNAL_SECONDS = 1.0


@dataclass(frozen=True)
class ClusterOverview:
    """What a cluster says of itself."""

    version: str
    task_managers: int
    slots: int
    free_slots: int


@dataclass(frozen=True)
class FlinkJob:
    """A job that the cluster knows.

    Args:
        job_id: Flink's id.
        name: ours is the job key.
        state: Flink's word.
        started: milliseconds since 1970, by the cluster's clock.
        has_slots: whether each of its tasks has got a slot.
    """

    job_id: str
    name: str
    state: str
    started: int
    has_slots: bool

    @property
    def has_ended(self) -> bool:
        """Whether its state is final."""
        return self.state in ENDED

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended and is not about to end badly."""
        return self.state not in (*ENDED, "FAILING", "CANCELLING")


@dataclass(frozen=True)
class CompiledJob:
    """A job graph on disk, with what travels with it.

    Args:
        job_id: Flink's id, in the graph already.
        graph: file with the serialized graph.
        jars: files for the class path.
        artifacts: name that the graph knows -> file.
    """

    job_id: str
    graph: Path
    jars: Sequence[Path]
    artifacts: Mapping[str, Path]


class FlinkRest:
    """Client for the JobManagers of one cluster.

    Args:
        addresses: `http(s)://host:port` of each; any of them answers for the leader, so the first that answers does.
        tls: for https addresses.
    """

    def __init__(self, addresses: Sequence[str], tls: Tls | None = None) -> None:
        self.addresses = tuple(addresses)
        self._answering = 0
        self._vertices_of: dict[str, Sequence[str]] = {}
        # For http too, httpx would read the system's authorities at each request: 30 ms.
        self._verify: Any = False
        if any(address.startswith("https:") for address in self.addresses):
            self._verify = _context(tls or Tls())

    @property
    def address(self) -> str:
        """The address that answered last."""
        return self.addresses[self._answering]

    async def get(self, path: str, **parameters: str) -> Any:
        """JSON of a GET request.

        Raises:
            ClusterUnreachableError: no address answers.
            JobLostError: the cluster does not know the job in `path`.
            ClusterError: it answers with another error.
        """
        return (await self._request("GET", path, params=parameters)).json()

    async def overview(self) -> ClusterOverview:
        """Version and slots."""
        value = await self.get("/overview")
        return ClusterOverview(
            value["flink-version"], value["taskmanagers"], value["slots-total"], value["slots-available"]
        )

    async def find(self, name: str) -> FlinkJob | None:
        """The newest job of this name, ended ones too."""
        jobs = [job for job in await self._jobs() if job.name == name]
        return max(jobs, key=lambda job: job.started, default=None)

    async def job(self, job_id: str) -> FlinkJob:
        """What the cluster says of a job now.

        Raises:
            JobLostError: the cluster does not know it.
        """
        for job in await self._jobs():
            if job.job_id == job_id:
                return job
        raise _lost(self.address, job_id)

    async def _jobs(self) -> list[FlinkJob]:
        # What it says of a single job is up to web.refresh-interval (3 s) old, this is not.
        return [
            FlinkJob(
                job["jid"],
                job["name"],
                job["state"],
                job["start-time"],
                has_slots=bool(job["tasks"]["total"]) and not (job["tasks"]["created"] or job["tasks"]["scheduled"]),
            )
            for job in (await self.get("/jobs/overview"))["jobs"]
        ]

    async def class_path(self) -> str:
        """The JobManager's class path, as one text."""
        return str((await self.get("/jobmanager/environment")).get("classpath", ""))

    async def configuration(self) -> dict[str, str]:
        """The settings that the JobManager was started with."""
        return {setting["key"]: setting["value"] for setting in await self.get("/jobmanager/config")}

    async def parameters(self, job_id: str) -> dict[str, str]:
        """What the job's graph says of itself."""
        return dict((await self.get(f"/jobs/{job_id}/config"))["execution-config"]["user-config"])

    async def submit(self, compiled: CompiledJob) -> None:
        """Upload a job and start it."""
        body = {
            "jobGraphFileName": compiled.graph.name,
            "jobJarFileNames": [jar.name for jar in compiled.jars],
            "jobArtifactFileNames": [
                {"entryName": name, "fileName": file.name} for name, file in compiled.artifacts.items()
            ],
        }
        paths = [compiled.graph, *compiled.jars, *compiled.artifacts.values()]
        with contextlib.ExitStack() as stack:
            files: list[Any] = [("request", (None, json.dumps(body), "application/json"))]
            for number, path in enumerate(paths):
                content = stack.enter_context(path.open("rb"))
                files.append((f"file_{number}", (path.name, content, "application/octet-stream")))
            await self._request("POST", "/jobs", files=files, timeout=UPLOAD_SECONDS)

    async def progress(self, job_id: str) -> dict[str, int]:
        """Counters of a running job, summed over its channels: rows, bytes, splits."""
        progress = dict.fromkeys(("splits", *_SYNC_COUNTERS), 0)
        for vertex in await self._vertices(job_id):
            base = f"/jobs/{job_id}/vertices/{vertex}/subtasks/metrics"
            names = [metric["id"] for metric in await self.get(base)]
            wanted = {name: name.rpartition(".")[2] for name in names}
            wanted = {name: short for name, short in wanted.items() if short in progress}
            if wanted:
                for metric in await self.get(base, get=",".join(wanted), agg="sum"):
                    progress[wanted[metric["id"]]] += int(metric["sum"])
        return progress

    async def _vertices(self, job_id: str) -> Sequence[str]:
        if job_id not in self._vertices_of:
            self._vertices_of[job_id] = [vertex["id"] for vertex in (await self.get(f"/jobs/{job_id}"))["vertices"]]
        return self._vertices_of[job_id]

    async def result_text(self, job_id: str) -> str:
        """What a finished job left in its accumulators, decoded as far as its ASCII texts can be read."""
        value = await self.get(f"/jobs/{job_id}/accumulators", includeSerializedValue="true")
        serialized = value["serialized-user-task-accumulators"].values()
        return "\n".join(base64.b64decode(one).decode("latin-1") for one in serialized)

    async def failure_text(self, job_id: str) -> str:
        """The stack trace of what failed a job."""
        history = (await self.get(f"/jobs/{job_id}/exceptions"))["exceptionHistory"]["entries"]
        return "\n".join(str(entry["stacktrace"]) for entry in history)

    async def cancel(self, job_id: str) -> None:
        """Ask for the job's end; a job that has ended already, or is unknown, is left as it is."""
        with contextlib.suppress(JobLostError):
            await self._request("PATCH", f"/jobs/{job_id}", params={"mode": "cancel"}, accepted=(404, 409))

    async def _request(
        self, method: str, path: str, *, accepted: Sequence[int] = (), timeout: float = _TIMEOUT, **arguments: Any
    ) -> httpx.Response:
        problem: Exception | None = None
        for turn in range(len(self.addresses)):
            number = (self._answering + turn) % len(self.addresses)
            try:
                response = await self._send(self.addresses[number], method, path, timeout, arguments)
            except httpx.HTTPError as error:
                problem = error
                continue
            if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                problem = ClusterError("it has no leader now")
                continue
            if response.is_server_error and method != "POST":
                # While one takes over from a dead JobManager, questions go to the dead one and fail.
                problem = ClusterError(f"it answers {response.status_code}, {list(_error_lines(response))[-1]}")
                continue
            self._answering = number
            _check(response, self.addresses[number], path, accepted)
            return response
        places = " or ".join(self.addresses)
        raise ClusterUnreachableError(f"no Flink answers at {places}: {_reason(problem)}")

    async def _send(
        self, address: str, method: str, path: str, timeout: float, arguments: Mapping[str, Any]
    ) -> httpx.Response:
        # The JobManager is inside the cluster: a proxy for the outside world is never the way to it.
        async with httpx.AsyncClient(trust_env=False, verify=self._verify, timeout=timeout) as client:
            return await client.request(method, f"{address}/v1{path}", **arguments)


def run_coroutine(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end, from code that is not asynchronous; also from a signal handler.

    It runs in a thread of its own: what a signal handler raises, as Airflow's time-outs do, ends the waiting here,
    and then the coroutine; in the midst of an event loop it could be swallowed.
    """
    outcome: futures.Future[Result] = futures.Future()
    loop = asyncio.new_event_loop()
    task = loop.create_task(coroutine)

    def run() -> None:
        with contextlib.closing(loop):
            try:
                outcome.set_result(loop.run_until_complete(task))
            except BaseException as error:
                outcome.set_exception(error)

    try:
        threading.Thread(target=run, daemon=True).start()
        # A signal that comes in the moment before a wait begins does not interrupt it: no wait may be endless.
        while not outcome.done():
            futures.wait([outcome], timeout=_SIGNAL_SECONDS)
        return outcome.result()
    except BaseException:
        with contextlib.suppress(RuntimeError):  # the loop is closed: it was the coroutine that raised
            loop.call_soon_threadsafe(task.cancel)
        raise


def _context(tls: Tls) -> Any:
    try:
        return tls.context()
    except OSError as error:
        raise ClusterError(f"the TLS files of the cluster cannot be used: {error}") from None


def _check(response: httpx.Response, address: str, path: str, accepted: Sequence[int]) -> None:
    if response.is_redirect:
        raise ClusterError(
            f"Flink at {address} wants TLS: write its address as https://…; for a session on YARN add "
            "security.ssl.rest.enabled=true to the Flink settings"
        )
    if response.status_code < httpx.codes.BAD_REQUEST or response.status_code in accepted:
        return
    lines = list(_error_lines(response))
    if response.status_code == httpx.codes.NOT_FOUND and path.startswith("/jobs/"):
        raise _lost(address, path.split("/")[2])
    raise ClusterError(f"Flink at {address} answered {path} with {response.status_code}: {lines[-1]}")


def _lost(address: str, job_id: str) -> JobLostError:
    return JobLostError(
        f"Flink at {address} does not know the job {job_id} (any more): a JobManager without high availability forgets "
        "its jobs when it ends. How far the job came is unknown; try again with the same job key"
    )


def _error_lines(response: httpx.Response) -> Iterator[str]:
    """What Flink says of an error, the cause last, without the places in its source."""
    yield response.reason_phrase or "no reason given"
    with contextlib.suppress(ValueError, KeyError, TypeError):
        for line in "\n".join(response.json()["errors"]).splitlines():
            if line.strip() and not line.startswith("\t"):
                yield line.removeprefix("Caused by: ").strip(" >")


def _reason(problem: Exception | None) -> str:
    return str(problem) or type(problem).__name__
