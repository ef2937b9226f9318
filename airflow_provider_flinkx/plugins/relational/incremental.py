"""Bounds of an incremental read (job.md §8): from `startLocation` to the greatest value there is now.

The upper bound is asked once, before the splits are made, so that all splits share it and `endLocation` is known
before the first row is read. Times are reported as an epoch in microseconds (16 digits), so nothing of them is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_UNITS = {10: 1_000_000, 13: 1_000, 16: 1}


class Bounds(NamedTuple):
    """Conditions of an incremental read, and what it reports as its location."""

    conditions: tuple[str, ...]
    location: Mapping[str, str]


def location_to_text(location: str, kind: pa.DataType, zone: str) -> str:
    """A `startLocation` as the database writes a value of `kind`.

    Digits for a column of date or time are an epoch: 10 are seconds, 13 ms, 16 µs, 19 ns.
    """
    if not pa.types.is_temporal(kind) or not location.isdigit():
        return location
    if len(location) == 19:
        microseconds = int(location) // 1000
    elif len(location) in _UNITS:
        microseconds = int(location) * _UNITS[len(location)]
    else:
        return location
    moment = _EPOCH + timedelta(microseconds=microseconds)
    if pa.types.is_timestamp(kind) and kind.tz:
        return moment.strftime("%Y-%m-%d %H:%M:%S.%f+00:00")
    local = moment.astimezone(ZoneInfo(zone))
    return local.strftime("%Y-%m-%d" if pa.types.is_date(kind) else "%Y-%m-%d %H:%M:%S.%f")


def text_to_location(text: str, kind: pa.DataType, zone: str) -> str:
    """The greatest value as it is reported: an epoch in µs for date and time, else the text itself."""
    if not pa.types.is_timestamp(kind) and not pa.types.is_date(kind):
        return text
    try:
        # PostgreSQL cuts trailing zeros of a fraction, and minutes of an offset: neither is read by Python 3.10.
        moment = datetime.fromisoformat(_padded(text))
    except ValueError:
        return text
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc if getattr(kind, "tz", None) else ZoneInfo(zone))
    digits = str((moment - _EPOCH) // timedelta(microseconds=1))
    return digits if len(digits) == 16 and digits.isdigit() else text


def _padded(text: str) -> str:
    moment, plus, offset = text.partition("+")
    whole, point, fraction = moment.partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > 6:
        raise ValueError("finer than a microsecond")  # newer versions of Python would cut it
    moment = f"{whole}.{fraction.ljust(6, '0')}" if point else whole
    return f"{moment}+{offset if ':' in offset else offset + ':00'}" if plus else moment
