"""Error limit arithmetic and the job report."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flinkx.jobs.model import Content, Dirty, Endpoint, ErrorLimit, Job, Setting
from airflow_provider_flinkx.pipeline.report import (
    MAX_SAMPLES,
    Counters,
    JobReport,
    SplitReport,
    error_limit_outcome,
    reason_to_end_early,
)
from airflow_provider_flinkx.plugins.base import Category, Reject


@pytest.mark.parametrize(
    ("record", "percentage", "errors", "read", "exceeded"),
    [
        (0, 0.0, 0, 0, False),
        (0, 0.0, 0, 100, False),
        (0, 0.0, 1, 100, True),
        (137, None, 137, 1_000_000, False),
        (136, None, 137, 1_000_000, True),
        (None, None, 10**9, 10**9, False),
        (None, 1.0, 1, 100, False),
        (None, 1.0, 2, 100, True),
        (None, 29.0, 29, 100, False),
        (None, 0.02, 2, 10_000, False),
        (None, 0.02, 3, 10_000, True),
        (5, 50.0, 6, 1_000, True),
        (5, 0.1, 4, 1_000, True),
        (None, 0.0, 0, 0, False),
        (None, 100.0, 3, 3, False),
    ],
)
def test_limit_is_strictly_greater(
    record: int | None, percentage: float | None, errors: int, read: int, exceeded: bool
) -> None:
    outcome = error_limit_outcome(ErrorLimit(record, percentage), errors, read)
    assert outcome["exceeded"] is exceeded
    assert (outcome["reason"] is not None) is exceeded


@pytest.mark.parametrize("read", range(1, 300))
def test_ratio_equal_to_the_percentage_never_exceeds(read: int) -> None:
    for errors in range(0, read + 1, 7):
        percentage = float(Decimal(errors) * 100 / Decimal(read))
        assert not error_limit_outcome(ErrorLimit(None, percentage), errors, read)["exceeded"]
        assert error_limit_outcome(ErrorLimit(None, percentage), errors + 1, read)["exceeded"]


@pytest.mark.parametrize(
    ("percentage", "errors", "read", "ends"),
    [
        (0.0, 1, 1, True),
        (0.0, 0, 1, False),
        (1.0, 99_999, 99_999, False),
        (1.0, 50_000, 100_000, True),
        (1.0, 1_188, 100_000, False),
        (1.0, 1_189, 100_000, True),
        (1.0, 10_596, 1_000_000, False),
        (1.0, 10_597, 1_000_000, True),
        (99.9, 100_000, 100_000, True),
        (100.0, 100_000, 100_000, False),
        (250.0, 100_000, 100_000, False),
        (None, 100_000, 100_000, False),
    ],
)
def test_a_ratio_ends_a_running_job_only_beyond_chance(
    percentage: float | None, errors: int, read: int, ends: bool
) -> None:
    reason = reason_to_end_early(ErrorLimit(0, percentage), errors, read)
    assert (reason is not None) is ends
    assert reason is None or f"{errors} of {read} rows" in reason


@settings(max_examples=50, deadline=None)
@given(percent=st.floats(0.01, 60), seed=st.integers(0, 2**32 - 1))
def test_an_evenly_bad_job_at_its_limit_is_not_ended_early(percent: float, seed: int) -> None:
    rejected = np.random.default_rng(seed).binomial(1_000, percent / 100, 1_000)
    for batches in range(1, 1_001):
        errors = int(rejected[:batches].sum())
        assert reason_to_end_early(ErrorLimit(None, percent), errors, batches * 1_000) is None


def job() -> Job:
    endpoint = Endpoint("streamreader", {}, ())
    return Job(Content(endpoint, endpoint), Setting(dirty=Dirty(path="/rejects")), {})


def reject(number: int, category: Category = Category.OTHER) -> Reject:
    return Reject({"id": number, "password": "geheim", "text": "x" * 500}, category, "no" * 300)


def test_categories_are_counted_and_samples_are_capped_and_masked() -> None:
    split = SplitReport(0)
    rejects = [reject(n, list(Category)[n % 4]) for n in range(50)]
    split.counters.count_rejects(rejects)
    split.add_samples(rejects, {})
    assert split.counters.nErrors == 50
    assert split.counters.nullErrors + split.counters.duplicateErrors == 26
    assert split.counters.conversionErrors + split.counters.otherErrors == 24
    assert len(split.samples) == MAX_SAMPLES
    text = json.dumps(split.to_json())
    assert "geheim" not in text
    assert "x" * 300 not in text
    assert SplitReport.from_json(json.loads(text)) == split


def test_report_adds_splits_and_leaves_out_rows_that_were_rolled_back() -> None:
    report = JobReport(job(), splits=2)
    report.add(SplitReport(0, Counters(numRead=10, numWrite=9, nErrors=1, otherErrors=1)), committed=True)
    stopped = Counters(numRead=5, numWrite=4, nErrors=1, nullErrors=1).without_writes()
    report.add(SplitReport(1, stopped, dirty_file="/rejects/1"), committed=False)
    value = report.to_json(state="FAILED", seconds=2.0)
    assert (value["numRead"], value["numWrite"], value["nErrors"]) == (15, 9, 2)
    assert (value["splits"], value["splitsDone"]) == (2, 1)
    assert value["dirty_data"]["by_category"] == {"null": 1, "duplicate": 0, "conversion": 0, "other": 1}
    assert value["dirty_data"]["files"] == ["/rejects/1"]
    assert value["error_limit"]["exceeded"]
    json.dumps(value)
