"""Finds the rows of a batch that a database refuses, with few statements.

A bulk statement either takes a range of rows or takes none of them. When it fails, the range is cut: at
the row that the database names, or in halves when it names none, until the bad row is alone. The range
grows again while all goes well, so k bad rows of n cost O(k log n) statements and a batch that is bad
throughout costs one statement per row, not one batch per row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_flinkx.plugins.base import Category

#: Rows of the first statement after a refused row.
RESTART = 64


class RowRefusedError(Exception):
    """The database refused a range of rows because of at least one row in it.

    Args:
        category: why.
        message: one line.
        row: offset in the range of the first bad row, when the database names it.
    """

    def __init__(self, category: Category, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.category = category
        self.message = message
        self.row = row


@dataclass
class Outcome:
    """Rows taken, and what was said about each refused one, by position."""

    written: int = 0
    refused: dict[int, RowRefusedError] = field(default_factory=dict)


def write_isolated(count: int, attempt: Callable[[int, int], None], *, largest: int | None = None) -> Outcome:
    """Write `count` rows by `attempt(start, stop)`, and leave out those that are refused.

    Rows are attempted in their order, and each range only after all rows before it are settled.

    Args:
        count: number of rows.
        attempt: writes rows start..stop, all or none.
        largest: rows per attempt at most; None for no limit.

    Returns:
        What became of each row.
    """
    outcome = Outcome()
    most = largest or count
    position, size, suspect = 0, most, -1
    while position < count:
        stop = position + 1 if position == suspect else min(position + size, count)
        try:
            attempt(position, stop)
        except RowRefusedError as error:
            if stop - position == 1:
                outcome.refused[position] = error
                position, size = stop, min(most, RESTART)
            elif error.row is None or not 0 <= error.row < stop - position:
                size = (stop - position) // 2
            else:
                # A row that is named alone is settled by a statement of its own: no row is
                # rejected because of a number in a message.
                suspect, size = position + error.row, max(error.row, 1)
        else:
            outcome.written += stop - position
            position, size = stop, min(most, size * 4)
    return outcome
