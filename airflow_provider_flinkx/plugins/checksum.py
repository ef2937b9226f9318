"""Checksums of rows, by which the values that were read are compared with those that the target holds.

A checksum is the sum, modulo 2^64, of a hash of each row: the order of rows says nothing, and a row that is there twice
counts twice. A row's hash is made of those of its values, a value's of its canonical form:

- Every column is compared as the type that the target's reader gives it. What comes from the source is converted to it
  by `plugins.conversion`, as the writer does: 1.5 is the decimal 1.50, true is 1 of a tinyint(1).
- Floats by their bits; negative zero is zero, one NaN is like another.
- Texts by their bytes of UTF-8. Blanks at the end of a char(n) do not count, nor zeros at the end of a binary(n).
- Texts of numbers (a numeric without a scale) by their value, of a uuid without regard to case, braces and hyphens,
  of JSON by its content.
- A value that its column's type cannot hold in Arrow ('infinity', a date of zeros) by its text.
- Null is like null only.

The hashes find what happens to values by accident; nobody is kept from making two rows of the same hash.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_flinkx.plugins.conversion import convert

Hashes = npt.NDArray[np.uint64]

_MASK: Final = (1 << 64) - 1
_DIGITS: Final = 16
_NULL: Final = np.uint64(0x9E3779B97F4A7C15)
_TEXT: Final = np.uint64(0xD6E8FEB86659FD93)
_STEP: Final = np.uint64(0xA0761D6478BD642F)
_ALL_BITS: Final = np.uint64(_MASK)
_DAY: Final = 86_400_000_000


@dataclass(frozen=True)
class Checksum:
    """Of rows, and of each of their columns alone, which tells where a difference is."""

    rows: int
    total: int
    columns: tuple[int, ...]

    def __add__(self, other: Checksum) -> Checksum:
        columns = tuple((left + right) & _MASK for left, right in zip(self.columns, other.columns, strict=True))
        return Checksum(self.rows + other.rows, (self.total + other.total) & _MASK, columns)

    def __sub__(self, other: Checksum) -> Checksum:
        return self + Checksum(-other.rows, -other.total, tuple(-column for column in other.columns))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; sums as hexadecimal digits, because a number of JSON has 53 bits in some readers."""
        columns = [f"{column:0{_DIGITS}x}" for column in self.columns]
        return {"rows": self.rows, "checksum": f"{self.total:0{_DIGITS}x}", "columns": columns}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Checksum:
        """Inverse of `to_json`."""
        return cls(value["rows"], int(value["checksum"], 16), tuple(int(column, 16) for column in value["columns"]))


class Comparison:
    """How the rows of a source are compared with those of a target.

    Args:
        fields: the target's columns that are written, as its reader gives them.
        timezone: IANA name; where wall-clock times without a zone are.
        empty_is_null: whether the target keeps an empty text as null.
    """

    def __init__(self, fields: Sequence[pa.Field], *, timezone: str, empty_is_null: bool = False) -> None:
        self._fields = tuple(fields)
        self._timezone = timezone
        self._empty_is_null = empty_is_null

    @property
    def nothing(self) -> Checksum:
        """The checksum of no rows."""
        return Checksum(0, 0, (0,) * len(self._fields))

    def checksum(self, columns: Sequence[pa.Array], rows: int) -> Checksum:
        """The checksum of rows, of the source or of the target.

        Args:
            columns: one for each of the target's columns that are written, in their order.
            rows: their number.
        """
        total = np.zeros(rows, dtype=np.uint64)
        sums = []
        for field, column in zip(self._fields, columns, strict=True):
            hashes = self._hashes(field, column)
            total = _mixed(total + hashes)
            sums.append(_sum(hashes))
        return Checksum(rows, _sum(total) if self._fields else 0, tuple(sums))

    def _hashes(self, field: pa.Field, column: pa.Array) -> Hashes:
        array, failures = convert(column, field.type, timezone=self._timezone)
        if pa.types.is_string(array.type):
            if self._empty_is_null:
                array = pc.if_else(pc.equal(array, ""), pa.scalar(None, pa.string()), array)
            array = _TEXT_RULES.get(_type_name(field), _as_it_is)(array)
        elif _is_padded_binary(field):
            array = _without_zeros(array)
        hashes = _hashes_of(array)
        if failures:
            _put_failed(hashes, column, list(failures), field.type, self._timezone)
        return hashes


def comparable(source: pa.Field, target: pa.Field, *, same_product: bool) -> bool:
    """Whether values of a source's column can be told from those that the target makes of them.

    Args:
        source: the column as the source's reader gives it.
        target: the column as the target's reader gives it.
        same_product: whether both are of one database product.
    """
    if same_product and _type_name(source) == _type_name(target) != "":
        return True
    if not pa.types.is_string(target.type):
        return not (pa.types.is_string(source.type) and _type_name(source) in _BITS)
    return _type_name(target) in _TEXT_RULES


def _type_name(field: pa.Field) -> str:
    """The type in the database's own words; empty where the job has changed it."""
    name: bytes = (field.metadata or {}).get(b"source_type", b"")
    return name.decode().lower()


def _as_it_is(array: pa.Array) -> pa.Array:
    return array


def _without_blanks(array: pa.Array) -> pa.Array:
    return pc.utf8_rtrim(array, " ")


def _numbers(array: pa.Array) -> pa.Array:
    """Texts of numbers in one spelling: 1.50, 01.5 and 1.5 alike, NaN in lower case."""
    text = pc.utf8_lower(pc.ascii_trim_whitespace(array))
    has_exponent = pc.match_substring_regex(text, r"^[-+.0-9]+e").fill_null(False)
    if pc.any(has_exponent, min_count=0).as_py():
        text = pa.array([_plain_number(value) for value in text.to_pylist()], pa.string())
    text = pc.replace_substring_regex(text, r"^\+", "")
    text = pc.replace_substring_regex(text, r"^(-?)0*([0-9]+)", r"\1\2")
    text = pc.replace_substring_regex(text, r"^(-?)\.", r"\10.")  # RE2 knows groups of one digit only
    text = _without_fraction_zeros(text)
    return pc.replace_substring_regex(text, r"^-0$", "0")


def _plain_number(text: str | None) -> str | None:
    if text is None or "e" not in text:
        return text
    try:
        return format(Decimal(text), "f")
    except InvalidOperation:
        return text


def _without_fraction_zeros(texts: pa.Array) -> pa.Array:
    texts = pc.replace_substring_regex(texts, r"(\.[0-9]*[1-9])0+$", r"\1")
    return pc.replace_substring_regex(texts, r"\.0*$", "")


def _uuids(array: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(pc.utf8_lower(array), r"[-{}]", "")


def _documents(array: pa.Array) -> pa.Array:
    return pa.array([None if text is None else _document(text) for text in array.to_pylist()], pa.string())


def _document(text: str) -> str:
    """JSON in one spelling: keys in order, numbers by their value."""
    try:
        content = json.loads(text, parse_int=Decimal, parse_float=Decimal)
    except ValueError:
        return text
    return json.dumps(content, sort_keys=True, default=lambda number: {"number": str(number.normalize())})


#: What makes texts alike, by the type that the database calls them; texts of other types are not compared.
_TEXT_RULES: Final[Mapping[str, Callable[[pa.Array], pa.Array]]] = {
    **dict.fromkeys(
        ("text", "varchar", "name", "citext", "enum", "var_string", "tiny_blob", "blob", "medium_blob", "long_blob",
         "nvarchar", "ntext", "clob", "nclob", "dbclob", "long", "long_nvarchar", "vargraphic", "long varchar",
         "long vargraphic"),
        _as_it_is,
    ),
    # The second is CHAR on MySQL's wire.
    **dict.fromkeys(("bpchar", "string", "char", "nchar", "character", "graphic"), _without_blanks),
    **dict.fromkeys(("numeric", "decimal", "newdecimal", "number", "decfloat"), _numbers),
    **dict.fromkeys(("uuid", "uniqueidentifier"), _uuids),
    **dict.fromkeys(("json", "jsonb"), _documents),
}  # fmt: skip
#: Texts of binary digits, which are no decimal ones.
_BITS: Final = frozenset({"bit", "varbit"})


def _is_padded_binary(field: pa.Field) -> bool:
    return pa.types.is_binary(field.type) and _type_name(field) in ("string", "binary")


def _without_zeros(array: pa.Array) -> pa.Array:
    return pa.array([None if value is None else value.rstrip(b"\0") for value in array.to_pylist()], pa.binary())


def _put_failed(hashes: Hashes, column: pa.Array, places: Sequence[int], kind: pa.DataType, zone: str) -> None:
    """Hash by their text the values that are none of the column's type."""
    texts = convert(column.take(pa.array(places, pa.int64())), pa.string(), timezone=zone).array
    hashes[places] = _mixed(_hashes_of(_without_fraction_zeros(pc.utf8_lower(texts))) + _TEXT)
    if not (pa.types.is_timestamp(kind) or pa.types.is_date32(kind)):
        return
    # A database has the same day as a number where nothing else in its batch needs a text.
    for place, text in zip(places, texts.to_pylist(), strict=True):
        number = None if text is None else _far_moment(text, kind)
        if number is not None:
            hashes[place] = _mixed(_mixed(np.array([number & _MASK], dtype=np.uint64)))[0]


_FAR: Final = re.compile(
    r"(\d{4,6})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?(?:\+00:00)?( BC)?"
)  # fmt: skip
_DAYS_OF_400_YEARS: Final = 146_097
_UNIX_ORDINAL: Final = date(1970, 1, 1).toordinal()
_PER_MICROSECOND: Final = {"us": 1, "ns": 1000}


def _far_moment(text: str, kind: pa.DataType) -> int | None:
    """The number that Arrow has for a day outside the years that texts are read of; None where it is no day."""
    match = _FAR.fullmatch(text)
    if match is None:
        return None
    cycles, year = divmod((1 - int(match[1]) if match[8] else int(match[1])) - 1, 400)
    try:
        days = date(year + 1, int(match[2]), int(match[3])).toordinal() - _UNIX_ORDINAL + cycles * _DAYS_OF_400_YEARS
    except ValueError:
        return None
    if pa.types.is_date32(kind):
        return days
    hours, minutes, seconds = (int(match[place] or 0) for place in (4, 5, 6))
    microseconds = int((match[7] or "").ljust(6, "0"))
    moment = days * _DAY + ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + microseconds
    return moment * _PER_MICROSECOND[kind.unit]


def _hashes_of(array: pa.Array) -> Hashes:
    """A hash of each value; all values are of one type, so that the type need not be told."""
    if pa.types.is_null(array.type) or array.null_count == len(array):
        return np.full(len(array), _NULL, dtype=np.uint64)
    if pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        hashes = _hashes_of_bytes(array)
    else:
        hashes = np.zeros(len(array), dtype=np.uint64)
        for word in _words(array):
            hashes = _mixed(hashes + _mixed(word))
    if array.null_count:
        hashes[array.is_null().to_numpy(zero_copy_only=False)] = _NULL
    return hashes


def _words(array: pa.Array) -> Sequence[Hashes]:
    """Values of a fixed width as numbers of 64 bits, the lowest bits first; nulls may be anything."""
    kind = array.type
    if pa.types.is_boolean(kind):
        return [array.fill_null(False).to_numpy(zero_copy_only=False).astype(np.uint64)]
    if pa.types.is_decimal(kind):
        size = kind.bit_width // 64
        words = np.frombuffer(array.buffers()[1], dtype=np.uint64)
        words = words[array.offset * size : (array.offset + len(array)) * size].reshape(len(array), size)
        return [words[:, place] for place in range(size)]
    if pa.types.is_floating(kind):
        floats = array.fill_null(0).to_numpy(zero_copy_only=False) + 0  # the zero takes the sign from a zero
        floats[np.isnan(floats)] = np.nan
        bits = floats.view(np.uint32 if kind.bit_width == 32 else np.uint64)
        return [bits.astype(np.uint64)]
    if pa.types.is_unsigned_integer(kind):
        return [array.fill_null(0).to_numpy(zero_copy_only=False).astype(np.uint64)]
    numbers = array if pa.types.is_integer(kind) else array.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    return [numbers.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64)]


def _hashes_of_bytes(array: pa.Array) -> Hashes:
    """Hashes of texts: the sum of those of their words of eight bytes, each with its place in the text."""
    count = len(array)
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset : array.offset + count + 1].astype(
        np.int64
    )
    data = np.frombuffer(array.buffers()[2] or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    starts, lengths = offsets[:-1] - offsets[0], np.diff(offsets)
    padded = np.zeros(len(data) + 8, dtype=np.uint8)
    padded[: len(data)] = data
    # Words begin anywhere.
    words = np.lib.stride_tricks.as_strided(padded.view(), (len(data) + 1, 8), (1, 1))
    sizes = np.maximum((lengths + 7) // 8, 1)
    firsts = np.cumsum(sizes) - sizes
    places = np.arange(sizes.sum()) - np.repeat(firsts, sizes)
    values = words[np.repeat(starts, sizes) + 8 * places].view(np.uint64).ravel()
    used = (lengths - 8 * (sizes - 1)).astype(np.uint64)
    masks = np.where(used == 8, _ALL_BITS, (np.uint64(1) << (used * np.uint64(8) & np.uint64(63))) - np.uint64(1))
    values[firsts + sizes - 1] &= masks
    mixed = _mixed(values + _mixed((places.astype(np.uint64) + np.uint64(1)) * _STEP))
    return _mixed(np.add.reduceat(mixed, firsts) + lengths.astype(np.uint64))


def _mixed(numbers: Hashes) -> Hashes:
    """Each number's bits spread over all of them, one to one (the end of splitmix64)."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _sum(hashes: Hashes) -> int:
    return int(hashes.sum(dtype=np.uint64))
