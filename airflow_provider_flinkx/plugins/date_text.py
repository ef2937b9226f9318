"""Dates and times as text: the built-in patterns of FlinkX, epoch numbers, and Java's SimpleDateFormat patterns.

Rules: job.md §11. Parsing is strict (2020-02-30 is refused, not moved to March) and keeps what the
text says: a `Moment` knows whether a date, a time of day or an offset was given.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from datetime import timezone as fixed_zone
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple
from zoneinfo import ZoneInfo

from airflow_provider_flinkx.exceptions import JobInvalidError
from airflow_provider_flinkx.jobs.formats import DATE_LETTERS

EPOCH = date(1970, 1, 1)
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Moment(NamedTuple):
    """What a text says; a part that it does not name is None."""

    date: date | None = None
    time: time | None = None
    offset: timedelta | None = None

    def wall(self, zone: str) -> datetime:
        """Date and time without a zone: as written, or seen from `zone` when the text has an offset.

        A time alone lies on 1970-01-01, a date alone at midnight, as in FlinkX.
        """
        written = datetime.combine(self.date or EPOCH, self.time or time())
        if self.offset is None:
            return written
        return (written - self.offset).replace(tzinfo=fixed_zone.utc).astimezone(ZoneInfo(zone)).replace(tzinfo=None)

    def instant(self, zone: str) -> datetime:
        """The instant, as a UTC date and time without tzinfo; a text without an offset is seen from `zone`.

        Raises:
            ValueError: the wall clock of `zone` never shows this time, or shows it twice.
        """
        written = datetime.combine(self.date or EPOCH, self.time or time())
        if self.offset is not None:
            return written - self.offset
        local = written.replace(tzinfo=ZoneInfo(zone))
        if local.utcoffset() != local.replace(fold=1).utcoffset():
            raise ValueError(f"the time is skipped or occurs twice in {zone}")
        return local.astimezone(fixed_zone.utc).replace(tzinfo=None)


_ISO = re.compile(
    r"(?:(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2}))?"
    r"(?:(?:^|[T ])(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?)?"
    r"\s?(?P<offset>Z|UTC|GMT|[+-]\d{2}(?::?\d{2}){0,2})?",
    re.ASCII,
)
_DIGITS = re.compile(r"-?\d+", re.ASCII)
#: Number of digits of an epoch number -> units per second (job.md §11).
EPOCH_UNITS = {10: 1, 13: 1_000, 16: 1_000_000, 19: 1_000_000_000}
#: An epoch number of fewer digits than this counts days.
EPOCH_DAY_DIGITS = 10


def parse(text: str) -> Moment:
    """Read a date or time in one of the built-in forms (job.md §11).

    `yyyy-MM-dd HH:mm:ss` with an optional fraction and offset, `yyyyMMddHHmmss`, `yyyy-MM-dd`, `HH:mm:ss`,
    `yyyy`, or an epoch number whose unit follows from its length. Four digits are a year, 14 the long form.

    Raises:
        ValueError: the text has none of these forms, or names a day or time that does not exist.
    """
    text = text.strip()
    if _DIGITS.fullmatch(text):
        return _parse_digits(text)
    found = _ISO.fullmatch(text)
    if not text or not found or (found["year"] is None and found["hour"] is None):
        raise ValueError("not a date or time")
    day = date(int(found["year"]), int(found["month"]), int(found["day"])) if found["year"] else None
    clock = _time(found["hour"], found["minute"], found["second"], found["fraction"]) if found["hour"] else None
    return Moment(day, clock, _offset(found["offset"]))


def _parse_digits(text: str) -> Moment:
    if len(text) == 4:
        return Moment(date(int(text), 1, 1))
    if len(text) == 14:
        day = date(int(text[:4]), int(text[4:6]), int(text[6:8]))
        return Moment(day, time(int(text[8:10]), int(text[10:12]), int(text[12:14])))
    return epoch(int(text))


def epoch(number: int) -> Moment:
    """The moment of an epoch number: fewer than 10 digits days, 10 s, 13 ms, 16 µs, 19 ns (job.md §11).

    Raises:
        ValueError: another number of digits, a year outside 1 to 9999, or a part smaller than a microsecond.
    """
    digits = len(str(abs(number)))
    try:
        if digits < EPOCH_DAY_DIGITS:
            return Moment(EPOCH + timedelta(days=number))
        if digits not in EPOCH_UNITS:
            raise ValueError(f"an epoch number of {digits} digits has no unit")
        microseconds, rest = divmod(number * 1_000_000, EPOCH_UNITS[digits])
        if rest:
            raise ValueError("finer than a microsecond")
        moment = datetime(1970, 1, 1) + timedelta(microseconds=microseconds)
    except OverflowError as error:
        raise ValueError("the year is outside 1 to 9999") from error
    return Moment(moment.date(), moment.time(), timedelta())


def _time(hour: str, minute: str, second: str | None, fraction: str | None) -> time:
    digits = fraction or ""
    if digits[6:].strip("0"):
        raise ValueError("finer than a microsecond")
    return time(int(hour), int(minute), int(second or 0), int(digits[:6].ljust(6, "0")))


def _offset(text: str | None) -> timedelta | None:
    if text is None:
        return None
    text = text.removeprefix("UTC").removeprefix("GMT").removeprefix("Z")
    if not text:
        return timedelta()
    digits = text[1:].replace(":", "").ljust(6, "0")
    if int(digits[2:4]) > 59 or int(digits[4:6]) > 59:
        raise ValueError("not an offset")
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4]), seconds=int(digits[4:6]))
    return -size if text[0] == "-" else size


class Part(NamedTuple):
    """A run of one pattern letter, or literal text (then `letter` is empty)."""

    letter: str
    length: int
    literal: str


@lru_cache(maxsize=64)
def pattern(java: str) -> Pattern:
    """The compiled form of a SimpleDateFormat pattern.

    Raises:
        JobInvalidError: the pattern has a letter that is not understood.
    """
    return Pattern(java)


class Pattern:
    """A SimpleDateFormat pattern: `y M d E a H k K h m s S z Z X` and quoted text; names are English.

    Attributes:
        parts: what it is made of, in its order.
        has_short_year: whether two digits of a year leave its century open.
    """

    def __init__(self, java: str) -> None:
        self.java = java
        self.parts = _split_pattern(java)
        self.has_short_year = any(part.letter == "y" and part.length == 2 for part in self.parts)
        for part in self.parts:
            if part.letter and part.letter not in DATE_LETTERS:
                raise JobInvalidError([f"format {java!r}: letter {part.letter!r} is not known in a date pattern"])
        expressions = (
            self._expression(part, following)
            for part, following in zip(self.parts, [*self.parts[1:], None], strict=True)
        )
        self._regex = re.compile("".join(expressions), re.ASCII | re.IGNORECASE)

    @staticmethod
    def _expression(part: Part, following: Part | None) -> str:
        letter, count = part.letter, part.length
        if not letter:
            return re.escape(part.literal)
        if letter == "M" and count >= 3:
            return f"(?P<M>{'|'.join(MONTHS + tuple(name[:3] for name in MONTHS))})"
        if letter == "E":
            return f"(?:{'|'.join(WEEKDAYS + tuple(name[:3] for name in WEEKDAYS))})"
        if letter == "a":
            return "(?P<a>AM|PM)"
        if letter in "zZX":
            return r"(?P<offset>(?:Z|UTC|GMT)?(?:[+-]\d{2}(?::?\d{2}){0,2})?)"
        # Digits are taken greedily, except where another number follows at once: `yyyyMMdd`.
        adjacent = following is not None and following.letter not in ("", "E", "a", "z", "Z", "X")
        return rf"(?P<{letter}>\d{{{count}}})" if adjacent else rf"(?P<{letter}>\d+)"

    def parse(self, text: str) -> Moment:
        """Read `text` by this pattern.

        Raises:
            ValueError: the text does not match, or names a day or time that does not exist.
        """
        found = self._regex.fullmatch(text.strip())
        if not found:
            raise ValueError(f"does not match the format {self.java!r}")
        fields = found.groupdict()
        has_date = any(letter in fields for letter in "yMd")
        has_time = any(letter in fields for letter in "HkKhmsS")
        return Moment(
            date(self._year(fields), self._month(fields), int(fields.get("d", 1))) if has_date else None,
            self._clock(fields) if has_time else None,
            _offset(fields.get("offset")),
        )

    def _year(self, fields: dict[str, str]) -> int:
        text = fields.get("y", "1970")
        # Java reads `yy` as the century around today; 1970 to 2069 is that rule with a fixed pivot.
        return (1900 if int(text) >= 70 else 2000) + int(text) if self.has_short_year and len(text) == 2 else int(text)

    @staticmethod
    def _month(fields: dict[str, str]) -> int:
        text = fields.get("M", "1")
        return int(text) if text.isdigit() else [name[:3].lower() for name in MONTHS].index(text[:3].lower()) + 1

    @staticmethod
    def _clock(fields: dict[str, str]) -> time:
        hour = int(fields.get("H", 0))
        if "k" in fields:
            hour = int(fields["k"]) % 24
        if "h" in fields or "K" in fields:
            half = int(fields["h"]) % 12 if "h" in fields else int(fields["K"])
            hour = half + (12 if fields.get("a", "AM").upper() == "PM" else 0)
        # `S` is a number of milliseconds in Java; with more than three digits it is taken as a fraction.
        text = fields.get("S", "0")
        fraction = text.rjust(3, "0")
        return _time(str(hour), fields.get("m", "0"), fields.get("s", "0"), fraction)

    def format(self, moment: datetime) -> str:
        """Write `moment` by this pattern; without tzinfo the zone letters write nothing."""
        return "".join(part.literal or self._write(part, moment) for part in self.parts)

    @staticmethod
    def _write(part: Part, moment: datetime) -> str:
        letter, count = part.letter, part.length
        if letter == "y":
            return f"{moment.year % 100:02d}" if count == 2 else str(moment.year).rjust(count, "0")
        if letter == "M" and count >= 3:
            name = MONTHS[moment.month - 1]
            return name if count > 3 else name[:3]
        if letter == "E":
            name = WEEKDAYS[moment.weekday()]
            return name if count > 3 else name[:3]
        if letter == "a":
            return "AM" if moment.hour < 12 else "PM"
        if letter == "S":
            return f"{moment.microsecond:06d}"[:count].ljust(count, "0") if count > 3 else (
                str(moment.microsecond // 1000).rjust(count, "0"))  # fmt: skip
        if letter in "zZX":
            return moment.strftime("%z")
        numbers = {
            "M": moment.month, "d": moment.day, "H": moment.hour, "k": moment.hour or 24, "K": moment.hour % 12,
            "h": moment.hour % 12 or 12, "m": moment.minute, "s": moment.second,
        }  # fmt: skip
        return str(numbers[letter]).rjust(count, "0")


def _split_pattern(java: str) -> list[Part]:
    """Cut a pattern into runs of one letter and literal text; `''` is a quote, `'…'` is literal."""
    parts: list[Part] = []
    for index, piece in enumerate(re.split(r"'((?:[^']|'')*)'", java)):
        if index % 2:
            parts.append(Part("", 0, piece.replace("''", "'") or "'"))
            continue
        for character, run in groupby(piece):
            count = len(list(run))
            is_letter = character.isascii() and character.isalpha()
            parts.append(Part(character, count, "") if is_letter else Part("", 0, character * count))
    return parts
