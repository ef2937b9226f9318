"""Key ranges and the number of splits."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flinkx.plugins.relational.splits import boundaries, key_ranges, split_count


@pytest.mark.parametrize(
    ("rows", "channels", "count"),
    [(0, 4, 1), (9_999, 4, 1), (10_000, 1, 4), (10**6, 3, 12), (10**7, 1, 20), (10**10, 1, 200)],
)
def test_split_count(rows: int, channels: int, count: int) -> None:
    assert split_count(rows, channels) == count


@settings(deadline=None)
@given(keys=st.lists(st.integers(-50, 50)).map(sorted), count=st.integers(1, 20), others=st.lists(st.integers(-60, 60)))
def test_each_key_meets_exactly_one_condition(keys: list[int], count: int, others: list[int]) -> None:
    bounds = boundaries([str(key) for key in keys], count)
    assert len(bounds) < count
    conditions = key_ranges("k", bounds, nullable=True) or ["True"]
    for key in [*keys, *others]:
        met = [text for text in conditions if text != "k IS NULL" and eval(text.replace("AND", "and"), {"k": key})]
        assert len(met) == 1


def test_null_keys_have_a_condition_of_their_own() -> None:
    assert key_ranges("k", ["1"], nullable=True) == ["k < 1", "k >= 1", "k IS NULL"]
    assert key_ranges("k", ["1"], nullable=False) == ["k < 1", "k >= 1"]
