r"""Values from one Arrow type to another without ever changing one: the type rules of every reader and writer.

What is allowed (rows: from, columns: to). `=` always; `x` only when the value stays exactly the same;
`~` the nearest value of the target; `-` never. What is not allowed is a failure of that row, not of the batch.

| from \ to        | integer | float | decimal | bool | string | binary | date | time | timestamp |
|------------------|---------|-------|---------|------|--------|--------|------|------|-----------|
| integer          | x       | x (1) | x       | 0, 1 | =      | -      | (2)  | -    | (2)       |
| float            | x       | x     | x (3)   | 0, 1 | =      | -      | -    | -    | -         |
| decimal          | x       | ~     | x       | 0, 1 | =      | -      | (2)  | -    | (2)       |
| bool             | =       | =     | x       | =    | =      | -      | -    | -    | -         |
| string           | x (4)   | ~     | x       | (5)  | =      | UTF-8  | (6)  | (6)  | (6)       |
| binary           | -       | -     | -       | -    | UTF-8  | =      | -    | -    | -         |
| date             | -       | -     | -       | -    | =      | -      | =    | -    | midnight  |
| time             | -       | -     | -       | -    | =      | -      | -    | x    | -         |
| timestamp        | -       | -     | -       | -    | =      | -      | (7)  | -    | x (8)     |

1. Up to 2^53 for float64, 2^24 for float32.
2. Epoch numbers, the unit by the number of digits (job.md §11).
3. By the shortest text of the float: 0.1 is the decimal 0.1.
4. Whitespace around is trimmed; "5.00" is 5, "5.5" and "0x10" are failures.
5. true, t, 1, false, f, 0 in any case.
6. The built-in patterns, or the column's `format` (job.md §11): `plugins.date_text`.
7. Midnight only; a UTC timestamp at midnight of the job's time zone.
8. With and without a zone by the job's time zone; a wall-clock time that is skipped or occurs twice there
   is a failure. Finer than the target's unit is a failure.

Canonical text: plain decimals without exponent, `NaN`, `Infinity`, `true`, `2020-01-31`, `2020-01-31 23:59:59`,
`2020-01-31 23:59:59.5`; a timestamp with zone has the wall clock of the job's time zone and its offset.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, time, timedelta
from datetime import timezone as fixed_zone
from decimal import Decimal
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_flinkx.exceptions import JobInvalidError
from airflow_provider_flinkx.jobs.model import Column
from airflow_provider_flinkx.plugins import date_columns, date_text
from airflow_provider_flinkx.plugins.base import Batch, Category, Reject

#: A failing piece of a column is halved down to this many rows, which are then tried one by one.
_SMALLEST_PIECE: Final = 32
_SHOWN_CHARACTERS: Final = 100
_NO_DATE: Final = "not a date or time"
_UTC: Final = pa.timestamp("us", "UTC")
_NAIVE: Final = pa.timestamp("us")

_TYPES: Final[Mapping[str, pa.DataType]] = {
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "short": pa.int16(),
    "year": pa.int16(),
    "int": pa.int32(),
    "integer": pa.int32(),
    "int32": pa.int32(),
    "mediumint": pa.int64(),
    "bigint": pa.int64(),
    "long": pa.int64(),
    "int64": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "varchar": pa.string(),
    "varchar2": pa.string(),
    "nvarchar": pa.string(),
    "char": pa.string(),
    "text": pa.string(),
    "keyword": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "datetime": _NAIVE,
    "time": pa.time64("us"),
}
_MOST_DIGITS: Final = 76


class Converted(NamedTuple):
    """A converted column; a failing position is null in `array` and has its message in `failures`."""

    array: pa.Array
    failures: dict[int, str]


class Conformed(NamedTuple):
    """Rows that have the schema's types, rejects for the others, and which rows were kept (None: all)."""

    rows: pa.RecordBatch
    rejects: list[Reject]
    kept: np.ndarray[Any, np.dtype[np.int64]] | None


def arrow_type(column: Column) -> pa.DataType | None:
    """The Arrow type of a column's FlinkX type name (job.md §11).

    Returns:
        None when the type is absent or unknown, or a decimal without precision: values stay as they are.
    """
    name = (column.type or "").lower()
    if "timestamp" in name:
        return _NAIVE
    if name in ("decimal", "number") and column.type_arguments:
        precision, scale = (*column.type_arguments, 0)[:2]
        if not (1 <= precision <= _MOST_DIGITS and 0 <= scale <= precision):
            raise JobInvalidError(
                [f"type {column.type}({precision},{scale}): precision is 1 to 76, scale not above it"]
            )
        return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
    return _TYPES.get(name)


def field_name(column: Column) -> str:
    """The name of a column in rejected rows: its name, else its index, else `val_<value>` (job.md §6)."""
    if column.name is not None:
        return column.name
    return str(column.index) if column.index is not None else f"val_{column.value}"


def convert(array: pa.Array, target: pa.DataType, *, timezone: str, format: str | None = None) -> Converted:
    """Convert a column to `target` by the table of this module.

    Args:
        array: the column.
        target: the wanted type.
        timezone: IANA name; where wall-clock times without a zone are.
        format: SimpleDateFormat pattern for text to date, or date to text.
    """
    array = _plain(array)
    if array.type.equals(target) and format is None:
        return Converted(array, {})
    if pa.types.is_null(array.type):
        return Converted(pa.nulls(len(array), target), {})
    return _Conversion(array.type, target, timezone, format).run(array)


def to_text(array: pa.Array, *, timezone: str) -> pa.StringArray:
    """The canonical text of every value.

    Raises:
        pa.ArrowInvalid: a binary value is not UTF-8.
    """
    array = _plain(array)
    return _STRICT[_kind(array.type), "string"](array, pa.string(), timezone)


def fallback_text(texts: pa.StringArray, declared: pa.DataType) -> pa.StringArray:
    """Texts that a source gives in place of its declared type: canonical where a value is of that type.

    So a value is spelled alike whatever else is in its batch, and an instant (of a session in UTC) says that it is one.
    Other values, such as a date of zeros, stay as the source wrote them.
    """
    values, failures = convert(texts, declared, timezone="UTC")
    canonical = to_text(values, timezone="UTC")
    if not failures:
        return canonical
    failing = np.zeros(len(texts), dtype=bool)
    failing[list(failures)] = True
    return pc.if_else(pa.array(failing), texts, canonical)


def conform(batch: pa.RecordBatch, schema: pa.Schema, *, timezone: str, field_names: Sequence[str]) -> Conformed:
    """Give every column of `batch` the type of the field at the same position in `schema`.

    A row with a value that does not convert becomes a reject (conversion), a null in a field that
    is not nullable one too (null). The first failing column names the reject.

    Args:
        batch: n rows x as many columns as `schema`.
        schema: the wanted types; names are taken from it.
        timezone: IANA name; where wall-clock times without a zone are.
        field_names: source column names, for the rejects.
    """
    arrays: list[pa.Array] = []
    reasons: dict[int, tuple[Category, str]] = {}
    for field, column in zip(schema, batch.columns, strict=True):
        array, failures = convert(column, field.type, timezone=timezone)
        for position, message in failures.items():
            reasons.setdefault(position, (Category.CONVERSION, f"column {field.name}: {message}"))
        if not field.nullable and array.null_count:
            for position in np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)):
                reasons.setdefault(
                    int(position), (Category.NULL, f"column {field.name}: null in a column that needs a value")
                )
        arrays.append(array)
    if not reasons:
        return Conformed(pa.RecordBatch.from_arrays(arrays, schema=schema), [], None)
    rejects = rejects_of(batch, reasons, field_names)
    kept = np.setdiff1d(np.arange(batch.num_rows), np.fromiter(reasons, dtype=np.int64))
    return Conformed(
        pa.RecordBatch.from_arrays([array.take(pa.array(kept)) for array in arrays], schema=schema), rejects, kept
    )


def json_row(batch: pa.RecordBatch, position: int, field_names: Sequence[str]) -> dict[str, Any]:
    """One row as `json_rows` gives it."""
    return json_rows(batch.slice(position, 1), field_names)[0]


def json_rows(batch: pa.RecordBatch, field_names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows as JSON values: numbers and booleans as they are, bytes as hexadecimal, the rest as canonical text."""
    columns = [_json_values(column) for column in batch.columns]
    return [dict(zip(field_names, row, strict=True)) for row in zip(*columns, strict=True)]


def rejects_of(
    batch: pa.RecordBatch, reasons: Mapping[int, tuple[Category, str]], field_names: Sequence[str]
) -> list[Reject]:
    """The rows at these positions as rejects, in the order of the batch."""
    positions = sorted(reasons)
    rows = json_rows(batch.take(pa.array(positions, pa.int64())), field_names)
    return [Reject(row, *reasons[position]) for row, position in zip(rows, positions, strict=True)]


def apply_columns(batch: pa.RecordBatch, columns: Sequence[Column], *, timezone: str) -> Batch:
    """Constants, defaults, types and formats of a reader's `column` list (job.md §10, §11).

    Empty text in a column of another type than text is null (job.md §11), then its default `value` if it has one.

    Args:
        batch: n rows x one column for each element of `columns`; what stands in place of a constant is not looked at.
        columns: the reader's column list; empty (`["*"]`) leaves the batch as it is.
        timezone: IANA name; where wall-clock times without a zone are.

    Raises:
        JobInvalidError: a constant or default does not fit the type of its column.
    """
    if not columns:
        return Batch(batch)
    arrays: list[pa.Array] = []
    reasons: dict[int, tuple[Category, str]] = {}
    for column, array in zip(columns, batch.columns, strict=True):
        converted, failures = _apply_column(array, column, timezone)
        for position, message in failures.items():
            reasons.setdefault(position, (Category.CONVERSION, f"column {field_name(column)}: {message}"))
        arrays.append(converted)
    names = [field_name(column) for column in columns]
    rows = pa.RecordBatch.from_arrays(arrays, names=names)
    if not reasons:
        return Batch(rows)
    rejects = rejects_of(batch, reasons, names)
    kept = np.setdiff1d(np.arange(batch.num_rows), np.fromiter(reasons, dtype=np.int64))
    return Batch(rows.take(pa.array(kept)), rejects)


def _apply_column(array: pa.Array, column: Column, timezone: str) -> Converted:
    target = arrow_type(column)
    if column.value is not None and column.name is None and column.index is None:
        constant = constant_value(column, target or pa.string(), timezone)
        return Converted(pa.repeat(constant, len(array)), {})
    array = _plain(array)
    if target is None:
        target = pa.string() if pa.types.is_null(array.type) else array.type
    if pa.types.is_string(array.type) and not pa.types.is_string(target) and not pa.types.is_binary(target):
        array = pc.if_else(pc.equal(array, ""), pa.scalar(None, pa.string()), array)
    absent = array.is_null() if column.value is not None and array.null_count else None
    converted, failures = convert(array, target, timezone=timezone, format=column.format)
    if absent is not None:
        converted = pc.if_else(absent, constant_value(column, target, timezone), converted)
    return Converted(converted, failures)


def constant_value(column: Column, target: pa.DataType, timezone: str) -> pa.Scalar:
    """The constant or default `value` of a column, as a scalar of `target`.

    Raises:
        JobInvalidError: the text does not fit the type.
    """
    format = None if pa.types.is_string(target) else column.format
    array, failures = convert(pa.array([column.value], pa.string()), target, timezone=timezone, format=format)
    if failures:
        raise JobInvalidError([f"column {field_name(column)}: value {failures[0]}"])
    return array[0]


def _json_values(array: pa.Array) -> list[Any]:
    array = _plain(array)
    kind = _kind(array.type)
    if kind in ("integer", "bool", "string", "null"):
        return list(array.to_pylist())
    if kind == "binary":
        return [value if value is None else value.hex() for value in array.to_pylist()]
    if kind == "float":
        return [value if value is None or math.isfinite(value) else _not_finite(value) for value in array.to_pylist()]
    if not kind:
        return [str(value) if value.is_valid else None for value in array]
    try:
        return list(to_text(array, timezone="UTC").to_pylist())
    except pa.ArrowInvalid:
        if len(array) > 1:  # A year that has no text is among them.
            return [value for position in range(len(array)) for value in _json_values(array.slice(position, 1))]
        number = array.view(pa.int32() if array.type.bit_width == 32 else pa.int64())[0]
        return [f"{number} as {array.type}"]


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


class _Conversion:
    """One column's way from a source to a target type: all at once, and value by value where that fails."""

    def __init__(self, source: pa.DataType, target: pa.DataType, timezone: str, format: str | None) -> None:
        self.target = target
        self.timezone = timezone
        self.pattern = date_text.pattern(format) if format is not None else None
        self.kinds = _kind(source), _kind(target)
        self.from_text = self.kinds[0] == "string" and self.kinds[1] in _TEMPORAL
        self.to_pattern = self.pattern is not None and self.kinds[1] == "string" and self.kinds[0] in _TEXT_OR_DATE
        self.strict = _STRICT.get(self.kinds)
        #: Python's dates, which the ways value by value use, end at microseconds.
        self.is_finer_than_python = self.from_text and self.pattern is None and getattr(target, "unit", "") == "ns"

    def run(self, array: pa.Array) -> Converted:
        if self.strict is None:
            message = f"{array.type} cannot become {self.target}"
            positions = np.flatnonzero(array.is_valid().to_numpy(zero_copy_only=False))
            return Converted(pa.nulls(len(array), self.target), {int(at): message for at in positions})
        if self.to_pattern or (self.pattern is not None and self.from_text):
            return self._distinct(array)
        try:
            return Converted(self.strict(array, self.target, self.timezone), {})
        except pa.ArrowInvalid:
            return self._distinct(array) if self.from_text else self._sifted(array)

    def one_by_one(self, array: pa.Array) -> Converted:
        """Each value by itself: slow, and what every other way must give too."""
        pieces: list[pa.Array] = []
        failures: dict[int, str] = {}
        for position in range(len(array)):
            piece = array.slice(position, 1)
            try:
                pieces.append(self._single(piece) if piece.null_count == 0 else pa.nulls(1, self.target))
            except (ValueError, OverflowError) as error:
                failures[position] = self._messages(piece, error)[0]
                pieces.append(pa.nulls(1, self.target))
        return Converted(pa.concat_arrays(pieces) if pieces else pa.nulls(0, self.target), failures)

    def _single(self, piece: pa.Array) -> pa.Array:
        if self.is_finer_than_python and self.strict is not None:
            with contextlib.suppress(pa.ArrowInvalid):
                return self.strict(piece, self.target, self.timezone)
        if self.from_text:
            return _from_moment(self._moment(piece[0].as_py()), self.target, self.timezone)
        if self.to_pattern:
            assert self.pattern is not None
            return pa.array([self.pattern.format(_wall_clock(piece, self.timezone))], pa.string())
        assert self.strict is not None
        return self.strict(piece, self.target, self.timezone)

    def _moment(self, text: str) -> date_text.Moment:
        return self.pattern.parse(text) if self.pattern else date_text.parse(text)

    def _distinct(self, array: pa.Array) -> Converted:
        """Each distinct date or text once."""
        encoded = array.dictionary_encode()
        by_value = self._formatted if self.to_pattern else self._halved if self.is_finer_than_python else self._parsed
        converted, failures = by_value(encoded.dictionary)
        return Converted(converted.take(encoded.indices), _spread(failures, encoded.indices))

    def _parsed(self, texts: pa.Array) -> Converted:
        """Dates and times of texts, by Arrow where it can and by `date_text` where not."""
        by_arrow = self._parsed_by_arrow(texts)
        if by_arrow is not None and by_arrow.null_count == 0:
            return Converted(by_arrow, {})
        values: list[datetime | time | None] = []
        failures: dict[int, str] = {}
        known = [False] * len(texts) if by_arrow is None else by_arrow.is_valid().to_pylist()
        for position, text in enumerate(texts.to_pylist()):
            try:
                values.append(None if known[position] else self._value(self._moment(text)))
            except (ValueError, OverflowError) as error:
                values.append(None)
                failures[position] = self._messages(texts.slice(position, 1), error)[0]
        try:
            by_value = self._from_values(values)
        except pa.ArrowInvalid:
            return self.one_by_one(texts)
        return Converted(by_value if by_arrow is None else pc.coalesce(by_arrow, by_value), failures)

    def _parsed_by_arrow(self, texts: pa.Array) -> pa.Array | None:
        """Null where `date_text` has to look; None when it has to look everywhere."""
        if self.pattern is None or (self.kinds[1] == "time" and date_columns.names_a_date(self.pattern)):
            return None
        wall = date_columns.parse(texts, self.pattern)
        if wall is None:
            return None
        try:
            if self.kinds[1] == "time":
                return wall.cast(pa.time64("us")).cast(self.target)
            return _STRICT["timestamp", self.kinds[1]](wall, self.target, self.timezone)
        except pa.ArrowInvalid:
            return None

    def _value(self, moment: date_text.Moment) -> datetime | time:
        if self.kinds[1] == "time":
            return _time_alone(moment)
        return moment.instant(self.timezone) if _has_zone(self.target) else moment.wall(self.timezone)

    def _from_values(self, values: list[datetime | time | None]) -> pa.Array:
        if self.kinds[1] == "time":
            return pa.array(values, pa.time64("us")).cast(self.target)
        if _has_zone(self.target):
            return pa.array(values, _NAIVE).view(_UTC).cast(self.target)
        return _STRICT["timestamp", self.kinds[1]](pa.array(values, _NAIVE), self.target, self.timezone)

    def _formatted(self, values: pa.Array) -> Converted:
        """Texts of dates by the pattern."""
        assert self.pattern is not None
        wall, unreadable = convert(values, _NAIVE, timezone=self.timezone)
        places = sorted(unreadable)
        messages = self._messages(values.take(pa.array(places, pa.int64())), ValueError(_NO_DATE))
        failures = dict(zip(places, messages, strict=True))
        by_arrow = date_columns.write(wall, self.pattern)
        if by_arrow is not None:
            return Converted(by_arrow, failures)
        texts: list[str | None] = []
        for position, moment in enumerate(wall):
            try:
                texts.append(self.pattern.format(moment.as_py()) if moment.is_valid else None)
            except (ValueError, OverflowError) as error:
                texts.append(None)
                failures[position] = self._messages(values.slice(position, 1), error)[0]
        return Converted(pa.array(texts, pa.string()), failures)

    def _sifted(self, array: pa.Array) -> Converted:
        """Values that surely fail are taken out at once, before the others are halved to find what else fails."""
        sift = _SURE_FAILURES.get(self.kinds)
        if sift is None or len(array) <= _SMALLEST_PIECE:
            return self._halved(array)
        failing = pc.fill_null(pc.and_(sift(array, self.timezone, self.target), array.is_valid()), False)
        failing = failing.to_numpy(zero_copy_only=False)
        bad, good = np.flatnonzero(failing), np.flatnonzero(~failing)
        messages = self._messages(array.take(pa.array(bad)))
        converted, others = self._halved(array.take(pa.array(good)))
        places = np.cumsum(~failing) - 1
        failures = dict(zip(bad.tolist(), messages, strict=True)) | {int(good[at]): text for at, text in others.items()}
        return Converted(converted.take(pa.array(places, mask=failing)), failures)

    def _halved(self, array: pa.Array) -> Converted:
        assert self.strict is not None
        try:
            return Converted(self.strict(array, self.target, self.timezone), {})
        except pa.ArrowInvalid:
            if len(array) <= _SMALLEST_PIECE:
                return self.one_by_one(array)
        middle = len(array) // 2
        first, second = self._halved(array.slice(0, middle)), self._halved(array.slice(middle))
        failures = first.failures | {middle + position: text for position, text in second.failures.items()}
        return Converted(pa.concat_arrays([first.array, second.array]), failures)

    def _messages(self, array: pa.Array, error: Exception | None = None) -> list[str]:
        """Why each of these values failed, with what is known beyond that it does not fit."""
        why = "" if error is None or isinstance(error, pa.ArrowInvalid) else f" ({error})"
        end = f" of type {array.type} does not fit {self.target}{why}"
        return [f"{_cut(text)!r}{end}" for text in map(str, _json_values(array))]


def _spread(failures: Mapping[int, str], indices: pa.Array) -> dict[int, str]:
    """Failures of distinct values as those of all the positions where they stand."""
    if not failures:
        return {}
    places = pc.fill_null(indices, -1).to_numpy()
    failing = np.flatnonzero(np.isin(places, np.fromiter(failures, dtype=np.int64)))
    return {int(at): failures[int(places[at])] for at in failing}


def _cut(text: str) -> str:
    return f"{text[:_SHOWN_CHARACTERS]}…" if len(text) > _SHOWN_CHARACTERS else text


_TEMPORAL: Final = ("date", "time", "timestamp")
_TEXT_OR_DATE: Final = ("string", "date", "timestamp")


def _kind(arrow: pa.DataType) -> str:
    """The row or column of the module's table; empty for types that do not cross between plugins."""
    for kind, is_kind in _KINDS.items():
        if is_kind(arrow):
            return kind
    return ""


_KINDS: Final[Mapping[str, Callable[[pa.DataType], bool]]] = {
    "string": pa.types.is_string,
    "integer": pa.types.is_integer,
    "float": pa.types.is_floating,
    "decimal": pa.types.is_decimal,
    "timestamp": pa.types.is_timestamp,
    "date": pa.types.is_date32,
    "bool": pa.types.is_boolean,
    "binary": pa.types.is_binary,
    "time": pa.types.is_time64,
    "null": pa.types.is_null,
}


def _plain(array: pa.Array) -> pa.Array:
    """The same values in one of the types that the table names: no dictionaries, large or fixed-size forms."""
    arrow = array.type
    if pa.types.is_dictionary(arrow):
        return _plain(array.dictionary_decode())
    if pa.types.is_large_string(arrow):
        return array.cast(pa.string())
    if pa.types.is_large_binary(arrow) or (pa.types.is_fixed_size_binary(arrow) and not pa.types.is_decimal(arrow)):
        return array.cast(pa.binary())
    if pa.types.is_float16(arrow):
        return array.cast(pa.float32())
    if pa.types.is_time32(arrow):
        return array.cast(pa.time64("us"))
    if pa.types.is_date64(arrow):
        return array.cast(pa.date32())
    if pa.types.is_timestamp(arrow) and arrow.tz not in (None, "UTC"):
        return array.view(pa.timestamp(arrow.unit, "UTC"))
    return array


# Strict conversions: the whole array converts without a change, or pa.ArrowInvalid is raised.


def _cast(array: pa.Array, target: pa.DataType, _zone: str) -> pa.Array:
    return array.cast(target)


def _require(condition: Any, what: str) -> None:
    if not pc.all(condition, min_count=0).as_py():
        raise pa.ArrowInvalid(what)


def _number_to_bool(array: pa.Array, target: pa.DataType, zone: str) -> pa.Array:
    small = _STRICT[_kind(array.type), "integer"](array, pa.int8(), zone)
    _require(pc.is_in(small, pa.array([0, 1, None], pa.int8())), "not 0 or 1")
    return small.cast(target)


def _integer_to_decimal(array: pa.Array, target: pa.DataType, zone: str) -> pa.Array:
    return _decimal_to_decimal(array.cast(pa.decimal128(38, 0)), target, zone)


def _decimal_to_decimal(array: pa.Array, target: pa.DataType, _zone: str) -> pa.Array:
    whole_digits = target.precision - target.scale
    if whole_digits < array.type.precision - array.type.scale:
        # The cast multiplies to a larger scale, and another number comes out when bits are lost.
        too_large = pa.scalar(Decimal(10) ** whole_digits, array.type)
        _require(pc.less(pc.abs(array), too_large), "too large")
    return array.cast(target)


def _float_to_float(array: pa.Array, target: pa.DataType, _zone: str) -> pa.Array:
    converted = array.cast(target)
    same = pc.or_(pc.equal(converted.cast(array.type), array), pc.is_nan(array))
    _require(same, "not exact")
    return converted


def _float_to_text(array: pa.Array, _target: pa.DataType, _zone: str) -> pa.Array:
    text = array.cast(pa.string())
    if not pc.all(pc.is_finite(array), min_count=0).as_py():
        text = pc.if_else(pc.is_nan(array), "NaN", text)
        text = pc.if_else(pc.equal(text, "inf"), "Infinity", text)
        text = pc.if_else(pc.equal(text, "-inf"), "-Infinity", text)
    return text


def _float_to_decimal(array: pa.Array, target: pa.DataType, zone: str) -> pa.Array:
    return _text_to_decimal(_float_to_text(array, pa.string(), zone), target, zone)


def _decimal_to_float(array: pa.Array, target: pa.DataType, zone: str) -> pa.Array:
    # Arrow's own cast divides and is off by one bit at times; parsing text gives the nearest float.
    return _text_to_float(_decimal_to_text(array, pa.string(), zone), target, zone)


def _decimal_to_text(array: pa.Array, target: pa.DataType, _zone: str) -> pa.Array:
    text = array.cast(target)
    if pc.any(pc.match_substring(text, "E"), min_count=0).as_py():
        values = [None if value is None else format(value, "f") for value in array.to_pylist()]
        return pa.array(values, pa.string())
    return text


def _bool_to_number(array: pa.Array, target: pa.DataType, zone: str) -> pa.Array:
    return _STRICT["integer", _kind(target)](array.cast(pa.int8()), target, zone)


_INTEGER_TEXT: Final = r"^[+-]?[0-9]+$"
_INFINITE_TEXT: Final = r"^[+-]?(?i:inf|infinity)$"
_ZERO_TEXT: Final = r"^[+-]?[0.]+(?:[eE].*)?$"


def _text_to_integer(array: pa.Array, target: pa.DataType, zone: str) -> pa.Array:
    text = pc.ascii_trim_whitespace(array)
    # Arrow's own cast would take hexadecimal.
    if pc.all(pc.match_substring_regex(text, _INTEGER_TEXT), min_count=0).as_py():
        return pc.ascii_ltrim(text, "+").cast(target)
    return _text_to_decimal(text, pa.decimal128(38, 9), zone).cast(target)


def _text_to_float(array: pa.Array, target: pa.DataType, _zone: str) -> pa.Array:
    text = pc.ascii_trim_whitespace(array)
    number = text.cast(target)
    # The cast makes infinity of what is too large, and zero of what is too small.
    infinite, zero = pc.is_inf(number), pc.equal(number, pa.scalar(0, target))
    if pc.any(pc.or_(infinite, zero), min_count=0).as_py():
        _require(pc.match_substring_regex(text.filter(infinite), _INFINITE_TEXT), "too large")
        _require(pc.match_substring_regex(text.filter(zero), _ZERO_TEXT), "too small")
    return number


_ZERO_WITH_EXPONENT: Final = r"^[+-]?(0+\.?0*|\.0+)[eE][+-]?[0-9]+$"


def _text_to_decimal(array: pa.Array, target: pa.DataType, _zone: str) -> pa.Array:
    # Arrow refuses a zero whose exponent is large.
    text = pc.replace_substring_regex(pc.ascii_trim_whitespace(array), _ZERO_WITH_EXPONENT, "0")
    number = text.cast(target)
    plain = rf"^[+-]?0{{0,10}}[0-9]{{0,{target.precision - target.scale}}}(\.[0-9]{{0,40}})?$"
    if not pc.all(pc.match_substring_regex(text, plain), min_count=0).as_py():
        # Arrow makes zero of what is far too small (1e-200), and any number of what is too large, without an error.
        wanted = [None if value is None else Decimal(value) for value in text.to_pylist()]
        if number.to_pylist() != wanted:
            raise pa.ArrowInvalid("not exact")
    return number


_TRUE_FALSE: Final = pa.array(["true", "t", "1", "false", "f", "0"])
_TRUE_FALSE_VALUES: Final = pa.array([True, True, True, False, False, False])


def _text_to_bool(array: pa.Array, _target: pa.DataType, _zone: str) -> pa.Array:
    places = pc.index_in(pc.ascii_lower(pc.ascii_trim_whitespace(array)), _TRUE_FALSE)
    if places.null_count != array.null_count:
        raise pa.ArrowInvalid("not true or false")
    return _TRUE_FALSE_VALUES.take(places)


#: Years that hold no moment beyond what 64 bits of nanoseconds since 1970 reach.
_NANOSECOND_YEARS: Final = r"^\s*(167[89]|16[89]\d|1[789]\d\d|2[01]\d\d|22[0-5]\d|226[01])-"


def _text_to_timestamp(array: pa.Array, target: pa.DataType, zone: str) -> pa.Array:
    if target.unit == "ns":
        # Arrow wraps around without an error where they do not reach.
        _require(pc.match_substring_regex(array, _NANOSECOND_YEARS), "beyond nanoseconds")
    if target.tz is None:
        return array.cast(target)
    try:
        return array.cast(target)
    except pa.ArrowInvalid:
        return _place_in_zone(array.cast(pa.timestamp(target.unit)), zone).view(target)


def _text_to_time(array: pa.Array, target: pa.DataType, _zone: str) -> pa.Array:
    _require(pc.match_substring_regex(array, r"^[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?$"), "not a time")
    moment = pc.binary_join_element_wise("1970-01-01 ", array, "").cast(pa.timestamp("ns"))
    return moment.cast(pa.time64("ns")).cast(target)


def _temporal_to_text(array: pa.Array, target: pa.DataType, _zone: str) -> pa.Array:
    text = array.cast(target)
    # Arrow writes this in place of a year beyond 32767, and raises nothing.
    _require(pc.invert(pc.starts_with(text, "<value out of range")), "no text for this year")
    return pc.replace_substring_regex(text, r"\.?0*$", "") if _has_fraction(array.type) else text


def _has_fraction(arrow: pa.DataType) -> bool:
    return getattr(arrow, "unit", "s") != "s" and not pa.types.is_date(arrow)


def _timestamp_to_text(array: pa.Array, target: pa.DataType, zone: str) -> pa.Array:
    if array.type.tz is None:
        return _temporal_to_text(array, target, zone)
    wall = _wall_time(array, zone)
    text = _temporal_to_text(wall, target, zone)
    seconds = pc.subtract(wall.cast(pa.timestamp("us")).cast(pa.int64()), array.cast(_UTC).cast(pa.int64()))
    offsets = pc.divide(seconds, 1_000_000).dictionary_encode()
    suffixes = pa.array([_offset_text(offset) for offset in offsets.dictionary.to_pylist()], pa.string())
    return pc.binary_join_element_wise(text, suffixes.take(offsets.indices), "")


def _offset_text(seconds: int) -> str:
    size = abs(seconds)
    text = f"{'-' if seconds < 0 else '+'}{size // 3600:02d}:{size // 60 % 60:02d}"
    return f"{text}:{size % 60:02d}" if size % 60 else text


def _number_to_temporal(array: pa.Array, target: pa.DataType, zone: str) -> pa.Array:
    numbers = _STRICT[_kind(array.type), "integer"](array, pa.int64(), zone)
    lengths = pc.utf8_length(pc.ascii_ltrim(numbers.cast(pa.string()), "-")).drop_null().unique().to_pylist()
    if not lengths:
        return pa.nulls(len(array), target)
    if max(lengths) < date_text.EPOCH_DAY_DIGITS:
        days = numbers.cast(pa.int32()).view(pa.date32())
        return _STRICT["date", _kind(target)](days, target, zone)
    units = {1: "s", 1_000: "ms", 1_000_000: "us", 1_000_000_000: "ns"}
    if len(lengths) > 1 or lengths[0] not in date_text.EPOCH_UNITS:
        raise pa.ArrowInvalid("not one unit")
    instants = numbers.view(pa.timestamp(units[date_text.EPOCH_UNITS[lengths[0]]], "UTC"))
    return _STRICT["timestamp", _kind(target)](instants, target, zone)


def _date_to_timestamp(array: pa.Array, target: pa.DataType, zone: str) -> pa.Array:
    midnight = array.cast(pa.timestamp(target.unit))
    return midnight if target.tz is None else _place_in_zone(midnight, zone).view(target)


def _timestamp_to_date(array: pa.Array, target: pa.DataType, zone: str) -> pa.Array:
    wall = array if array.type.tz is None else _wall_time(array, zone)
    days = wall.cast(target)
    _require(pc.equal(days.cast(wall.type), wall), "not midnight")
    return days


def _timestamp_to_timestamp(array: pa.Array, target: pa.DataType, zone: str) -> pa.Array:
    if target.tz is None and array.type.tz is not None:
        array = _wall_time(array, zone)
    elif target.tz is not None and array.type.tz is None:
        array = _place_in_zone(array, zone)
    return array.cast(target)


#: Arrow's time zones end with the tables of the zone files, and miss daylight saving time after this day.
_LAST_DAY_OF_ZONE_TABLES: Final = datetime(2037, 1, 1)
_PER_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def _wall_time(array: pa.Array, zone: str) -> pa.Array:
    """UTC timestamps as the wall clock of `zone` shows them; UTC itself needs no time zone database."""
    naive = pa.timestamp(array.type.unit)
    if zone == "UTC":
        return array.view(naive)
    zoned = pa.timestamp(array.type.unit, zone)
    return _in_zone(array.view(naive), lambda early: pc.local_timestamp(early.view(zoned)), _offset_at(ZoneInfo(zone)))


def _place_in_zone(array: pa.Array, zone: str) -> pa.Array:
    """Wall-clock times of `zone` as UTC timestamps."""
    utc = pa.timestamp(array.type.unit, "UTC")
    if zone == "UTC":
        return array.view(utc)
    offset = _offset_of_wall(ZoneInfo(zone))
    placed = _in_zone(array, lambda early: pc.assume_timezone(early, zone).view(early.type), lambda wall: -offset(wall))
    return placed.view(utc)


def _in_zone(array: pa.Array, by_arrow: Callable[[pa.Array], pa.Array], offset: Callable[[datetime], int]) -> pa.Array:
    """Shift times by a zone's offset: by Arrow, and one distinct value after the other where its tables have ended."""
    numbers = array.view(pa.int64())
    per_second = _PER_SECOND[array.type.unit]
    last = int(_LAST_DAY_OF_ZONE_TABLES.replace(tzinfo=fixed_zone.utc).timestamp()) * per_second
    late = pc.fill_null(pc.greater_equal(numbers, last), False)
    if not pc.any(late, min_count=0).as_py():
        return by_arrow(array)
    early = by_arrow(pc.if_else(late, 0, numbers).view(array.type))
    encoded = numbers.filter(late).dictionary_encode()
    try:
        seconds = [datetime(1970, 1, 1) + timedelta(seconds=at // per_second) for at in encoded.dictionary.to_pylist()]
    except OverflowError as error:
        raise pa.ArrowInvalid("after the year 9999") from error
    shifts = pa.array([offset(second) * per_second for second in seconds], pa.int64())
    shifted = pc.add(encoded.dictionary, shifts).take(encoded.indices)
    return pc.replace_with_mask(early.view(pa.int64()), late, shifted).view(array.type)


def _offset_at(zone: ZoneInfo) -> Callable[[datetime], int]:
    """Seconds that the wall clock of a zone is ahead at a UTC time."""
    return lambda at: round(
        (at.replace(tzinfo=fixed_zone.utc).astimezone(zone).utcoffset() or timedelta()).total_seconds()
    )


def _offset_of_wall(zone: ZoneInfo) -> Callable[[datetime], int]:
    """Seconds that the wall clock of a zone is ahead when it shows a time."""

    def offset(wall: datetime) -> int:
        first, second = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
        if first != second or first is None:
            raise pa.ArrowInvalid(f"the time is skipped or occurs twice in {zone.key}")
        return round(first.total_seconds())

    return offset


def _from_moment(moment: date_text.Moment, target: pa.DataType, zone: str) -> pa.Array:
    kind = _kind(target)
    if kind == "time":
        return pa.array([_time_alone(moment)], pa.time64("us")).cast(target)
    if _has_zone(target):
        return pa.array([moment.instant(zone)], _NAIVE).view(_UTC).cast(target)
    wall = pa.array([moment.wall(zone)], _NAIVE)
    return _STRICT["timestamp", kind](wall, target, zone)


def _time_alone(moment: date_text.Moment) -> time:
    if moment.time is None or moment.date is not None or moment.offset is not None:
        raise ValueError("not a time of day alone")
    return moment.time


def _has_zone(arrow: pa.DataType) -> bool:
    return pa.types.is_timestamp(arrow) and arrow.tz is not None


def _wall_clock(piece: pa.Array, zone: str) -> datetime:
    """The one value of `piece` as a date and time: what a `format` writes."""
    wall: datetime = convert(piece, _NAIVE, timezone=zone).array[0].as_py()
    if wall is None:
        raise ValueError(_NO_DATE)
    return wall


# What surely fails: true only for values that the strict conversion refuses. Others may fail too.


def _is_no_number(array: pa.Array, _zone: str, _target: pa.DataType) -> pa.Array:
    return pc.invert(pc.match_substring_regex(pc.ascii_trim_whitespace(array), r"^[+-]?\.?[0-9]"))


def _is_no_float(array: pa.Array, _zone: str, _target: pa.DataType) -> pa.Array:
    return pc.invert(pc.match_substring_regex(pc.ascii_trim_whitespace(array), r"^[+-]?(\.?[0-9]|(?i:inf|nan))"))


def _is_no_bool(array: pa.Array, _zone: str, _target: pa.DataType) -> pa.Array:
    return pc.invert(pc.is_in(pc.ascii_lower(pc.ascii_trim_whitespace(array)), _TRUE_FALSE, skip_nulls=True))


def _is_not_as_small(array: pa.Array, _zone: str, target: pa.DataType) -> pa.Array:
    return pc.not_equal(array.cast(target, safe=False).cast(array.type, safe=False), array)


def _has_a_fraction(array: pa.Array, _zone: str, _target: pa.DataType) -> pa.Array:
    return pc.not_equal(pc.floor(array), array)


def _is_not_midnight(array: pa.Array, zone: str, target: pa.DataType) -> pa.Array:
    wall = array if array.type.tz is None else _wall_time(array, zone)
    return pc.not_equal(wall.cast(target).cast(wall.type), wall)


def _is_not_utf8(array: pa.Array, _zone: str, _target: pa.DataType) -> pa.Array:
    return pa.array([value is not None and not _is_utf8(value) for value in array.to_pylist()], pa.bool_())


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


_SURE_FAILURES: Final[Mapping[tuple[str, str], Callable[[pa.Array, str, pa.DataType], pa.Array]]] = {
    ("string", "integer"): _is_no_number,
    ("string", "decimal"): _is_no_number,
    ("string", "float"): _is_no_float,
    ("string", "bool"): _is_no_bool,
    ("integer", "integer"): _is_not_as_small,
    ("float", "integer"): _has_a_fraction,
    ("timestamp", "date"): _is_not_midnight,
    ("binary", "string"): _is_not_utf8,
}

_STRICT: Final[Mapping[tuple[str, str], Callable[[pa.Array, pa.DataType, str], pa.Array]]] = {
    ("integer", "integer"): _cast,
    ("integer", "float"): _cast,
    ("integer", "decimal"): _integer_to_decimal,
    ("integer", "bool"): _number_to_bool,
    ("integer", "string"): _cast,
    ("integer", "date"): _number_to_temporal,
    ("integer", "timestamp"): _number_to_temporal,
    ("float", "integer"): _cast,
    ("float", "float"): _float_to_float,
    ("float", "decimal"): _float_to_decimal,
    ("float", "bool"): _number_to_bool,
    ("float", "string"): _float_to_text,
    ("decimal", "integer"): _cast,
    ("decimal", "float"): _decimal_to_float,
    ("decimal", "decimal"): _decimal_to_decimal,
    ("decimal", "bool"): _number_to_bool,
    ("decimal", "string"): _decimal_to_text,
    ("decimal", "date"): _number_to_temporal,
    ("decimal", "timestamp"): _number_to_temporal,
    ("bool", "integer"): _cast,
    ("bool", "float"): _bool_to_number,
    ("bool", "decimal"): _bool_to_number,
    ("bool", "bool"): _cast,
    ("bool", "string"): _cast,
    ("string", "integer"): _text_to_integer,
    ("string", "float"): _text_to_float,
    ("string", "decimal"): _text_to_decimal,
    ("string", "bool"): _text_to_bool,
    ("string", "string"): _cast,
    ("string", "binary"): _cast,
    ("string", "date"): _cast,
    ("string", "time"): _text_to_time,
    ("string", "timestamp"): _text_to_timestamp,
    ("binary", "string"): _cast,
    ("binary", "binary"): _cast,
    ("date", "string"): _temporal_to_text,
    ("date", "date"): _cast,
    ("date", "timestamp"): _date_to_timestamp,
    ("time", "string"): _temporal_to_text,
    ("time", "time"): _cast,
    ("timestamp", "string"): _timestamp_to_text,
    ("timestamp", "date"): _timestamp_to_date,
    ("timestamp", "timestamp"): _timestamp_to_timestamp,
}
