"""Whether a column of one table holds every value of a column of another one."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pyarrow as pa

from airflow_provider_flinkx.plugins.base import UTF_8, UTF_16, TableColumn
from airflow_provider_flinkx.plugins.relational.tables import is_bytes, is_text

_DIGITS = {8: 3, 16: 5, 32: 10, 64: 19}
_UINT64_DIGITS = 20
#: Whole numbers up to 2 to the power of these are floats without a loss.
_MANTISSA_BITS = {32: 24, 64: 53}
_FINEST_DIGITS = 6
#: Encoding of a target -> of a source -> what one unit of the source's length takes at most in the target.
_WIDEST: Mapping[str | None, Mapping[str | None, int]] = {
    None: {UTF_16: 1, UTF_8: 1},
    UTF_16: {None: 2, UTF_8: 1},
    UTF_8: {None: 4, UTF_16: 3},
}
_WIDEST_OF_A_CODE_PAGE: Mapping[str | None, int] = {None: 1, UTF_16: 1, UTF_8: 3}


def holds_all(target: TableColumn, source: TableColumn) -> bool:
    """Whether the target's type has every value of the source's; a null is left to the rows that have one.

    Instants and wall clocks hold each other by the job's time zone. Extremes that only one product's dates and numbers
    have (infinity, year 20000) are left to the rows too.
    """
    if source.declared is not None and source.declared == target.declared:
        return True
    if target.is_uuid:
        return source.is_uuid
    if target.exact_digits is not None:
        return _digits(source.type) <= target.exact_digits
    if target.is_checked:
        return False
    kind = target.type
    if is_text(kind):
        return _holds_text(target, source)
    if is_bytes(kind):
        return is_bytes(source.type) and (target.length is None or _fits_length(target.length, _byte_count(source)))
    if pa.types.is_temporal(kind):
        return _holds_times(target, source)
    return _holds_numbers(kind, source.type)


def _holds_text(target: TableColumn, source: TableColumn) -> bool:
    if not is_text(source.type) or source.is_uuid or source.encoding == target.encoding:
        needed = _characters(source)  # of numbers in every encoding alike
    elif target.encoding not in _WIDEST:
        return False  # a code page has its own characters only
    else:
        widest = _WIDEST[target.encoding].get(source.encoding, _WIDEST_OF_A_CODE_PAGE[target.encoding])
        needed = None if source.length is None else source.length * widest
    return target.length is None or _fits_length(target.length, needed)


def _fits_length(most: int, needed: int | None) -> bool:
    return needed is not None and needed <= most


def _byte_count(column: TableColumn) -> int | None:
    return int(column.type.byte_width) if pa.types.is_fixed_size_binary(column.type) else column.length


def _characters(column: TableColumn) -> int | None:
    """Characters of the longest text of a column's values; None when there is no limit."""
    kind = column.type
    if is_text(kind):
        return column.length
    if pa.types.is_boolean(kind):
        return len("false")
    if pa.types.is_decimal(kind):
        return int(kind.precision) + len("-0.")
    if pa.types.is_integer(kind):
        return _integer_digits(kind) + int(pa.types.is_signed_integer(kind))
    return None


def _integer_digits(kind: pa.DataType) -> int:
    return _UINT64_DIGITS if kind == pa.uint64() else _DIGITS[kind.bit_width]


def _holds_times(target: TableColumn, source: TableColumn) -> bool:
    kind, given = target.type, source.type
    if pa.types.is_date(given):
        return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))
    same = pa.types.is_timestamp(kind) and pa.types.is_timestamp(given)
    same = same or (pa.types.is_time(kind) and pa.types.is_time(given))
    same = same or (pa.types.is_duration(kind) and (pa.types.is_duration(given) or pa.types.is_time(given)))
    return bool(same) and _fraction(source) <= _fraction(target)


def _fraction(column: TableColumn) -> int:
    return _FINEST_DIGITS if column.fraction_digits is None else column.fraction_digits


def _holds_numbers(kind: pa.DataType, given: pa.DataType) -> bool:
    if kind.equals(given) or (pa.types.is_boolean(given) and _is_exact(kind)):
        return True
    if pa.types.is_floating(kind):
        if pa.types.is_floating(given):
            return bool(given.bit_width <= kind.bit_width)
        return bool(pa.types.is_integer(given) and given.bit_width <= _MANTISSA_BITS[kind.bit_width])
    if pa.types.is_decimal(kind):
        whole, scale = _places(given)
        return whole is not None and whole <= kind.precision - kind.scale and scale <= kind.scale
    return bool(pa.types.is_integer(kind)) and _integer_holds(kind, given)


def _is_exact(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def _digits(kind: pa.DataType) -> float:
    """Digits of an exact number; infinite for what is none."""
    if pa.types.is_boolean(kind):
        return 1
    if pa.types.is_decimal(kind):
        return int(kind.precision) + max(0, -int(kind.scale))
    return _integer_digits(kind) if pa.types.is_integer(kind) else math.inf


def _places(kind: pa.DataType) -> tuple[int | None, int]:
    """Digits before and behind the point; None for what is no exact number."""
    if pa.types.is_decimal(kind):
        return kind.precision - kind.scale, kind.scale
    return (_integer_digits(kind), 0) if pa.types.is_integer(kind) else (None, 0)


def _integer_holds(kind: pa.DataType, given: pa.DataType) -> bool:
    if pa.types.is_integer(given):
        low, high = _range(given)
        least, most = _range(kind)
        return least <= low and high <= most
    whole, scale = _places(given)
    # 99 fits into what holds 127.
    return whole is not None and scale == 0 and 10**whole - 1 <= _range(kind)[1] and pa.types.is_signed_integer(kind)


def _range(kind: pa.DataType) -> tuple[int, int]:
    bits = kind.bit_width
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if pa.types.is_signed_integer(kind) else (0, (1 << bits) - 1)
