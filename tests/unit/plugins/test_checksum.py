"""Checksums of rows: alike for the same values in other types, batches and orders; different for any other value."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flinkx.plugins.checksum import Checksum, Comparison, comparable
from airflow_provider_flinkx.plugins.postgresql.reader import _far_text

DECIMAL = pa.decimal128(20, 2)


def field(kind: pa.DataType, name: str = "") -> pa.Field:
    return pa.field("c", kind, metadata={"source_type": name} if name else None)


def of(values: Any, target: pa.Field, source: pa.DataType | None = None, *, zone: str = "UTC") -> Checksum:
    """The checksum of one column."""
    array = values if isinstance(values, pa.Array) else pa.array(values, source or target.type)
    return Comparison([target], timezone=zone).checksum([array], len(array))


TARGETS = {
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "int8": (pa.int8(), st.integers(-128, 127)),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "bool": (pa.bool_(), st.booleans()),
    "double": (pa.float64(), st.floats(allow_nan=False).filter(bool)),
    "float": (pa.float32(), st.floats(width=32, allow_nan=False).filter(bool)),
    "decimal": (DECIMAL, st.integers(-(10**18), 10**18).map(lambda number: Decimal(number).scaleb(-2))),
    "large decimal": (pa.decimal256(60, 0), st.integers(-(10**50), 10**50).map(Decimal)),
    "text": (pa.string(), st.text(max_size=40)),
    "bytes": (pa.binary(), st.binary(max_size=40)),
    "date": (pa.date32(), st.dates()),
    "time": (pa.time64("us"), st.times()),
    "timestamp": (pa.timestamp("us"), st.datetimes()),
    "instant": (pa.timestamp("us", "UTC"), st.datetimes()),
}


@pytest.mark.parametrize("name", TARGETS)
def test_any_change_gives_another_checksum(name: str) -> None:
    kind, values = TARGETS[name]

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.none() | values, min_size=1, max_size=12), st.data())
    def check(column: list[Any], data: st.DataObject) -> None:
        original = of(column, field(kind))
        order = data.draw(st.permutations(column))
        assert of(order, field(kind)) == original
        place = data.draw(st.integers(0, len(column) - 1))
        other = data.draw(st.none() | values)
        changed = [*column[:place], other, *column[place + 1 :]]
        assert (of(changed, field(kind)) == original) == (column[place] == other)
        assert of([*column, column[place]], field(kind)) != original
        assert of([*column, column[place], column[place]], field(kind)) != original

    check()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.none() | st.text(max_size=20), st.none() | st.integers(-9, 9)), max_size=30), st.data())
def test_batches_and_slices_add_up(rows: list[tuple[str | None, int | None]], data: st.DataObject) -> None:
    schema = pa.schema([("text", pa.string()), ("number", pa.int32())])
    texts, numbers = [row[0] for row in rows], [row[1] for row in rows]
    batch = pa.record_batch([pa.array(texts, pa.string()), pa.array(numbers, pa.int32())], schema)
    comparison = Comparison(list(schema), timezone="UTC")
    cut = data.draw(st.integers(0, len(rows)))
    parts = (batch.slice(0, cut), batch.slice(cut))
    first, second = (comparison.checksum(part.columns, part.num_rows) for part in parts)
    whole = comparison.checksum(batch.columns, batch.num_rows)
    assert first + second == second + first == whole
    assert whole - second == first
    assert Checksum.from_json(whole.to_json()) == whole


def test_values_that_change_places_between_rows_or_columns_are_found() -> None:
    fields = [field(pa.int64()), field(pa.int64())]
    comparison = Comparison(fields, timezone="UTC")
    rows = comparison.checksum([pa.array([1, 2]), pa.array([3, 4])], 2)
    across_rows = comparison.checksum([pa.array([1, 2]), pa.array([4, 3])], 2)
    across_columns = comparison.checksum([pa.array([3, 2]), pa.array([1, 4])], 2)
    assert across_rows != rows
    assert across_rows.columns == rows.columns
    assert across_columns.total != rows.total


@pytest.mark.parametrize(
    ("target", "column", "same"),
    [
        (field(DECIMAL), pa.array([Decimal("1.5"), None]), [Decimal("1.50"), None]),
        (field(DECIMAL), pa.array([1, -7]), [Decimal("1.00"), Decimal("-7.00")]),
        (field(DECIMAL), pa.array([1.5]), [Decimal("1.50")]),
        (field(DECIMAL), pa.array(["1.5", "NaN"]), pa.array(["1.50", "nan"])),
        (field(pa.int8()), pa.array([True, False, None]), [1, 0, None]),
        (field(pa.bool_()), pa.array([1, 0], pa.int8()), [True, False]),
        (field(pa.int64()), pa.array([1, 2], pa.int16()), [1, 2]),
        (field(pa.float64()), pa.array([0.1], pa.float32()), [float(np.float32(0.1))]),
        (field(pa.float64()), pa.array([-0.0, math.nan]), [0.0, -math.nan]),
        (field(pa.string(), "text"), pa.array([Decimal("1.50")]), ["1.50"]),
        (field(pa.string(), "bpchar"), pa.array(["ab", " c", ""]), ["ab   ", " c", "  "]),
        (field(pa.string(), "numeric"), pa.array(["1.50", "007", "-.5", "1e3", "-0.0", "Infinity"]),
         ["1.5", "7", "-0.5", "1000", "0", "infinity"]),
        (field(pa.string(), "uuid"), pa.array(["{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}"]),
         ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
        (field(pa.string(), "jsonb"), pa.array(['{"b":1.50,"a":[true,"x"]}', "no json"]),
         ['{"a": [true, "x"], "b": 1.5}', "no json"]),
        (field(pa.binary(), "string"), pa.array([b"ab", b"\0c"]), [b"ab\0\0", b"\0c\0\0"]),
        (field(pa.timestamp("us")), pa.array([datetime(2020, 1, 2)], pa.timestamp("s")), [datetime(2020, 1, 2)]),
        (field(pa.timestamp("us")), pa.array(["2020-01-02 03:04:05.5", "infinity"]),
         pa.array(["2020-01-02 03:04:05.500000", "infinity"])),
        (field(pa.time64("us")), pa.array(["25:00:00", "-01:00:00.5"]), pa.array(["25:00:00.000", "-01:00:00.500"])),
    ],
)  # fmt: skip
def test_the_same_values_in_other_types_are_alike(target: pa.Field, column: pa.Array, same: Any) -> None:
    assert of(column, target) == of(same, target)
    assert of(column, target) != of([None] * len(column), target)


@pytest.mark.parametrize(
    ("target", "column", "other"),
    [
        (field(pa.string(), "text"), ["1.50"], ["1.5"]),
        (field(pa.string(), "varchar"), ["ab"], ["ab "]),
        (field(pa.string(), "text"), [""], [None]),
        (field(pa.string(), "text"), ["\0"], [""]),
        (field(pa.string(), "text"), ["ab", "c"], ["a", "bc"]),
        (field(pa.string(), "text"), ["12345678" * 2], ["12345678"]),
        (field(pa.binary(), "varbinary"), [b"a"], [b"a\0"]),
        (field(pa.string(), "jsonb"), ['{"a":1}'], ['{"a":"1"}']),
        (field(pa.string(), "bpchar"), ["a"], [" a"]),
        (field(pa.float64()), [0.1], [0.1 + 2**-56]),
        (field(pa.int64()), [0], [None]),
        (field(pa.decimal256(60, 0)), [Decimal(2) ** 130], [Decimal(0)]),
    ],
)  # fmt: skip
def test_other_values_are_not(target: pa.Field, column: list[Any], other: list[Any]) -> None:
    assert of(column, target) != of(other, target)


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC")])
def test_a_far_day_is_alike_as_number_and_as_text(kind: pa.DataType) -> None:
    """A database's reader gives text where a batch holds a value that Arrow lacks, and numbers where it does not."""
    unit = 1 if pa.types.is_date32(kind) else 86_400_000_000
    moments = [day * unit + (unit > 1) * 3_600_500_000 for day in (-755_000, 7_000_000)]
    numbers = pa.array(moments, pa.int32() if unit == 1 else pa.int64()).view(kind)
    texts = pa.array([_far_text(moment, kind) for moment in moments])
    assert texts[0].as_py().endswith(" BC")
    assert of(numbers, field(kind)) == of(texts, field(kind))


def test_an_instant_is_alike_in_every_zone() -> None:
    kind = pa.timestamp("us", "UTC")
    instant = of([datetime(2020, 6, 1, 10)], field(kind))
    assert of(pa.array(["2020-06-01 12:00:00+02:00"]), field(kind)) == instant
    assert of([datetime(2020, 6, 1, 18)], field(kind), pa.timestamp("us"), zone="Asia/Shanghai") == instant


def test_a_target_that_knows_no_empty_text() -> None:
    comparison = Comparison([field(pa.string(), "varchar")], timezone="UTC", empty_is_null=True)
    empty, null = (comparison.checksum([pa.array([value], pa.string())], 1) for value in ("", None))
    assert empty == null


@pytest.mark.parametrize(
    ("source", "target", "same_product", "expected"),
    [
        (field(pa.string(), "inet"), field(pa.string(), "inet"), True, True),
        (field(pa.string(), "inet"), field(pa.string(), "inet"), False, False),
        (field(pa.string(), "text"), field(pa.string(), "inet"), True, False),
        (field(pa.string()), field(pa.string()), True, False),
        (field(pa.string(), "inet"), field(pa.string(), "varchar"), True, True),
        (field(pa.int64()), field(DECIMAL), False, True),
        (field(pa.string(), "bit"), field(pa.uint64(), "bit"), False, False),
        (field(pa.uint64(), "bit"), field(DECIMAL, "numeric"), False, True),
    ],
)
def test_only_what_can_be_told_apart_is_compared(
    source: pa.Field, target: pa.Field, same_product: bool, expected: bool
) -> None:
    assert comparable(source, target, same_product=same_product) is expected
