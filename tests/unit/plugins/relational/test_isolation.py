"""Refused rows are found whatever the database says about them, with few statements."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flinkx.plugins.base import Category
from airflow_provider_flinkx.plugins.relational.isolation import Outcome, RowRefusedError, write_isolated


class Table:
    """Takes rows in order and refuses some; `hint` says which row an error names."""

    def __init__(self, bad: set[int], hint: str) -> None:
        self.bad, self.hint = bad, hint
        self.rows: list[int] = []
        self.statements = 0

    def attempt(self, start: int, stop: int) -> None:
        self.statements += 1
        refused = [row for row in range(start, stop) if row in self.bad]
        if refused:
            place = {"right": refused[0] - start, "none": None, "wrong": 0, "beyond": 10**9}[self.hint]
            raise RowRefusedError(Category.OTHER, "refused", place)
        self.rows += range(start, stop)


def run(count: int, table: Table, largest: int | None = None) -> Outcome:
    return write_isolated(count, table.attempt, largest=largest)


@settings(deadline=None)
@given(
    count=st.integers(0, 300),
    bad=st.sets(st.integers(0, 299)),
    hint=st.sampled_from(["right", "none", "wrong", "beyond"]),
    largest=st.sampled_from([None, 1, 7]),
)
def test_exactly_the_bad_rows_are_left_out(count: int, bad: set[int], hint: str, largest: int | None) -> None:
    table = Table({row for row in bad if row < count}, hint)
    outcome = run(count, table, largest)
    assert set(outcome.refused) == table.bad
    assert table.rows == [row for row in range(count) if row not in table.bad]
    assert outcome.written == len(table.rows)


def test_few_bad_rows_take_few_statements() -> None:
    named, unnamed = Table({5, 40_000, 65_535}, "right"), Table({5, 40_000, 65_535}, "none")
    run(65_536, named)
    run(65_536, unnamed)
    assert named.statements < 40
    assert unnamed.statements < 200


def test_a_batch_of_bad_rows_takes_a_statement_for_each_row_at_most_a_few() -> None:
    table = Table(set(range(1000)), "right")
    run(1000, table)
    assert table.statements <= 2100
