"""Jobs that read many tables, over lists in memory: one run, one plan, one report for each table."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_flinkx.exceptions import DataError, ErrorLimitExceededError, FlinkXError, JobInvalidError
from airflow_provider_flinkx.jobs.model import ErrorLimit
from airflow_provider_flinkx.pipeline.planning import plan
from airflow_provider_flinkx.pipeline.report import Counters
from airflow_provider_flinkx.pipeline.steps import Report, Sync
from airflow_provider_flinkx.plugins.base import Split
from tests.running import run_job
from tests.unit.pipeline.memory_plugin import MemoryRun, Store, memory_run

SOURCES = {"a": [[1, 2], [3]], "b": [[11, 12, 13]], "c": [[21], [22], [23, 24]]}


def new_try(
    store: Store, tables: list[str], target: str = "ods_{table}", *, verify: bool = False, take_finished: bool = False,
    writer: dict[str, Any] | None = None, **options: Any,
) -> MemoryRun:  # fmt: skip
    run = memory_run(store, attempt=uuid.uuid4().hex, **options)
    content = run.job.content
    reader = replace(content.reader, parameter={"connection": [{"table": tables}]})
    target_parameter = {"connection": [{"table": [target]}], **(writer or {})}
    content = replace(content, reader=reader, writer=replace(content.writer, parameter=target_parameter))
    setting = replace(run.job.setting, verify="count" if verify else None)
    context = replace(run.context, take_finished=take_finished)
    document = {"job": {"content": [{"reader": tables, "writer": target_parameter}]}}
    return replace(run, job=replace(run.job, content=content, setting=setting, document=document), context=context)


def figures(report: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (each["source"], each["target"], each["state"], each["numRead"], each["numWrite"], each["nErrors"],
         each["splits"], each["splitsDone"])
        for each in report["tables"]
    ]  # fmt: skip


def test_each_table_goes_to_its_own_with_a_report_of_its_own() -> None:
    store = Store(sources=SOURCES, bad={12})
    report, live = run_job(new_try(store, ["c", "[ab]"]))
    assert store.targets == {"ods_a": [1, 2, 3], "ods_b": [11, 13], "ods_c": [21, 22, 23, 24]}
    assert figures(report) == [
        ("c", "ods_c", "FINISHED", 4, 4, 0, 3, 3),
        ("a", "ods_a", "FINISHED", 3, 3, 0, 2, 2),
        ("b", "ods_b", "FINISHED", 3, 2, 1, 1, 1),
    ]
    assert (report["numRead"], report["numWrite"], report["nErrors"], report["splits"]) == (10, 9, 1, 6)
    assert live.numWrite == 9
    assert report["dirty_data"]["samples"] == [
        {"table": "b", "category": "duplicate", "message": "bad", "row": {"id": 12}}
    ]


def test_a_single_table_reports_as_ever() -> None:
    report, _ = run_job(memory_run(Store(splits=[[1]]), attempt=uuid.uuid4().hex))
    assert "tables" not in report


def test_one_target_takes_tables_of_one_shape() -> None:
    store = Store(sources=SOURCES)
    report, _ = run_job(new_try(store, ["*"], "all", verify=True, writer={"preSql": ["x", "y {table}"]}))
    assert sorted(store.targets["all"]) == [1, 2, 3, 11, 12, 13, 21, 22, 23, 24]
    assert [call for call in store.calls if call.startswith(("prepare", "finish"))] == [
        "prepare all x y a y b y c",
        "finish all",
    ]
    assert report["verify"] == {"source": 10, "target": 10, "equal": True}
    assert [each[:3] for each in figures(report)] == [(name, "all", "FINISHED") for name in "abc"]


def test_tables_of_other_shapes_are_told_at_once() -> None:
    store = Store(sources=SOURCES)
    store.schemas = {
        "b": pa.schema([("id", pa.string()), ("more", pa.int64())]),
        "c": pa.schema([("number", pa.int64())]),
    }
    told = r"differ from a: b has a column more more, id as string instead of int64; c has no id, a column number more"
    with pytest.raises(DataError, match=told):
        run_job(new_try(store, ["*"], "all"))
    assert not any(call.startswith("prepare") for call in store.calls)


def test_two_tables_may_not_meet_in_one_target_by_accident() -> None:
    store = Store(sources=SOURCES)
    with pytest.raises(JobInvalidError, match="two tables would go to one: ods_a from a and a"):
        run_job(new_try(store, ["a", "a"]))


def test_statements_run_once_or_once_for_each_table() -> None:
    store = Store(sources=SOURCES)
    statements = ["one", "each {table}"]
    run_job(new_try(store, ["*"], writer={"preSql": statements, "postSql": statements}))
    assert [call for call in store.calls if call.startswith(("prepare", "finish"))] == [
        "prepare ods_a one each a",
        "prepare ods_b each b",
        "prepare ods_c each c",
        "finish ods_a one each a each b each c",
    ]


@pytest.mark.parametrize("trouble", [{"fail_writing_split": 3}, {"fail_at": "finish ods_a"}])
def test_the_next_try_goes_on_with_the_tables_of_the_first(trouble: dict[str, Any]) -> None:
    store = Store(sources=SOURCES, bad={12}, keeps_ledger=True, targets={"ods_b": [99]}, **trouble)
    with pytest.raises(FlinkXError) as caught:
        run_job(new_try(store, ["*"], verify=True))
    assert caught.value.report is not None
    broken = "fail_writing_split" in trouble
    assert [each[2] for each in figures(caught.value.report)] == [
        "WRITTEN",
        "WRITTEN",
        "FAILED" if broken else "WRITTEN",
    ]
    for name in trouble:
        setattr(store, name, None)
    store.calls.clear()
    store.sources = {**SOURCES, "d": [[31]]}
    report, _ = run_job(new_try(store, ["*"], verify=True))
    assert store.targets == {"ods_a": [1, 2, 3], "ods_b": [99, 11, 13], "ods_c": [21, 22, 23, 24]}
    assert [each[:7] for each in figures(report)] == [
        ("a", "ods_a", "FINISHED", 3, 3, 0, 2),
        ("b", "ods_b", "FINISHED", 3, 2, 1, 1),
        ("c", "ods_c", "FINISHED", 4, 4, 0, 3),
    ]
    assert [each["verify"] for each in report["tables"]] == [
        {"source": rows, "target": rows, "equal": True} for rows in (3, 2, 4)
    ]
    assert report["verify"] == {"source": 9, "target": 9, "equal": True}
    assert not any(call.startswith("prepare") for call in store.calls)
    assert [call for call in store.calls if call.startswith("resume")] == (["resume ods_c"] if broken else [])
    taken, _ = run_job(new_try(store, ["*"], verify=True, take_finished=True))
    assert taken == report


@pytest.mark.parametrize("broken", [False, True])
def test_answers_may_overtake_the_plan(broken: bool) -> None:
    """With several channels the plan comes by way of one of them."""
    store = Store(sources=SOURCES, fail_writing_split=2 if broken else None)
    run = replace(new_try(store, ["*"], verify=True), one_process=False)
    first, *splits = plan(run)
    sync, report, result = Sync(run, Counters().add), Report(run), None
    for message in splits[:3]:
        answer = sync.split(Split(**message["split"]), table=message["table"])
        assert report.add(answer) is None
    if broken:
        with pytest.raises(FlinkXError, match="target broke") as caught:
            report.add(first)
        assert caught.value.report is not None
        assert [each[2] for each in figures(caught.value.report)] == ["WRITTEN", "FAILED", "UNFINISHED"]
        return
    report.add(first)
    for message in splits[3:]:
        result = report.add(sync.split(Split(**message["split"]), table=message["table"]))
    assert result is not None
    assert [each[3:5] for each in figures(result)] == [(3, 3), (3, 3), (4, 4)]
    assert result["verify"]["equal"]


def test_rows_that_are_lost_fail_the_job_and_the_table() -> None:
    store = Store(sources=SOURCES, keeps_ledger=True)
    run = new_try(store, ["*"], verify=True)
    store.fail_writing_split = 5
    with pytest.raises(FlinkXError):
        run_job(run)
    store.fail_writing_split = None
    store.targets["ods_b"].remove(11)
    with pytest.raises(DataError, match=r"table ods_b: 3 rows were read .* had 0 rows and has 2") as caught:
        run_job(replace(run, context=replace(run.context, attempt=uuid.uuid4().hex)))
    assert caught.value.report is not None
    assert [each[2] for each in figures(caught.value.report)] == ["WRITTEN", "FAILED", "WRITTEN"]
    assert caught.value.report["verify"] == {"source": 10, "target": 9, "equal": False}


def test_the_error_limit_is_that_of_the_whole_job(tmp_path: Path) -> None:
    limit = ErrorLimit(1, None)
    store = Store(sources=SOURCES, bad={2, 12})
    with pytest.raises(ErrorLimitExceededError) as caught:
        run_job(new_try(store, ["*"], limit=limit, dirty=str(tmp_path)))
    assert caught.value.report is not None
    assert [each[2] for each in figures(caught.value.report)] == ["WRITTEN", "UNFINISHED", "UNFINISHED"]
    rejected = [
        json.loads(line) for file in sorted(tmp_path.rglob("*.jsonl")) for line in file.read_text().splitlines()
    ]
    assert [(each["table"], each["row"]) for each in rejected] == [("a", {"id": 2}), ("b", {"id": 12})]


def test_files_of_many_tables_are_published_once() -> None:
    store = Store(sources=SOURCES, published_by_finish=True, fail_at="finish all")
    with pytest.raises(FlinkXError) as caught:
        run_job(new_try(store, ["*"], "all"))
    assert caught.value.report is not None
    assert [each[2:5] for each in figures(caught.value.report)] == [
        ("UNFINISHED", 3, 0), ("UNFINISHED", 3, 0), ("UNFINISHED", 4, 0),
    ]  # fmt: skip
    assert store.calls[-1] == "abort"


def test_a_table_that_cannot_be_read_leaves_all_targets_alone() -> None:
    store = Store(sources=SOURCES)
    store.sources = {**SOURCES, "c": None}  # type: ignore[dict-item]
    messages = list(plan(new_try(store, ["*"])))
    assert [message["kind"] for message in messages] == ["failed"]
    assert not any(call.startswith("prepare") for call in store.calls)


def test_many_tables_are_not_open_at_once() -> None:
    sources = {f"t{number:03d}": [[number]] for number in range(200)}
    store = Store(sources=sources, keeps_ledger=True)
    report, _ = run_job(new_try(store, ["t*"]))
    assert store.targets == {f"ods_{name}": rows for name, (rows,) in sources.items()}
    assert len(report["tables"]) == 200
    assert store.most_in_use <= 4
    assert not store.in_use
