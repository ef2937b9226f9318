"""streamreader: made-up rows for tests and trials (job.md §2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_flinkx.exceptions import JobInvalidError
from airflow_provider_flinkx.jobs.model import Column
from airflow_provider_flinkx.plugins.base import Batch, Reader, RunContext, Split
from airflow_provider_flinkx.plugins.conversion import apply_columns, arrow_type, convert, field_name

_BATCH_ROWS: Final = 65_536
#: The type name of a running number, over all channels.
_RUNNING_NUMBER: Final = "id"
#: Midnight of 2020-01-01 as days since 1970.
_FIRST_DAY: Final = 18_262
_DAYS: Final = 3_650


class StreamReader(Reader):
    """Rows of constants and made-up values; the same rows each time that a split is read.

    Raises:
        JobInvalidError: `sliceRecordCount` is 0 or less or missing (in FlinkX: without end), or a type is unknown.
    """

    def __init__(self, parameter: Mapping[str, Any], columns: Sequence[Column], context: RunContext) -> None:
        super().__init__(parameter, columns, context)
        self._counts = _counts(parameter.get("sliceRecordCount"), context.channels)
        # A name makes `value` a default, but here there is no source: it is always the constant.
        self._constants = [
            Column(value=column.value, type=column.type, type_arguments=column.type_arguments, format=column.format)
            if column.value is not None
            else Column(name=field_name(column))
            for column in columns
        ]

    @property
    def schema(self) -> pa.Schema:
        """The declared types; text where there is none."""
        return pa.schema([(field_name(column), _type(column)) for column in self.columns])

    def splits(self) -> Sequence[Split]:
        """One split per channel."""
        starts = np.cumsum([0, *self._counts])
        return [
            Split(index, {"start": int(starts[index]), "rows": count}, rows=count)
            for index, count in enumerate(self._counts)
        ]

    def read(self, split: Split) -> Iterator[Batch]:
        """The rows of a channel."""
        start, rows = split.spec["start"], split.spec["rows"]
        for offset in range(0, rows, _BATCH_ROWS):
            numbers = np.arange(start + offset, start + min(offset + _BATCH_ROWS, rows), dtype=np.int64)
            arrays = [self._values(column, numbers) for column in self.columns]
            batch = pa.RecordBatch.from_arrays(arrays, names=self.schema.names)
            constant = [
                column if column.value is not None else Column(name=field_name(column)) for column in self.columns
            ]
            yield apply_columns(batch, constant, timezone=self.context.timezone)

    def _values(self, column: Column, numbers: np.ndarray[Any, np.dtype[np.int64]]) -> pa.Array:
        if column.value is not None:
            return pa.nulls(len(numbers), _type(column))
        target = _type(column)
        make = next(make for matches, make in _MAKERS if matches(target))
        return convert(make(numbers, target), target, timezone="UTC").array


def _counts(given: Any, channels: int) -> list[int]:
    """Rows of each channel; one number is for every channel (job.md §2)."""
    listed = list(given) if isinstance(given, list | tuple) else [given] * channels
    try:
        counts = [int(count) for count in listed]
    except (TypeError, ValueError):
        counts = []
    if len(counts) == 1:
        counts *= channels
    if len(counts) != channels or min(counts) <= 0:
        raise JobInvalidError(
            [
                f"job.content[0].reader.parameter.sliceRecordCount: {given!r} must be above 0, one number or "
                f"{channels} (one per channel); without it FlinkX makes rows without end, and a batch job must end"
            ]
        )
    return counts


def _type(column: Column) -> pa.DataType:
    if column.type == _RUNNING_NUMBER:
        return pa.int64()
    arrow = arrow_type(column)
    if arrow is None and column.type in ("decimal", "number"):
        return pa.decimal128(38, 18)
    return pa.string() if arrow is None else arrow


def _integers(numbers: np.ndarray[Any, Any], target: pa.DataType) -> pa.Array:
    return pa.array(numbers & ((1 << (target.bit_width - 1)) - 1))


def _decimals(numbers: np.ndarray[Any, Any], target: pa.DataType) -> pa.Array:
    """Whole numbers that fit, with fractions where the type has any."""
    whole = min(target.precision - target.scale, 9)
    digits = min(target.scale, 2)
    texts = [f"{number % 10**whole}.{number % 10**digits:0{max(digits, 1)}d}" for number in numbers.tolist()]
    return pa.array(texts)


def _days(numbers: np.ndarray[Any, Any], _target: pa.DataType) -> pa.Array:
    return pa.array((_FIRST_DAY + numbers % _DAYS).astype(np.int32)).view(pa.date32())


def _moments(numbers: np.ndarray[Any, Any], _target: pa.DataType) -> pa.Array:
    seconds = _FIRST_DAY * 86_400 + numbers % (_DAYS * 86_400)
    return pa.array(seconds * 1_000_000 + numbers % 1_000_000).view(pa.timestamp("us"))


def _times(numbers: np.ndarray[Any, Any], _target: pa.DataType) -> pa.Array:
    return pa.array(numbers % 86_400 * 1_000_000).view(pa.time64("us"))


def _texts(numbers: np.ndarray[Any, Any], target: pa.DataType) -> pa.Array:
    return pc.binary_join_element_wise("row ", pa.array(numbers).cast(pa.string()), "").cast(target)


_MAKERS: Final[
    Sequence[tuple[Callable[[pa.DataType], bool], Callable[[np.ndarray[Any, Any], pa.DataType], pa.Array]]]
] = (
    (pa.types.is_integer, _integers),
    (pa.types.is_floating, lambda numbers, _target: pa.array(numbers % 1_000_000 / 4.0)),
    (pa.types.is_decimal, _decimals),
    (pa.types.is_boolean, lambda numbers, _target: pa.array(numbers % 2 == 0)),
    (pa.types.is_date, _days),
    (pa.types.is_timestamp, _moments),
    (pa.types.is_time, _times),
    (lambda _arrow: True, _texts),
)
