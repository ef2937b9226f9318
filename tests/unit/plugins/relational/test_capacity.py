"""Which columns hold every value of which others; checked against the conversion of the extremes."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from airflow_provider_flinkx.plugins.base import TableColumn
from airflow_provider_flinkx.plugins.conversion import convert
from airflow_provider_flinkx.plugins.relational.capacity import holds_all

_INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
_DECIMALS = [pa.decimal128(*digits) for digits in [(2, 0), (3, 0), (5, 2), (9, 0), (19, 0), (20, 0), (22, 2), (38, 18)]]
_NUMBERS = [*_INTEGERS, *_DECIMALS, pa.bool_()]


def extremes(kind: pa.DataType) -> pa.Array:
    """The values of a type at its ends, and the one with most digits."""
    if pa.types.is_boolean(kind):
        return pa.array([True, False])
    if pa.types.is_decimal(kind):
        most = Decimal(f"{'9' * kind.precision}E-{kind.scale}")
        return pa.array([most, most.copy_negate()], kind)
    bits = kind.bit_width
    if pa.types.is_signed_integer(kind):
        return pa.array([-(1 << bits - 1), (1 << bits - 1) - 1], kind)
    return pa.array([0, (1 << bits) - 1], kind)


@pytest.mark.parametrize("source", _NUMBERS, ids=str)
@pytest.mark.parametrize("target", [*_INTEGERS, *_DECIMALS], ids=str)
def test_numbers_as_the_conversion_of_their_extremes_says(target: pa.DataType, source: pa.DataType) -> None:
    fits = convert(extremes(source), target, timezone="UTC").failures == {}
    assert holds_all(TableColumn("t", target), TableColumn("s", source)) == fits


@pytest.mark.parametrize(
    ("target", "source", "fits"),
    [
        (TableColumn("t", pa.string(), length=5), TableColumn("s", pa.string(), length=5), True),
        (TableColumn("t", pa.string(), length=5), TableColumn("s", pa.string(), length=6), False),
        (TableColumn("t", pa.string(), length=5), TableColumn("s", pa.string()), False),
        (TableColumn("t", pa.string()), TableColumn("s", pa.date32()), True),
        (TableColumn("t", pa.string(), length=4), TableColumn("s", pa.int8()), True),
        (TableColumn("t", pa.string(), length=3), TableColumn("s", pa.int8()), False),
        (TableColumn("t", pa.string(), length=36, is_checked=True), TableColumn("s", pa.string(), length=36), False),
        (TableColumn("t", pa.binary(), length=4), TableColumn("s", pa.binary(4)), True),
        (TableColumn("t", pa.binary()), TableColumn("s", pa.string()), False),
        (TableColumn("t", pa.int64()), TableColumn("s", pa.string()), False),
        (TableColumn("t", pa.int64()), TableColumn("s", pa.float64()), False),
        (TableColumn("t", pa.float64()), TableColumn("s", pa.int32()), True),
        (TableColumn("t", pa.float64()), TableColumn("s", pa.int64()), False),
        (TableColumn("t", pa.float64()), TableColumn("s", pa.decimal128(5, 2)), False),
        (TableColumn("t", pa.float32()), TableColumn("s", pa.float64()), False),
        (TableColumn("t", pa.decimal128(38, 10)), TableColumn("s", pa.float64()), False),
        (TableColumn("t", pa.timestamp("us")), TableColumn("s", pa.date32()), True),
        (TableColumn("t", pa.date32()), TableColumn("s", pa.timestamp("us")), False),
        (TableColumn("t", pa.timestamp("us"), fraction_digits=3), TableColumn("s", pa.timestamp("us")), False),
        (TableColumn("t", pa.timestamp("us")), TableColumn("s", pa.timestamp("us", "UTC"), fraction_digits=3), True),
        (TableColumn("t", pa.time64("us")), TableColumn("s", pa.duration("us")), False),
        (TableColumn("t", pa.duration("us")), TableColumn("s", pa.time64("us")), True),
    ],
)
def test_other_types(target: TableColumn, source: TableColumn, fits: bool) -> None:
    assert holds_all(target, source) == fits


def test_the_same_type_of_the_same_product_holds_its_values() -> None:
    column = TableColumn("t", pa.string(), declared=("PostgreSQL", "uuid"), is_checked=True)
    assert holds_all(column, TableColumn("s", pa.string(), declared=("PostgreSQL", "uuid")))
