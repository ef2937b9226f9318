"""What a session makes of a job that Flink has run again, and of a cancellation while it uploads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_flinkx.clusters.rest import ClusterOverview, CompiledJob, FlinkJob
from airflow_provider_flinkx.clusters.session import RAN_AGAIN, Located, SessionCluster
from airflow_provider_flinkx.clusters.settings import ClusterSettings
from airflow_provider_flinkx.exceptions import RanAgainError
from airflow_provider_flinkx.pipeline import marks

COMPILED = 1_000_000
#: By then the first caller would have given up: 120 s without an answer, 120 s of upload, 60 s between two clocks.
LATEST = COMPILED + 300_000


class Rest:
    """A cluster with one job, which has finished."""

    def __init__(self, started: int, **report: Any) -> None:
        self._started = started
        self._report = {"state": "FINISHED", "warnings": [], **report}

    async def find(self, name: str) -> FlinkJob:
        return FlinkJob("j", name, "FINISHED", self._started, has_slots=True)

    async def job(self, _job_id: str) -> FlinkJob:
        return await self.find("key")

    async def parameters(self, _job_id: str) -> dict[str, str]:
        return {marks.COMPILED: str(COMPILED)}

    async def result_text(self, _job_id: str) -> str:
        return marks.enclose("report", self._report)


def session(started: int, **report: Any) -> SessionCluster:
    made = SessionCluster(ClusterSettings(mode="standalone"))
    made._located = Located(Rest(started, **report), "http://there")  # type: ignore[arg-type]
    return made


def attached(cluster: SessionCluster) -> dict[str, Any]:
    started = cluster.start({}, job_key="key", take_finished=True)
    assert started.attached
    return cluster.result(started.job_id, started.began)


@pytest.mark.parametrize("safe", [True, None])
def test_a_job_that_ran_again_without_harm(safe: bool | None) -> None:
    told = {} if safe is None else {"eachRowOnce": safe}
    report = session(COMPILED + 9, **told).result("j", COMPILED)
    assert (report["state"], report["warnings"]) == ("FINISHED", [RAN_AGAIN])


def test_a_job_that_ran_again_and_may_have_doubled_rows_has_failed() -> None:
    with pytest.raises(RanAgainError, match="rows that were written before are there twice") as caught:
        session(COMPILED + 9, eachRowOnce=False).result("j", COMPILED)
    assert caught.value.report is not None
    assert caught.value.report["state"] == "FAILED"


def test_a_later_try_sees_that_a_job_began_too_late_for_its_first_run() -> None:
    with pytest.raises(RanAgainError):
        attached(session(LATEST + 1, eachRowOnce=False))
    assert attached(session(LATEST, eachRowOnce=False))["warnings"] == []


class Uploading(Rest):
    """A cluster that is told to cancel a job before the upload of the job is complete."""

    def __init__(self) -> None:
        super().__init__(COMPILED)
        self.caller: SessionCluster | None = None
        self.jobs: dict[str, str] = {}

    async def find(self, _name: str) -> None:  # type: ignore[override]
        return None

    async def job(self, job_id: str) -> FlinkJob:
        return FlinkJob(job_id, "key", self.jobs[job_id], COMPILED, has_slots=True)

    async def overview(self) -> ClusterOverview:
        return ClusterOverview("2.3.0", task_managers=1, slots=1, free_slots=1)

    async def class_path(self) -> str:
        return "flink-python.jar"

    async def submit(self, compiled: CompiledJob) -> None:
        assert self.caller is not None
        self.caller.cancel()
        self.jobs[compiled.job_id] = "RUNNING"

    async def cancel(self, job_id: str) -> None:
        if job_id in self.jobs:
            self.jobs[job_id] = "CANCELED"


def test_a_job_that_is_cancelled_while_it_is_uploaded(monkeypatch: pytest.MonkeyPatch) -> None:
    rest = Uploading()
    rest.caller = caller = SessionCluster(ClusterSettings(mode="standalone"))
    caller._located = Located(rest, "http://there")  # type: ignore[arg-type]

    def events(*_arguments: Any) -> Iterator[dict[str, Any]]:
        yield {"jobId": "j", "graph": "", "jars": [], "artifacts": {}}

    monkeypatch.setattr(caller._driver, "events", events)
    caller.start({"job": {}}, job_key="key")
    assert rest.jobs == {"j": "CANCELED"}
