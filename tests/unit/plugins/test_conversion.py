"""The conversion table, checked value by value against plain Python."""

from __future__ import annotations

import math
import struct
from datetime import date, datetime, time, timezone
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_flinkx.exceptions import JobInvalidError
from airflow_provider_flinkx.jobs.model import Column
from airflow_provider_flinkx.plugins import date_text
from airflow_provider_flinkx.plugins.base import Category
from airflow_provider_flinkx.plugins.conversion import (
    Converted,
    _Conversion,
    apply_columns,
    arrow_type,
    conform,
    convert,
    json_row,
    to_text,
)

INTEGERS = {
    pa.int8(): 8, pa.int16(): 16, pa.int32(): 32, pa.int64(): 64,
}  # fmt: skip
ANY_INT64 = st.integers(-(2**63), 2**63 - 1)
DECIMALS = st.decimals(min_value=Decimal(-(10**20)), max_value=Decimal(10**20), allow_nan=False, places=9)
NUMBER_TEXT = st.from_regex(r"[ \t]?[+-]?[0-9]{0,12}(\.[0-9]{0,6})?([eE][+-]?[0-9]{1,3})?[ \t]?", fullmatch=True)
US = pa.timestamp("us")
settings.register_profile("conversion", max_examples=40, deadline=None)
settings.load_profile("conversion")
UTC = pa.timestamp("us", "UTC")


def to(values: list[Any], target: pa.DataType, source: pa.DataType | None = None, **options: Any) -> Converted:
    return convert(pa.array(values, source), target, timezone=options.pop("timezone", "UTC"), **options)


def check(result: Converted, expected: list[Any]) -> None:
    """`expected` holds an exception class where a failure is wanted."""
    failing = {at for at, value in enumerate(expected) if isinstance(value, type)}
    assert set(result.failures) == failing, result
    assert result.array.to_pylist() == [None if isinstance(value, type) else value for value in expected]


def fits(value: Decimal, precision: int, scale: int) -> bool:
    with localcontext() as context:
        context.prec = 160
        return value == value.quantize(Decimal(1).scaleb(-scale)) and abs(value) < Decimal(10) ** (precision - scale)


def as_decimal(text: str) -> Decimal | None:
    stripped = text.strip(" \t\n\r\v\f")
    if stripped != stripped.strip():
        return None  # Decimal passes over separators, which are no blanks in ASCII
    try:
        return Decimal(stripped)
    except InvalidOperation:
        return None


@given(st.lists(st.none() | ANY_INT64 | st.integers(-200, 200)), st.sampled_from(list(INTEGERS)))
def test_integer_to_integer(values: list[int | None], target: pa.DataType) -> None:
    bits = INTEGERS[target]
    expected = [v if v is None or -(2 ** (bits - 1)) <= v < 2 ** (bits - 1) else ValueError for v in values]
    check(to(values, target, pa.int64()), expected)


@given(st.lists(ANY_INT64 | st.integers(-(2**53) - 2, 2**53 + 2)))
def test_integer_to_float_keeps_every_digit(values: list[int]) -> None:
    check(to(values, pa.float64(), pa.int64()), [float(v) if abs(v) <= 2**53 else ValueError for v in values])


@given(
    st.lists(ANY_INT64 | st.integers(-2000, 2000)),
    st.integers(1, 38).flatmap(lambda p: st.tuples(st.just(p), st.integers(0, p))),
)
@example([-(2**63), 2**63 - 1], (38, 38))
@example([2**63 - 1], (38, 24))
def test_integer_to_decimal(values: list[int], digits: tuple[int, int]) -> None:
    expected = [Decimal(v) if abs(v) < 10 ** (digits[0] - digits[1]) else ValueError for v in values]
    check(to(values, pa.decimal128(*digits), pa.int64()), expected)


@given(st.lists(st.floats() | st.integers(-300, 300).map(float)), st.sampled_from(list(INTEGERS)))
def test_float_to_integer_is_exact(values: list[float], target: pa.DataType) -> None:
    half = 2 ** (INTEGERS[target] - 1)
    ok = [math.isfinite(v) and v == int(v) and -half <= int(v) < half for v in values]
    check(
        to(values, target, pa.float64()), [int(v) if good else ValueError for v, good in zip(values, ok, strict=True)]
    )


@given(st.lists(st.floats(allow_nan=False) | st.floats(width=32, allow_nan=False)))
def test_double_to_float_is_exact(values: list[float]) -> None:
    def single(value: float) -> Any:
        try:
            narrow = struct.unpack("f", struct.pack("f", value))[0]
        except OverflowError:
            return ValueError
        return narrow if narrow == value else ValueError

    check(to(values, pa.float32(), pa.float64()), [single(v) for v in values])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)))
def test_float_to_decimal_is_its_shortest_text(values: list[float]) -> None:
    expected = [Decimal(repr(v)) if fits(Decimal(repr(v)), 38, 10) else ValueError for v in values]
    check(to(values, pa.decimal128(38, 10), pa.float64()), expected)


@given(st.lists(DECIMALS), st.sampled_from([(5, 2), (20, 0), (38, 9), (12, 12), (30, 4)]))
def test_decimal_to_decimal(values: list[Decimal], digits: tuple[int, int]) -> None:
    expected = [v if fits(v, *digits) else ValueError for v in values]
    check(to(values, pa.decimal128(*digits), pa.decimal128(38, 9)), expected)


@st.composite
def decimals_and_digits(draw: st.DrawFn) -> tuple[list[Decimal], tuple[int, int], tuple[int, int]]:
    """Decimals of any width, their digits, and others: precision and scale."""
    source, target = (
        draw(st.integers(1, 76).flatmap(lambda p: st.tuples(st.just(p), st.integers(0, p)))) for _ in range(2)
    )
    units = draw(st.lists(st.integers(0, source[0]).flatmap(lambda n: st.integers(-(10**n) + 1, 10**n - 1))))
    with localcontext() as context:
        context.prec = 80
        return [Decimal(unit).scaleb(-source[1]) for unit in units], source, target


def decimal_type(precision: int, scale: int) -> pa.DataType:
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


# Arrow's own casts make other numbers of these, without an error.
WRAPPED = [
    ([Decimal("68.986")], (6, 3), (38, 38)),
    ([Decimal("-8798453344000805034321958755.799")], (31, 3), (38, 24)),
    ([Decimal(10**75)], (76, 0), (76, 70)),
]


@given(decimals_and_digits())
@example(WRAPPED[0])
@example(WRAPPED[1])
@example(WRAPPED[2])
@settings(max_examples=300)
def test_decimals_of_any_width_and_their_texts(
    case: tuple[list[Decimal], tuple[int, int], tuple[int, int]],
) -> None:
    values, source, digits = case
    with localcontext() as context:
        context.prec = 160
        expected = [v if fits(v, *digits) else ValueError for v in values]
        check(to(values, decimal_type(*digits), decimal_type(*source)), expected)
        check(to([format(v, "f") for v in values], decimal_type(*digits), pa.string()), expected)


@given(st.lists(DECIMALS))
def test_decimal_to_integer(values: list[Decimal]) -> None:
    expected = [int(v) if v == int(v) and -(2**63) <= v < 2**63 else ValueError for v in values]
    check(to(values, pa.int64(), pa.decimal128(38, 9)), expected)


@given(st.lists(DECIMALS))
def test_decimal_to_float_is_the_nearest(values: list[Decimal]) -> None:
    check(to(values, pa.float64(), pa.decimal128(38, 9)), [float(v) for v in values])


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-1000, max_value=1000)))
def test_decimal_to_text_has_no_exponent(values: list[Decimal]) -> None:
    check(
        to(values, pa.string(), pa.decimal128(38, 12)),
        [format(v, "f").replace("-0.000000000000", "0.000000000000") for v in values],
    )


@given(st.lists(NUMBER_TEXT | ANY_INT64.map(str) | st.text(max_size=5)))
@example(["", "1E-50"])
def test_text_to_integer(values: list[str]) -> None:
    def expected(text: str) -> Any:
        number = as_decimal(text) if text.isascii() else None
        whole = number is not None and number.is_finite() and "_" not in text and number == number.to_integral_value()
        return int(number) if whole and -(2**31) <= number < 2**31 else ValueError  # type: ignore[operator, arg-type]

    check(to(values, pa.int32(), pa.string()), [expected(text) for text in values])


@given(st.lists(NUMBER_TEXT | st.text(max_size=5)))
@example(["", "0E40"])
@example(["0\x1f"])
def test_text_to_decimal(values: list[str]) -> None:
    def expected(text: str) -> Any:
        number = as_decimal(text) if text.isascii() else None
        good = number is not None and number.is_finite() and "_" not in text and abs(number) < 10**40
        return number if good and fits(number, 20, 4) else ValueError  # type: ignore[arg-type]

    check(to(values, pa.decimal128(20, 4), pa.string()), [expected(text) for text in values])


@given(
    st.lists(
        NUMBER_TEXT.filter(lambda text: as_decimal(text) is not None)
        | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    )
)
def test_text_to_float_is_the_nearest(values: list[str]) -> None:
    def expected(text: str) -> Any:
        number = float(text)
        vanished = number == 0 and Decimal(text.strip()) != 0
        return ValueError if math.isinf(number) or vanished else number

    check(to(values, pa.float64(), pa.string()), [expected(text) for text in values])


def test_text_to_float_neither_overflows_nor_vanishes() -> None:
    texts = ["1e400", "1e-400", "Infinity", "-inf", "0e-999", "x", "0x1p3", "1_0", ""]
    check(to(texts, pa.float64()), [ValueError, ValueError, math.inf, -math.inf, 0.0, *[ValueError] * 4])
    assert math.isnan(to(["NaN"], pa.float64()).array[0].as_py())


def test_no_hexadecimal_and_no_other_digits() -> None:
    check(to(["0x10", "٣", "1_0", "--1", "+-1", "7"], pa.int64()), [*[ValueError] * 5, 7])


def test_bool() -> None:
    check(to(["true", "T", " 1 ", "False", "f", "0", "yes", "", None], pa.bool_()),
          [True, True, True, False, False, False, ValueError, ValueError, None])  # fmt: skip
    check(to([0, 1, 2, -1, None], pa.bool_()), [False, True, ValueError, ValueError, None])
    check(to([True, False, None], pa.int16()), [1, 0, None])
    check(to([True, False, None], pa.decimal128(3, 2)), [Decimal(1), Decimal(0), None])
    check(to([True, False, None], pa.string()), ["true", "false", None])


def test_text_and_bytes() -> None:
    check(to([b"\xc3\xa4", b"\xff", b""], pa.string()), ["ä", ValueError, ""])
    check(to(["ä", ""], pa.binary()), ["ä".encode(), b""])
    check(to([1, None], pa.binary()), [ValueError, None])


NAIVE = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30))


@given(st.lists(NAIVE))
def test_timestamp_to_text_and_back(values: list[datetime]) -> None:
    texts = to(values, pa.string(), US).array
    expected = [v.isoformat(" ").rstrip("0") if v.microsecond else v.isoformat(" ") for v in values]
    assert texts.to_pylist() == expected
    check(convert(texts, US, timezone="UTC"), list(values))


@given(
    st.lists(st.datetimes(datetime(1900, 1, 2), datetime(9999, 1, 1))),
    st.sampled_from(["UTC", "Asia/Shanghai", "Europe/Berlin", "America/St_Johns"]),
)
def test_instants_to_text_and_back_in_any_zone(values: list[datetime], zone: str) -> None:
    instants = [v.replace(tzinfo=timezone.utc) for v in values]
    texts = to(instants, pa.string(), UTC, timezone=zone).array
    check(convert(texts, UTC, timezone="Asia/Tokyo"), instants)
    walls = [v.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for v in instants]
    check(to(instants, US, UTC, timezone=zone), walls)


@given(st.lists(st.datetimes(datetime(1950, 1, 2), datetime(2199, 1, 1))), st.sampled_from(["UTC", "Europe/Berlin"]))
def test_wall_clock_to_instant(values: list[datetime], zone: str) -> None:
    def expected(wall: datetime) -> Any:
        both = {wall.replace(tzinfo=ZoneInfo(zone), fold=fold).utcoffset() for fold in (0, 1)}
        return wall.replace(tzinfo=ZoneInfo(zone)).astimezone(timezone.utc) if len(both) == 1 else ValueError

    check(to(values, UTC, US, timezone=zone), [expected(v) for v in values])
    check(to([v.isoformat(" ") for v in values], UTC, pa.string(), timezone=zone), [expected(v) for v in values])


def test_skipped_and_doubled_hours_are_failures() -> None:
    hours = [datetime(2021, 3, 28, 2, 30), datetime(2021, 10, 31, 2, 30), datetime(2021, 6, 1)]
    midday = datetime(2021, 5, 31, 22, tzinfo=timezone.utc)
    check(to(hours, UTC, US, timezone="Europe/Berlin"), [ValueError, ValueError, midday])


@given(st.lists(st.dates()))
def test_dates(values: list[date]) -> None:
    texts = to(values, pa.string(), pa.date32())
    check(texts, [v.isoformat() for v in values])
    check(convert(texts.array, pa.date32(), timezone="UTC"), list(values))
    check(to(values, US, pa.date32()), [datetime.combine(v, time()) for v in values])


@given(st.lists(NAIVE | st.dates(date(1, 1, 2), date(9999, 12, 30)).map(lambda d: datetime.combine(d, time()))))
def test_timestamp_to_date_at_midnight_only(values: list[datetime]) -> None:
    check(to(values, pa.date32(), US), [v.date() if v.time() == time() else ValueError for v in values])


def test_utc_midnight_is_that_of_the_zone() -> None:
    instants = [datetime(2020, 1, 1, 16, tzinfo=timezone.utc), datetime(2020, 1, 1, tzinfo=timezone.utc)]
    check(to(instants, pa.date32(), UTC, timezone="Asia/Shanghai"), [date(2020, 1, 2), ValueError])
    check(to([date(2020, 1, 2)], UTC, pa.date32(), timezone="Asia/Shanghai"), [instants[0]])


@given(st.lists(st.times()))
def test_times(values: list[time]) -> None:
    texts = to(values, pa.string(), pa.time64("us")).array
    check(convert(texts, pa.time64("us"), timezone="UTC"), list(values))


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_nanoseconds_to_microseconds_only_when_exact(values: list[int]) -> None:
    array = pa.array(values, pa.int64()).view(pa.timestamp("ns"))
    result = convert(array, US, timezone="UTC")
    assert set(result.failures) == {at for at, value in enumerate(values) if value % 1000}
    assert result.array.cast(pa.int64()).to_pylist() == [None if v % 1000 else v // 1000 for v in values]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2018-12-17 10:11:12", datetime(2018, 12, 17, 10, 11, 12)),
        ("2018-12-17T10:11:12.5", datetime(2018, 12, 17, 10, 11, 12, 500000)),
        ("2018-12-17", datetime(2018, 12, 17)),
        ("20181217101112", datetime(2018, 12, 17, 10, 11, 12)),
        ("10:11:12", datetime(1970, 1, 1, 10, 11, 12)),
        ("2018", datetime(2018, 1, 1)),
        ("17882", datetime(2018, 12, 17)),
        ("1545036672", datetime(2018, 12, 17, 16, 51, 12)),
        ("1545036672123", datetime(2018, 12, 17, 16, 51, 12, 123000)),
        ("1545036672123456", datetime(2018, 12, 17, 16, 51, 12, 123456)),
        ("1545036672123456000", datetime(2018, 12, 17, 16, 51, 12, 123456)),
        ("2018-12-17 10:11:12Z", datetime(2018, 12, 17, 18, 11, 12)),
        ("1545036672123456001", ValueError),
        ("20181217", ValueError),
        ("2018-02-30", ValueError),
        ("2018-12-17 24:00:00", ValueError),
        ("0000-00-00 00:00:00", ValueError),
        ("infinity", ValueError),
        ("", ValueError),
    ],
)
def test_text_to_timestamp_by_the_built_in_patterns(text: str, expected: Any) -> None:
    check(to([text], US, timezone="Asia/Shanghai"), [expected])


def test_integers_are_epoch_numbers_for_dates() -> None:
    check(to([17882, 1545036672000], US), [datetime(2018, 12, 17), datetime(2018, 12, 17, 8, 51, 12)])
    check(to([17882, -1, 12345678901], pa.date32()), [date(2018, 12, 17), date(1969, 12, 31), ValueError])


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("dd/MM/yyyy", "31/01/2020", datetime(2020, 1, 31)),
        ("yyyyMMddHHmmssSSS", "20200131235958123", datetime(2020, 1, 31, 23, 59, 58, 123000)),
        ("yyyy-MM-dd'T'HH:mm:ss.SSSSSS", "2020-01-31T23:59:58.123456", datetime(2020, 1, 31, 23, 59, 58, 123456)),
        ("dd MMM yyyy hh:mm a", "31 Jan 2020 11:59 PM", datetime(2020, 1, 31, 23, 59)),
        ("EEE, d MMMM yy", "Fri, 31 january 20", datetime(2020, 1, 31)),
        ("yyyy-MM-dd HH:mm Z", "2020-01-31 08:00 +0800", datetime(2020, 1, 31)),
        ("'''at' HH", "'at 07", datetime(1970, 1, 1, 7)),
        ("yyyy-MM-dd", "2020-02-30", ValueError),
        ("yyyy-MM-dd", "31.01.2020", ValueError),
    ],
)
def test_text_to_timestamp_by_a_format(pattern: str, text: str, expected: Any) -> None:
    check(to([text, None], US, format=pattern), [expected, None])


def test_date_to_text_by_a_format() -> None:
    moments = [datetime(2020, 1, 31, 23, 5, 6, 123456), None]
    assert to(moments, pa.string(), US, format="dd/MM/yy hh:mm:ss.SSS a").array.to_pylist() == [
        "31/01/20 11:05:06.123 PM",
        None,
    ]
    check(to(["2020-01-31", "x"], pa.string(), format="yyyyMMdd"), ["20200131", ValueError])


def test_an_unknown_pattern_letter_is_an_error_of_the_job() -> None:
    with pytest.raises(JobInvalidError, match="'Q'"):
        to(["1"], US, format="yyyy-QQ")


@given(st.lists(st.integers(0, 99_999), max_size=6), st.integers(1, 3000))
def test_failures_are_found_wherever_they_are(bad: list[int], size: int) -> None:
    values = [str(number) for number in range(size)]
    places = {place % size for place in bad}
    for place in places:
        values[place] = "x"
    result = to(values, pa.int64(), pa.string())
    assert set(result.failures) == places
    assert result.array.to_pylist() == [None if at in places else at for at in range(size)]


def both_ways(array: pa.Array, target: pa.DataType, zone: str = "UTC", pattern: str | None = None) -> None:
    """All at once must give what each value by itself gives: values, failures, messages."""
    at_once = convert(array, target, timezone=zone, format=pattern)
    one_by_one = _Conversion(array.type, target, zone, pattern).one_by_one(array)
    assert at_once.failures == one_by_one.failures
    if pa.types.is_floating(target):  # Not a number equals nothing, itself neither.
        assert repr(at_once.array.to_pylist()) == repr(one_by_one.array.to_pylist())
    else:
        assert at_once.array.equals(one_by_one.array)


DATE_PATTERNS = (
    "yyyy-MM-dd HH:mm:ss", "yyyyMMdd", "yyyyMMddHHmmssSSS", "d.M.yy", "dd/MM/yyyy", "HH:mm:ss.SSS", "HHmm", "yyyy",
    "dd MMM yyyy hh:mm a", "yyyy-MM-dd'T'HH:mm:ss.SSSSSSX", "MM/yyyy", "yyyy'2020'MM", "'100%' yyyy-MM-dd", "''yy''M",
    "EEE, d MMM yyyy HH:mm:ss Z", "ss.S", "yy-MM-dd HH", "yyy/MM", "y.M.d kk",
)  # fmt: skip
ANY_MOMENT = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999))
TEMPORAL = st.sampled_from([US, UTC, pa.timestamp("s"), pa.timestamp("ns"), pa.date32(), pa.time64("us")])
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"])


@given(st.data(), st.sampled_from(DATE_PATTERNS), TEMPORAL, ZONES)
@settings(max_examples=60)
def test_text_by_a_format_at_once_and_one_by_one(data: Any, pattern: str, target: pa.DataType, zone: str) -> None:
    written = st.builds(date_text.pattern(pattern).format, ANY_MOMENT | st.datetimes(datetime(1960, 1, 1)))
    like_it = st.from_regex(r"\s?[0-9]{1,5}[-/. :][0-9]{1,3}[-/. :]?[0-9]{0,4}", fullmatch=True)
    digits = st.from_regex(r"[0-9]{1,18}|0000-00-00 00:00:00|2020-02-30 24:00:60|٢٠٢٠-01-01", fullmatch=True)
    both_ways(pa.array(data.draw(st.lists(written | like_it | digits | st.none())), pa.string()), target, zone, pattern)


@given(st.lists(ANY_MOMENT | st.none()), st.sampled_from(DATE_PATTERNS), ZONES, st.booleans())
@settings(max_examples=60)
def test_dates_by_a_format_at_once_and_one_by_one(
    values: list[datetime | None], pattern: str, zone: str, as_text: bool
) -> None:
    array = pa.array(values, US)
    both_ways(to_text(array, timezone="UTC") if as_text else array, pa.string(), zone, pattern)
    both_ways(array.view(UTC), pa.string(), zone, pattern)
    both_ways(array.cast(pa.date32()), pa.string(), zone, pattern)


ANY_TEXT = st.text(max_size=8) | st.from_regex(r" ?[+-]?[0-9]{0,22}\.?[0-9]{0,3}([eE][0-9]{1,3})?", fullmatch=True)
SURE = [
    (pa.string(), ANY_TEXT | st.sampled_from(["inf", "-Infinity", "NaN", "t", "FALSE", "0x10", "1_000", ".", "+"])),
    (pa.string(), st.sampled_from(["2020-01-01", "2020-01-01 10:00:00+02", "1600000000", "20200101101010", "x"])),
    (pa.int64(), ANY_INT64 | st.integers(-200, 200)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float64(), st.floats() | st.integers(-300, 300).map(float)),
    (US, ANY_MOMENT | st.dates().map(lambda day: datetime(day.year, day.month, day.day))),
    (pa.binary(), st.binary(max_size=4)),
]  # fmt: skip
TARGETS = [
    pa.int8(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.decimal128(10, 2), pa.bool_(), pa.date32(), US,
    UTC, pa.time64("us"), pa.string(),
]  # fmt: skip


@given(st.sampled_from(SURE).flatmap(lambda kind: st.tuples(st.just(kind[0]), st.lists(kind[1] | st.none(), min_size=33,
       max_size=80))), st.sampled_from(TARGETS))  # fmt: skip
@settings(max_examples=100)
def test_failures_are_the_same_at_once_and_one_by_one(
    source: tuple[pa.DataType, list[Any]], target: pa.DataType
) -> None:
    kind, values = source
    if _Conversion(kind, target, "UTC", None).strict is not None:
        both_ways(pa.array(values, kind), target, "Europe/Berlin")


def test_slices_nulls_and_encodings_of_arrow() -> None:
    sliced = pa.array(["x", "1", None, "2"]).slice(1)
    check(convert(sliced, pa.int8(), timezone="UTC"), [1, None, 2])
    check(convert(pa.array(["1", "1"]).dictionary_encode(), pa.int8(), timezone="UTC"), [1, 1])
    check(convert(pa.array(["1"], pa.large_string()), pa.string(), timezone="UTC"), ["1"])
    check(convert(pa.nulls(2), pa.date32(), timezone="UTC"), [None, None])
    check(convert(pa.array([], pa.string()), pa.int8(), timezone="UTC"), [])
    tokyo = pa.array([0], pa.timestamp("ms", "Asia/Tokyo"))
    check(convert(tokyo, US, timezone="UTC"), [datetime(1970, 1, 1)])


@given(st.lists(st.floats()))
def test_floats_as_text_read_back_the_same(values: list[float]) -> None:
    texts = to_text(pa.array(values, pa.float64()), timezone="UTC")
    back = convert(texts, pa.float64(), timezone="UTC")
    assert back.failures == {}
    assert [struct.pack("d", v) for v in back.array.to_pylist()] == [
        struct.pack("d", v if v == v else math.nan) for v in values
    ]


def test_conform_takes_bad_rows_out_and_names_them() -> None:
    batch = pa.RecordBatch.from_arrays(
        [pa.array(["1", "x", None, "4"]), pa.array(["a", "b", "c", "d"])], names=["a", "b"]
    )
    schema = pa.schema([pa.field("n", pa.int32(), nullable=False), pa.field("t", pa.string())])
    rows, rejects, kept = conform(batch, schema, timezone="UTC", field_names=("A", "B"))
    assert rows.to_pydict() == {"n": [1, 4], "t": ["a", "d"]}
    assert [(reject.category, dict(reject.row)) for reject in rejects] == [
        (Category.CONVERSION, {"A": "x", "B": "b"}),
        (Category.NULL, {"A": None, "B": "c"}),
    ]
    assert "column n" in rejects[0].message
    assert kept is not None
    assert kept.tolist() == [0, 3]
    assert conform(batch, batch.schema, timezone="UTC", field_names=("A", "B")).kept is None


def test_json_row() -> None:
    values = {
        "i": pa.array([1]), "f": pa.array([math.nan]), "d": pa.array([Decimal("1.50")]), "b": pa.array([b"\xff\x01"]),
        "t": pa.array([datetime(2020, 1, 1)], US), "n": pa.nulls(1), "o": pa.array([True]), "g": pa.array([0.5]),
        "far": pa.array([10**17 * 8], US),
    }  # fmt: skip
    batch = pa.RecordBatch.from_arrays(list(values.values()), names=list(values))
    assert json_row(batch, 0, list(values)) == {
        "i": 1, "f": "NaN", "d": "1.50", "b": "ff01", "t": "2020-01-01 00:00:00", "n": None, "o": True, "g": 0.5,
        "far": "27320-12-28 06:13:20",
    }  # fmt: skip


def test_apply_columns() -> None:
    batch = pa.RecordBatch.from_arrays(
        [pa.array(["1", "", "x"]), pa.nulls(3), pa.array([None, "b", ""]), pa.array(["1/2/20", "2/2/20", "3/2/20"])],
        names=["a", "b", "c", "d"],
    )
    columns = (
        Column(index=0, type="int", value="7"),
        Column(value="2020-01-01", type="date"),
        Column(name="c", value="none"),
        Column(name="d", type="date", format="d/M/yy"),
    )
    rows, rejects = apply_columns(batch, columns, timezone="UTC")
    assert rows.to_pydict() == {
        "0": [1, 7],
        "val_2020-01-01": [date(2020, 1, 1)] * 2,
        "c": ["none", "b"],
        "d": [date(2020, 2, 1), date(2020, 2, 2)],
    }
    assert [reject.row["0"] for reject in rejects] == ["x"]


def test_a_default_that_does_not_fit_is_an_error_of_the_job() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([None], pa.string())], names=["a"])
    with pytest.raises(JobInvalidError, match="'x'"):
        apply_columns(batch, (Column(name="a", type="int", value="x"),), timezone="UTC")


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("INT", (), pa.int32()), ("bigint", (), pa.int64()), ("timestamp(6)", (), US),
        ("decimal", (10, 2), pa.decimal128(10, 2)),
        ("decimal", (10,), pa.decimal128(10, 0)), ("decimal", (50, 2), pa.decimal256(50, 2)), ("decimal", (), None),
        ("nosuch", (), None), (None, (), None),
    ],
)  # fmt: skip
def test_arrow_type(name: str | None, arguments: tuple[int, ...], expected: pa.DataType | None) -> None:
    assert arrow_type(Column(type=name, type_arguments=arguments)) == expected


def test_impossible_decimals_are_errors_of_the_job() -> None:
    with pytest.raises(JobInvalidError):
        arrow_type(Column(type="decimal", type_arguments=(2, 5)))


@pytest.mark.parametrize(
    "array",
    [pa.array([0, 12_000_000], pa.date32()), pa.array([0, 4_000_000_000_000_000_000], pa.timestamp("us"))],
    ids=["date", "timestamp"],
)
def test_a_year_that_arrow_cannot_spell_is_a_failure(array: pa.Array) -> None:
    converted, failures = convert(array, pa.string(), timezone="UTC")
    assert list(failures) == [1]
    assert converted[0].as_py().startswith("1970-01-01")
    assert converted[1].as_py() is None
    assert str(array.view(pa.int32() if array.type == pa.date32() else pa.int64())[1]) in failures[1]


@pytest.mark.parametrize("target", [pa.timestamp("ns"), pa.timestamp("ns", "UTC")])
def test_what_nanoseconds_do_not_reach_is_refused_and_its_neighbours_are_not(target: pa.DataType) -> None:
    texts = [
        "3000-01-01 00:00:00",
        "0001-01-01 00:00:00.5",
        "2000-01-01 00:00:00.123456789",
        None,
        "2000-02-30 00:00:00",
    ]
    array, failures = convert(pa.array(texts), target, timezone="UTC")
    assert sorted(failures) == [0, 1, 4]
    assert array.cast(pa.int64()).to_pylist() == [None, None, 946_684_800_123_456_789, None, None]
