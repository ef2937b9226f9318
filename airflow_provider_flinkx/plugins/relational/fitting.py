"""Brings a batch to what a target table's columns take, and finds the rows that cannot be.

Each column is converted by `plugins.conversion`, and then looked at for what databases would change without an
error: digits of a second that are rounded, texts that lose their last blanks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_flinkx.plugins.base import Category, Reject
from airflow_provider_flinkx.plugins.conversion import rejects_of


class FittedColumn(NamedTuple):
    """A column as it goes to the target; `failures` has the positions that do not fit, and why.

    `as_text`: the values are text that the server itself turns into the column's type.
    """

    array: pa.Array
    failures: dict[int, str]
    as_text: bool = False


class FitRule(NamedTuple):
    """How one column of the target is fed."""

    name: str
    needs_value: bool
    fit: Callable[[pa.Array], FittedColumn]


class Fitted(NamedTuple):
    """Rows that fit (columns named as in the target), and rejects for the others.

    `positions` says where in the batch each row stood; `as_text` names the columns that go as text.
    """

    rows: pa.RecordBatch
    positions: np.ndarray[Any, np.dtype[np.int64]]
    rejects: list[Reject]
    as_text: frozenset[str]


def fit(batch: pa.RecordBatch, rules: Sequence[FitRule], field_names: Sequence[str]) -> Fitted:
    """Fit every column of a batch, by position."""
    arrays: list[pa.Array] = []
    as_text: set[str] = set()
    reasons: dict[int, tuple[Category, str]] = {}
    for rule, column in zip(rules, batch.columns, strict=True):
        array, failures, text = rule.fit(column)
        for position, message in failures.items():
            reasons.setdefault(position, (Category.CONVERSION, f"column {rule.name}: {message}"))
        if rule.needs_value and column.null_count:
            for position in np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)):
                reasons.setdefault(
                    int(position), (Category.NULL, f"column {rule.name}: null in a column that needs a value")
                )
        arrays.append(array)
        if text:
            as_text.add(rule.name)
    rows = pa.RecordBatch.from_arrays(arrays, names=[rule.name for rule in rules])
    positions = np.arange(batch.num_rows)
    if reasons:
        positions = np.setdiff1d(positions, np.fromiter(reasons, dtype=np.int64))
        rows = rows.take(pa.array(positions))
    return Fitted(rows, positions, rejects_of(batch, reasons, field_names), frozenset(as_text))


def too_fine(array: pa.Array, digits: int) -> dict[int, str]:
    """Times with more digits of a second than the column keeps."""
    if digits >= 6 or not (pa.types.is_timestamp(array.type) or pa.types.is_time(array.type)):
        return {}
    numbers = array.view(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    message = f"the column keeps {digits} digits of a second, the value has more"
    return {int(at): message for at in np.flatnonzero(numbers % 10 ** (6 - digits))}


def too_fine_texts(texts: pa.Array, positions: Collection[int], digits: int) -> dict[int, str]:
    """Texts of times that a server would round: those of `positions` with more digits of a second than it keeps."""
    found = pc.match_substring_regex(texts, rf":[0-9]{{2}}\.[0-9]{{{digits}}}[0-9]*[1-9]").fill_null(False)
    message = f"the column keeps {digits} digits of a second, the value has more"
    fine = set(np.flatnonzero(found.to_numpy(zero_copy_only=False)).tolist())
    return dict.fromkeys(fine.intersection(positions), message)


def too_long(array: pa.Array, most: int) -> dict[int, str]:
    """Texts of more characters than the column holds, blanks at the end counted; bytes count as bytes."""
    is_text = pa.types.is_string(array.type)
    lengths = (pc.utf8_length if is_text else pc.binary_length)(array).fill_null(0).to_numpy(zero_copy_only=False)
    positions = np.flatnonzero(lengths > most)
    unit = "characters" if is_text else "bytes"
    return {int(at): f"{lengths[at]} {unit} in a column of {most}" for at in positions}


def too_many_decimals(array: pa.Array, scale: int) -> dict[int, str]:
    """Numbers as text with more digits behind the point than the column keeps."""
    found = pc.match_substring_regex(array, rf"\.[0-9]{{{scale}}}[0-9]*[1-9]|[eE]").fill_null(False)
    message = f"the column keeps {scale} digits behind the point"
    return {int(at): message for at in np.flatnonzero(found.to_numpy(zero_copy_only=False))}


def too_many_digits(array: pa.Array, most: int) -> dict[int, str]:
    """Numbers as text with more digits, zeros around them not counted, than the column keeps."""
    digits = pc.replace_substring_regex(array, r"[eE].*$", "")
    digits = pc.replace_substring_regex(digits, r"[^0-9]", "")
    lengths = pc.utf8_length(pc.utf8_trim(digits, "0")).fill_null(0).to_numpy(zero_copy_only=False)
    return {int(at): f"{lengths[at]} digits in a column that keeps {most}" for at in np.flatnonzero(lengths > most)}


def not_finite(array: pa.Array, product: str) -> dict[int, str]:
    """NaN and infinities, where a database knows none."""
    finite = pc.is_finite(array).fill_null(True).to_numpy(zero_copy_only=False)
    return {int(at): f"{array[int(at)].as_py()} is no number that {product} knows" for at in np.flatnonzero(~finite)}


def with_texts(array: pa.Array, source: pa.Array, positions: Sequence[int]) -> pa.Array:
    """Text `array` with the texts of `source` at these positions."""
    mask = np.zeros(len(array), dtype=bool)
    mask[list(positions)] = True
    return pc.if_else(pa.array(mask), source, array)
