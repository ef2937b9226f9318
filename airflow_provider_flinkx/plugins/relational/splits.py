"""Cuts a table into key ranges that hold about the same number of rows, whatever the keys look like.

The boundaries are quantiles of the keys that are there (a sample of them), put in order by the database itself, so that
`>=` and `<` in the ranges mean what they meant when the boundaries were ordered: same collation, same type.
Each range begins where the one before ends and the outer two are open: no key is left out or read twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple

SMALL_TABLE: Final = 10_000
ROWS_PER_SPLIT: Final = 500_000
SPLITS_PER_CHANNEL: Final = 4
MOST_SPLITS: Final = 200


class Sample(NamedTuple):
    """Keys of a source: how many rows it has, about, and some of its keys in order, as SQL literals."""

    rows: int
    keys: Sequence[str]


def split_count(rows: int, channels: int) -> int:
    """How many splits pay for a source of `rows` rows: 1 for a small one, else several per channel."""
    if rows < SMALL_TABLE:
        return 1
    return min(MOST_SPLITS, max(SPLITS_PER_CHANNEL * channels, rows // ROWS_PER_SPLIT))


def boundaries(keys: Sequence[str], count: int) -> list[str]:
    """At most `count - 1` different keys that cut ordered `keys` into equal parts."""
    chosen: list[str] = []
    for part in range(1, count):
        key = keys[len(keys) * part // count] if keys else None
        if key is not None and (not chosen or chosen[-1] != key):
            chosen.append(key)
    return chosen


def key_ranges(column: str, bounds: Sequence[str], *, nullable: bool) -> list[str]:
    """Conditions that each row meets exactly one of.

    Args:
        column: the key, quoted.
        bounds: SQL literals in the order of the database.
        nullable: whether the key may be null; such rows get a condition of their own.
    """
    if not bounds:
        return []
    conditions = [f"{column} < {bounds[0]}"]
    conditions += [f"{column} >= {low} AND {column} < {high}" for low, high in itertools.pairwise(bounds)]
    conditions.append(f"{column} >= {bounds[-1]}")
    if nullable:
        conditions.append(f"{column} IS NULL")
    return conditions
