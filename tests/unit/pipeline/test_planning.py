"""A run that is tried again goes on where the last try stopped; over lists in memory."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_flinkx.exceptions import DataError, FlinkXError, JobInvalidError
from airflow_provider_flinkx.pipeline.steps import Sync
from airflow_provider_flinkx.plugins.base import Split
from tests.running import run_job
from tests.unit.pipeline.memory_plugin import LedgerWriter, MemoryReader, MemoryRun, Store, memory_run

SPLITS = [[1, 2], [3, 4], [5, 6]]


def next_try(store: Store, *, take_finished: bool = False, parameter: Mapping[str, Any] | None = None) -> MemoryRun:
    run = memory_run(store, attempt=uuid.uuid4().hex)
    job = run.job
    if parameter is not None:
        endpoint = replace(job.content.writer, parameter=parameter)
        document = {"job": {"content": [{"writer": {"parameter": parameter}}]}}
        job = replace(job, content=replace(job.content, writer=endpoint), document=document)
    return replace(run, job=job, context=replace(run.context, take_finished=take_finished))


def broken(**trouble: Any) -> Store:
    """A target after a try that failed."""
    store = Store(splits=SPLITS, bad={2}, keeps_ledger=True, **trouble)
    with pytest.raises(FlinkXError):
        run_job(next_try(store))
    for name in trouble:
        setattr(store, name, None)
    store.calls.clear()
    return store


@pytest.mark.parametrize("trouble", [{"fail_writing_split": 1}, {"fail_reading_split": 2}])
def test_the_next_try_goes_on(trouble: dict[str, int]) -> None:
    store = broken(**trouble)
    report, _ = run_job(next_try(store))
    assert sorted(store.target) == [1, 3, 4, 5, 6]
    assert (report["numRead"], report["numWrite"], report["nErrors"]) == (6, 5, 1)
    assert (report["splits"], report["splitsDone"]) == (3, 3)
    assert "resume" in store.calls
    assert "prepare" not in store.calls
    assert any("earlier try had written" in line for line in report["warnings"])


@pytest.mark.parametrize("keeps_ledger", [True, False])
def test_the_report_says_whether_another_run_would_double_rows(keeps_ledger: bool) -> None:
    report, _ = run_job(next_try(Store(splits=SPLITS, keeps_ledger=keeps_ledger)))
    assert report["eachRowOnce"] is keeps_ledger


def test_a_finish_that_fails_is_repeated_without_rows() -> None:
    store = broken(fail_at="finish")
    report, _ = run_job(next_try(store))
    assert sorted(store.target) == [1, 3, 4, 5, 6]
    assert report["numWrite"] == 5


def test_a_lost_answer_is_no_lost_split() -> None:
    store = Store(splits=SPLITS, keeps_ledger=True, lose_answer_of_commit=1)
    report, _ = run_job(next_try(store))
    assert sorted(store.target) == [1, 2, 3, 4, 5, 6]
    assert report["numWrite"] == 6


def test_a_split_that_another_try_has_committed_is_left_to_it() -> None:
    store = Store(splits=SPLITS, keeps_ledger=True)
    run = next_try(store)
    run_job(run)
    split = run.reader().splits()[1]
    answer = Sync(next_try(store), lambda _added: None).split(split, ledger=True)
    assert answer == {"kind": "done", "report": store.done[1]}
    assert sorted(store.target) == [1, 2, 3, 4, 5, 6]


def test_a_finished_run_is_run_again_or_its_report_taken() -> None:
    store = Store(splits=SPLITS, keeps_ledger=True)
    first, _ = run_job(next_try(store))
    taken, _ = run_job(next_try(store, take_finished=True))
    assert taken == first
    assert sorted(store.target) == [1, 2, 3, 4, 5, 6]
    again, _ = run_job(next_try(store))
    assert again["numWrite"] == 6
    assert len(store.target) == 12


def test_a_submission_that_flink_runs_again_after_it_has_finished_writes_nothing() -> None:
    store = Store(splits=SPLITS, keeps_ledger=True)
    submitted = next_try(store)
    first, _ = run_job(submitted)
    again, _ = run_job(submitted)
    assert again == first
    assert sorted(store.target) == [1, 2, 3, 4, 5, 6]


def test_another_job_does_not_go_on_where_the_first_one_stopped() -> None:
    store = broken(fail_writing_split=1)
    with pytest.raises(JobInvalidError, match="has written 1 of 3 splits"):
        run_job(next_try(store, parameter={"column": ["other"]}))
    report, _ = run_job(next_try(store, parameter={"column": ["other"], "preSql": ["delete"]}))
    assert "prepare delete" in store.calls
    assert report["numRead"] == 6
    assert any("begins anew" in line for line in report["warnings"])


def verifying(run: MemoryRun) -> MemoryRun:
    return replace(run, job=replace(run.job, setting=replace(run.job.setting, verify="count")))


def test_rows_are_counted_over_all_tries() -> None:
    store = Store(splits=SPLITS, bad={2}, unreadable={5}, keeps_ledger=True, target=[98, 99], fail_writing_split=1)
    with pytest.raises(FlinkXError):
        run_job(verifying(next_try(store)))
    store.fail_writing_split = None
    report, _ = run_job(verifying(next_try(store)))
    assert report["verify"] == {"source": 4, "target": 4, "equal": True}
    assert store.report is not None
    assert store.report["verify"] == report["verify"]


@pytest.mark.parametrize("stranger", ["lost", "doubled"])
def test_a_difference_fails_the_job_before_it_is_finished(stranger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(splits=SPLITS, keeps_ledger=True, target=[99])
    original = LedgerWriter.row_count

    def row_count(writer: LedgerWriter) -> int:
        if len(store.target) > 1:
            store.target.append(1) if stranger == "doubled" else store.target.pop()
        return original(writer)

    monkeypatch.setattr(LedgerWriter, "row_count", row_count)
    with pytest.raises(DataError, match=r"6 rows were read .* had 1 rows and has [68]") as caught:
        run_job(verifying(next_try(store)))
    assert caught.value.report is not None
    target = 7 if stranger == "doubled" else 5
    assert caught.value.report["verify"] == {"source": 6, "target": target, "equal": False}
    assert caught.value.report["state"] == "FAILED"
    assert "finish" not in store.calls


def test_what_cannot_be_counted_is_refused_before_anything_is_done() -> None:
    store = Store(splits=SPLITS, published_by_finish=True)
    with pytest.raises(JobInvalidError, match=r"job\.setting\.verify"):
        run_job(verifying(next_try(store)))
    assert "prepare" not in store.calls


def test_a_job_that_empties_its_target_begins_anew() -> None:
    store = broken(fail_writing_split=1)
    store.empties_target = True
    report, _ = run_job(next_try(store, parameter={"column": ["other"]}))
    assert report["numRead"] == 6
    assert any("begins anew, with its saveMode" in line for line in report["warnings"])


@pytest.mark.parametrize(
    ("lasts", "empties", "said"), [(True, False, "had written"), (True, True, "begins anew"), (False, False, None)]
)
def test_a_snapshot_that_lasts_is_gone_on_with_where_the_job_cannot_begin_anew(
    monkeypatch: pytest.MonkeyPatch, lasts: bool, empties: bool, said: str | None
) -> None:
    splits = [Split(number, {"n": number, "location": {"snapshot": "4711@a"}}) for number in range(3)]
    monkeypatch.setattr(MemoryReader, "splits", lambda _reader: splits)
    monkeypatch.setattr(MemoryReader, "snapshots_last", lasts)
    store = broken(fail_writing_split=1)
    store.empties_target = empties
    if said is None:
        with pytest.raises(JobInvalidError, match="from a snapshot that is gone"):
            run_job(next_try(store))
        return
    report, _ = run_job(next_try(store))
    assert any(said in line for line in report["warnings"])
    assert ("prepare" in store.calls) == empties


def test_restore_of_flinkx_is_no_reason_to_refuse_a_target_without_a_ledger() -> None:
    store = Store(splits=SPLITS)
    run = next_try(store)
    run = replace(run, job=replace(run.job, setting=replace(run.job.setting, restore=True)))
    report, _ = run_job(run)
    assert sorted(store.target) == [1, 2, 3, 4, 5, 6]
    assert report["warnings"] == ["job.setting.restore: memory keeps no ledger, a retry begins anew"]
