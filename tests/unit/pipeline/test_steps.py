"""Plan, sync and report put together without Flink, over lists in memory."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flinkx.exceptions import ErrorLimitExceededError, FlinkXError, JobFailedError
from airflow_provider_flinkx.jobs.model import ErrorLimit
from airflow_provider_flinkx.pipeline.report import Counters, SplitReport
from airflow_provider_flinkx.pipeline.steps import Report
from tests.running import run_job
from tests.unit.pipeline.memory_plugin import MemoryRun, Store, memory_run


def new_run(store: Store, **options: Any) -> MemoryRun:
    return memory_run(store, attempt=uuid.uuid4().hex, **options)


def test_rows_move_and_are_counted() -> None:
    store = Store(splits=[[1, 2, 3], [4, 5], []], bad={2}, unreadable={4})
    result, live = run_job(new_run(store))
    assert store.target == [1, 3, 5]
    assert (result["numRead"], result["numWrite"], result["nErrors"]) == (5, 3, 2)
    assert (result["duplicateErrors"], result["conversionErrors"]) == (1, 1)
    assert (result["splits"], result["splitsDone"], result["state"]) == (3, 3, "FINISHED")
    assert (live.numRead, live.numWrite, live.nErrors) == (5, 3, 2)
    assert store.calls[-1] == "finish"


def test_an_empty_source_finishes() -> None:
    store = Store()
    result, _ = run_job(new_run(store))
    assert result["numRead"] == 0
    assert "finish" in store.calls


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 12), max_size=6),
    bad=st.sets(st.integers(0, 71)),
    unreadable=st.sets(st.integers(0, 71)),
    limit=st.one_of(st.none(), st.integers(0, 10)),
)
def test_figures_equal_the_target(sizes: list[int], bad: set[int], unreadable: set[int], limit: int | None) -> None:
    ids = iter(range(72))
    store = Store(splits=[[next(ids) for _ in range(size)] for size in sizes], bad=bad, unreadable=unreadable)
    every = {value for split in store.splits for value in split}
    refused = every & (bad | unreadable)
    run = new_run(store, limit=ErrorLimit(limit, None))
    if limit is not None and len(refused) > limit:
        with pytest.raises(ErrorLimitExceededError) as caught:
            run_job(run)
        assert caught.value.report is not None
        assert caught.value.report["numWrite"] == len(store.target)
        assert caught.value.report["nErrors"] > limit
        assert "finish" not in store.calls
        assert store.calls[-1] == "abort"
    else:
        result, _ = run_job(run)
        assert sorted(store.target) == sorted(every - refused)
        assert result["numWrite"] == len(store.target)
        assert result["nErrors"] == len(refused)


def test_ratio_is_judged_over_the_whole_job() -> None:
    store = Store(splits=[[0, 1], list(range(10, 108))], bad={0, 1})
    result, _ = run_job(new_run(store, limit=ErrorLimit(None, 2.0)))
    assert result["nErrors"] == 2
    with pytest.raises(ErrorLimitExceededError, match=r"2 of 100 rows .* errorLimit.percentage allows 1.9"):
        run_job(new_run(Store(splits=store.splits, bad={0, 1}), limit=ErrorLimit(None, 1.9)))


SPLITS = [list(range(start, start + 50_000)) for start in range(0, 300_000, 50_000)]


def test_a_hopeless_ratio_ends_the_job_early() -> None:
    store = Store(splits=SPLITS, bad=set(range(0, 300_000, 2)))
    with pytest.raises(ErrorLimitExceededError, match=r"50000 of 100000 rows .*percentage allows 1") as caught:
        run_job(new_run(store, limit=ErrorLimit(None, 1.0)))
    report = caught.value.report
    assert report is not None
    assert (report["numRead"], report["numWrite"], len(store.target)) == (100_000, 25_000, 25_000)
    assert report["error_limit"]["exceeded"]


def test_a_bad_beginning_is_made_good() -> None:
    store = Store(splits=SPLITS, bad=set(range(1_150)))
    result, _ = run_job(new_run(store, limit=ErrorLimit(None, 1.0)))
    assert (result["nErrors"], result["state"]) == (1_150, "FINISHED")


def test_a_ratio_is_judged_over_whole_batches() -> None:
    """Rows that the reader refuses are counted first, which says nothing about the ratio."""
    splits = [list(range(90_000)), list(range(90_000, 300_000))]
    store = Store(splits=splits, unreadable=set(range(0, 300_000, 100)))
    result, _ = run_job(new_run(store, limit=ErrorLimit(None, 1.0)))
    assert (result["nErrors"], result["state"]) == (3_000, "FINISHED")


def test_what_ended_the_job_stands_when_good_rows_follow() -> None:
    """Another channel may have read good rows since; its split was rolled back all the same."""
    report = Report(new_run(Store(), limit=ErrorLimit(None, 1.0)))
    plan = {"kind": "plan", "splits": 2, "ledger": False, "context": {}, "before": [], "tables": []}
    report.add({**plan, "warnings": []})
    stopped = {"kind": "stopped", "early_end": "too many"}
    report.add(stopped | {"report": SplitReport(0, Counters(numRead=100_000, nErrors=1_500)).to_json()})
    with pytest.raises(ErrorLimitExceededError, match="too many") as caught:
        report.add(stopped | {"report": SplitReport(1, Counters(numRead=100_000)).to_json()})
    assert caught.value.report is not None
    assert caught.value.report["error_limit"]["exceeded"]
    assert caught.value.report["error_limit"]["ratio"] == 0.0075


def test_channels_in_several_processes_are_judged_at_the_end_of_each_split() -> None:
    store = Store(splits=SPLITS, bad=set(range(0, 300_000, 2)))
    run = new_run(store, limit=ErrorLimit(None, 1.0))
    run = replace(run, one_process=False, context=replace(run.context, channels=3))
    with pytest.raises(ErrorLimitExceededError, match=r"50000 of 100000 rows") as caught:
        run_job(run)
    assert caught.value.report is not None
    assert caught.value.report["splitsDone"] == 2


@pytest.mark.parametrize("trouble", ["fail_reading_split", "fail_writing_split"])
def test_a_failing_split_fails_the_job_and_leaves_the_others(trouble: str) -> None:
    store = Store(splits=[[1, 2], [3, 4], [5, 6]], **{trouble: 1})
    with pytest.raises(JobFailedError, match="broke") as caught:
        run_job(new_run(store))
    assert store.target == [1, 2]
    assert caught.value.report is not None
    assert caught.value.report["numWrite"] == 2
    assert caught.value.report["splitsDone"] == 1
    assert store.calls[-2:] == ["rollback", "abort"] or store.calls[-1] == "abort"


@pytest.mark.parametrize("place", ["schema", "prepare", "finish", "commit"])
def test_trouble_anywhere_is_a_failure(place: str) -> None:
    store = Store(splits=[[1]], fail_at=place)
    with pytest.raises(FlinkXError, match=f"{place} broke"):
        run_job(new_run(store))
    assert "abort" in store.calls or place == "schema"


@pytest.mark.parametrize(("published_by_finish", "written"), [(True, 0), (False, 2)])
def test_a_job_that_fails_before_publication_has_written_nothing(published_by_finish: bool, written: int) -> None:
    store = Store(splits=[[1, 2]], fail_at="finish", published_by_finish=published_by_finish)
    with pytest.raises(JobFailedError) as caught:
        run_job(new_run(store))
    assert caught.value.report is not None
    assert caught.value.report["numWrite"] == written


def test_rejected_rows_are_in_the_files(tmp_path: Path) -> None:
    store = Store(splits=[[1, 2, 3], [4, 5]], bad={2, 5}, unreadable={4})
    run = new_run(store, dirty=str(tmp_path))
    result, _ = run_job(run)
    files = [Path(name) for name in result["dirty_data"]["files"]]
    assert all(file.parent == tmp_path / run.context.attempt for file in files)
    lines = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]
    assert sorted((line["row"]["id"], line["category"]) for line in lines) == [
        (2, "duplicate"),
        (4, "conversion"),
        (5, "duplicate"),
    ]
    assert result["dirty_data"]["count"] == 3
