"""Brings a column to what a column of SQL Server takes, and finds the values that it would change without an error.

SQL Server rounds seconds, replaces characters that a code page lacks by question marks, fills short binary values with
zeros, cuts blanks at the end of a text that is too long, and reads a uuid from the start of a longer text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_flinkx.plugins.conversion import convert, to_text
from airflow_provider_flinkx.plugins.relational.fitting import FittedColumn, too_fine, with_texts
from airflow_provider_flinkx.plugins.sqlserver.types import TargetColumn

_UUID = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
#: Characters that take two units of UTF-16.
_WIDE_CHARACTERS = r"[\x{10000}-\x{10FFFF}]"
_CODECS = {65001: "utf-8", 936: "gbk"}
#: A moment with up to seven digits of a second, and perhaps an offset from UTC.
_MOMENT = re.compile(r"(?:(\d{4}-\d\d-\d\d)[ T])?(\d\d:\d\d:\d\d)(?:\.(\d{1,7})0*)? ?(Z|[+-]\d\d:\d\d)?")
_MONEY = {"money": Decimal("922337203685477.5807"), "smallmoney": Decimal("214748.3647")}
_STEP = Decimal("0.0001")
_DAY = 86_400_000_000
#: First day or microsecond and the one after the last, since 1970.
_RANGES = {
    "date": (-719_162, 2_932_897),
    "datetime": (-6_847_804_800_000_000, 2_932_897 * _DAY),  # 1753
    "smalldatetime": (-2_208_988_800_000_000, 3_453_321_600_000_000),  # 1900 to 6 June 2079
    "datetime2": (-719_162 * _DAY, 2_932_897 * _DAY),
    "datetimeoffset": (-719_162 * _DAY, 2_932_897 * _DAY),
}


def fit_column(column: TargetColumn, zone: str, array: pa.Array) -> FittedColumn:
    """A column as it is loaded into the staging table.

    Args:
        column: the target.
        zone: the job's time zone.
        array: the values.
    """
    if column.is_temporal:
        return _fit_moments(column, zone, array)
    fitted, failures = convert(array, column.arrow, timezone=zone)
    if pa.types.is_floating(fitted.type):
        finite = pc.is_finite(fitted).fill_null(True)
        failures |= _where(pc.invert(finite), fitted, "{} is no number that SQL Server knows")
    elif column.type_name in _MONEY:
        most = pa.scalar(_MONEY[column.type_name], fitted.type)
        # The least value has one more ten-thousandth than the greatest.
        outside = pc.or_(pc.greater(fitted, most), pc.less(fitted, pa.scalar(-most.as_py() - _STEP, fitted.type)))
        failures |= _where(outside, fitted, f"outside of the range of {column.type_name}")
    elif column.type_name == "uniqueidentifier":
        failures |= _where(pc.invert(pc.match_substring_regex(fitted, _UUID)), fitted, "{!r} is not a uuid")
    elif pa.types.is_string(fitted.type):
        failures |= _wrong_texts(column, fitted)
    elif pa.types.is_binary(fitted.type):
        failures |= _wrong_bytes(column, fitted)
    return FittedColumn(fitted, failures)


def _fit_moments(column: TargetColumn, zone: str, array: pa.Array) -> FittedColumn:
    fitted, failures = convert(array, column.arrow, timezone=zone)
    failures |= _out_of_range(column, fitted) | too_fine(fitted, column.seconds_digits)
    if column.type_name == "datetime":
        failures |= _off_the_ticks(fitted)
    if column.type_name == "smalldatetime":
        failures |= _off_the_minute(fitted)
    texts = _exact_texts(column, zone, array, failures)
    failures = {position: message for position, message in failures.items() if position not in texts}
    if not texts:
        return FittedColumn(fitted, failures)
    source = pa.array([texts.get(position) for position in range(len(array))], pa.string())
    whole = with_texts(to_text(_without(fitted, failures), timezone="UTC"), source, list(texts))
    # The form with T means the same under every setting of the server.
    return FittedColumn(pc.replace_substring(whole, " ", "T"), failures, as_text=True)


def _exact_texts(column: TargetColumn, zone: str, array: pa.Array, failures: dict[int, str]) -> dict[int, str]:
    """Texts that the server itself reads, of values that Arrow has no type for: 100 ns, offsets from UTC."""
    if column.type_name not in ("time", "datetime2", "datetimeoffset"):
        return {}
    with_offset = column.type_name == "datetimeoffset"
    candidates = set(failures) if column.scale == 7 else set()
    if pa.types.is_string(array.type) and with_offset:
        candidates |= set(np.flatnonzero(pc.match_substring_regex(array, r"[+-]\d\d:\d\d$").fill_null(False)).tolist())
    found: dict[int, str] = {}
    for position in sorted(candidates):
        piece = array.slice(position, 1)
        match = _MOMENT.fullmatch(str(to_text(piece, timezone=zone)[0].as_py()).strip())
        if match is None or bool(match[4]) > with_offset or len((match[3] or "").rstrip("0")) > column.scale:
            continue
        if match[4] is None and with_offset:
            continue
        day, clock, fraction, offset = match.groups()
        shorter = f"{day} {clock}" if day else clock
        # The server must not find fault with it: a failed conversion would end the transaction.
        if convert(pa.array([f"{shorter}{offset or ''}"]), column.arrow, timezone=zone).failures:
            continue
        found[position] = f"{shorter}{'.' + fraction if fraction else ''}{offset or ''}"
    return found


def _wrong_texts(column: TargetColumn, array: pa.Array) -> dict[int, str]:
    failures: dict[int, str] = {}
    if column.code_page is not None:
        failures |= _not_in_code_page(column, array)
    most = column.most_characters
    if most is None or column.code_page is not None:
        return failures
    units = pc.add(pc.utf8_length(array), pc.count_substring_regex(array, _WIDE_CHARACTERS))
    return failures | _where(pc.greater(units, most), array, f"longer than the {most} characters of the column")


def _not_in_code_page(column: TargetColumn, array: pa.Array) -> dict[int, str]:
    """Texts that the column's code page lacks or that are too long in it; characters of ASCII are one byte in all."""
    codec = _CODECS.get(column.code_page or 0, f"cp{column.code_page}")
    most = column.most_characters
    plain = pc.string_is_ascii(array).fill_null(True)
    failures = {}
    for position in np.flatnonzero(~plain.to_numpy(zero_copy_only=False)):
        try:
            size = len(array[int(position)].as_py().encode(codec))
        except UnicodeEncodeError as error:
            failures[int(position)] = f"{error.object[error.start]!r} is not in code page {column.code_page}"
            continue
        if most is not None and size > most:
            failures[int(position)] = f"{size} bytes in a column of {most}"
    if most is not None:
        failures |= _where(pc.greater(pc.binary_length(array), most), array, f"longer than {most} bytes", only=plain)
    return failures


def _wrong_bytes(column: TargetColumn, array: pa.Array) -> dict[int, str]:
    if column.length < 0 or column.type_name not in ("binary", "varbinary"):
        return {}
    sizes = pc.binary_length(array)
    failures = _where(pc.greater(sizes, column.length), array, f"longer than the {column.length} bytes of the column")
    if column.type_name == "binary":
        message = f"shorter than the {column.length} bytes of the column, which would fill it with zeros"
        failures |= _where(pc.less(sizes, column.length), array, message)
    return failures


def _out_of_range(column: TargetColumn, array: pa.Array) -> dict[int, str]:
    if column.type_name not in _RANGES:
        return {}
    numbers = array.view(pa.int32() if pa.types.is_date32(array.type) else pa.int64())
    first, end = _RANGES[column.type_name]
    outside = pc.or_(pc.less(numbers, first), pc.greater_equal(numbers, end))
    return _where(outside, array, f"outside of the years of {column.type_name}")


def _off_the_ticks(array: pa.Array) -> dict[int, str]:
    """Datetime keeps 1/300 s, which are written as milliseconds that end in 0, 3 and 7."""
    return _numbers_where(
        array, lambda numbers: ~np.isin(numbers % 10_000, (0, 3_000, 7_000)), "datetime keeps 1/300 of a second"
    )


def _off_the_minute(array: pa.Array) -> dict[int, str]:
    return _numbers_where(array, lambda numbers: numbers % 60_000_000 != 0, "smalldatetime keeps whole minutes")


def _numbers_where(array: pa.Array, is_wrong: Callable[[Any], Any], message: str) -> dict[int, str]:
    numbers = array.view(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return {int(at): f"{message}, the value is finer" for at in np.flatnonzero(is_wrong(numbers))}


def _where(condition: pa.Array, array: pa.Array, message: str, *, only: pa.Array | None = None) -> dict[int, str]:
    if only is not None:
        condition = pc.and_(condition, only)
    places = np.flatnonzero(condition.fill_null(False).to_numpy(zero_copy_only=False))
    return {int(at): message.format(array[int(at)].as_py()) if "{" in message else message for at in places}


def _without(array: pa.Array, failures: dict[int, str]) -> pa.Array:
    """Null in place of what failed, which may have no text."""
    if not failures:
        return array
    failed = np.zeros(len(array), dtype=bool)
    failed[list(failures)] = True
    return pc.if_else(pa.array(failed), pa.scalar(None, array.type), array)
