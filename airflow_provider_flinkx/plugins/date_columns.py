"""Whole columns of dates by a SimpleDateFormat pattern: what Arrow does at once, and exactly as value by value.

`date_text` says what a pattern means, one value at a time. Patterns of numbers alone, which are nearly all, can be
turned into what Arrow reads and writes; for values and patterns that cannot, these functions say so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_flinkx.plugins.date_text import Pattern

_WALL = pa.timestamp("us")
#: Microseconds from 1970 to the years 1 and 10000.
_YEAR_1, _YEAR_10000 = -62_135_596_800_000_000, 253_402_300_800_000_000
_DATE_LETTERS = frozenset("yMd")
#: Letters that are read as numbers, with their greatest number of digits.
_DIGITS = {"y": 4, "M": 2, "d": 2, "H": 2, "m": 2, "s": 2, "S": 6}
#: Runs of letters that are written as Arrow's `strftime` does.
_WRITTEN: Mapping[tuple[str, int], str] = {
    ("y", 4): "%Y", ("M", 2): "%m", ("d", 2): "%d", ("H", 2): "%H", ("m", 2): "%M", ("s", 2): "%S",
}  # fmt: skip


def names_a_date(pattern: Pattern) -> bool:
    """Whether the pattern has a part of a date."""
    return any(part.letter in _DATE_LETTERS for part in pattern.parts)


def parse(array: pa.StringArray, pattern: Pattern) -> pa.TimestampArray | None:
    """Wall-clock times (µs) of texts; a time alone lies on 1970-01-01, as in `Moment.wall`.

    Returns:
        Null where `Pattern.parse` has to look at the value. None when it has to look at all of them.
    """
    expression = _expression(pattern)
    if expression is None:
        return None
    found = pc.extract_regex(array, expression)
    fields = {field.name: found.field(index) for index, field in enumerate(found.type)}
    # A struct that is null as a whole has empty texts in its fields.
    fields = {name: pc.if_else(found.is_valid(), values, None) for name, values in fields.items()}
    parts = [
        _year(fields, pattern),
        _padded(fields, "M", "01"),
        _padded(fields, "d", "01"),
        _padded(fields, "H", "00"),
        _padded(fields, "m", "00"),
        _padded(fields, "s", "00"),
        pc.utf8_rpad(pc.utf8_lpad(fields["S"], 3, "0"), 6, "0") if "S" in fields else "000000",
    ]
    texts = [part for pair in zip(parts, ("-", "-", " ", ":", ":", ".", ""), strict=True) for part in pair]
    try:
        return pc.binary_join_element_wise(*texts, "").cast(_WALL)
    except pa.ArrowInvalid:
        return None  # A day or time that does not exist.


def write(wall: pa.TimestampArray, pattern: Pattern) -> pa.StringArray | None:
    """Texts of wall-clock times without a zone, as `Pattern.format` writes them.

    Returns:
        None when the pattern, or a year outside 1 to 9999, is not for Arrow.
    """
    words = [_WRITTEN.get((part.letter, part.length)) if part.letter else part.literal for part in pattern.parts]
    if None in words or any("%" in part.literal for part in pattern.parts):
        return None
    years = pc.min_max(wall)
    if years["min"].is_valid and not (years["min"].value >= _YEAR_1 and years["max"].value < _YEAR_10000):
        return None
    # Arrow would write the fraction with the seconds.
    seconds = pc.floor_temporal(wall, unit="second").cast(pa.timestamp("s"))
    return pc.strftime(seconds, "".join(word or "" for word in words))


def _expression(pattern: Pattern) -> str | None:
    """RE2's expression of a pattern of numbers; matches less than `Pattern` does, and never differently."""
    expression = ""
    for part, following in zip(pattern.parts, [*pattern.parts[1:], None], strict=True):
        if not part.letter:
            if any(character.isdigit() for character in part.literal):
                return None  # Where such a text begins depends on the number before it.
            expression += re.escape(part.literal)
        elif part.letter in _DIGITS:
            is_adjacent = following is not None and following.letter in _DIGITS
            digits = f"{{{part.length}}}" if is_adjacent else f"{{1,{_DIGITS[part.letter]}}}"
            expression += rf"(?P<{part.letter}>[0-9]{digits})"
        else:
            return None
    return f"^{expression}$" if "(?P<" in expression else None


def _year(fields: Mapping[str, pa.Array], pattern: Pattern) -> pa.Array | str:
    if "y" not in fields:
        return "1970"
    year = fields["y"]
    if pattern.has_short_year:
        century = pc.if_else(pc.greater_equal(year, "70"), "19", "20")
        is_short = pc.equal(pc.utf8_length(year), 2)
        year = pc.if_else(is_short, pc.binary_join_element_wise(century, year, ""), year)
    year = pc.utf8_lpad(year, 4, "0")
    return pc.if_else(pc.equal(year, "0000"), None, year)


def _padded(fields: Mapping[str, pa.Array], letter: str, otherwise: str) -> pa.Array | str:
    return pc.utf8_lpad(fields[letter], 2, "0") if letter in fields else otherwise
