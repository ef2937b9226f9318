"""The parts of the TDS 7.4 wire format (MS-TDS) that the SQL Server stand-in speaks: packets, tokens, types.

Values cross between the server and this module as text in one canonical form per type (`None` is null): dates and
times with seven digits of a second, numbers as decimals, bytes as hexadecimal digits.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

PACKET = struct.Struct(">BBHHBB")
LATIN = bytes([0x09, 0x04, 0xD0, 0x00, 0x34])  # SQL_Latin1_General_CP1_CI_AS
_NO_VALUE = b"\xff" * 8
_DAY_ONE = date(1, 1, 1).toordinal()
_TICKS = 10_000_000
#: Bytes of a time by its digits.
_TIME_SIZES = (3, 3, 3, 4, 4, 5, 5, 5)
_INTEGERS = {"tinyint": 1, "smallint": 2, "int": 4, "bigint": 8}

Encoder = Callable[["str | None"], bytes]


class Declared(NamedTuple):
    """A T-SQL type: `decimal(38,3)` is ("decimal", (38, 3)); max is -1."""

    name: str
    numbers: tuple[int, ...] = ()

    @classmethod
    def of(cls, text: str) -> Declared:
        """Read a type as it stands in DDL."""
        name, _, rest = text.lower().strip().partition("(")
        numbers = tuple(-1 if part.strip() == "max" else int(part) for part in rest.rstrip(") ").split(",") if part)
        known = {"integer": "int", "numeric": "decimal", "double precision": "float", "rowversion": "timestamp"}
        name = known.get(name, name)
        if name == "float" and numbers and numbers[0] <= 24:
            return cls("real")
        return cls(name, () if name == "float" else numbers)

    def number(self, place: int, default: int) -> int:
        """One of its numbers."""
        return self.numbers[place] if len(self.numbers) > place else default


def utf16(text: str) -> bytes:
    """Text on the wire."""
    return text.encode("utf-16-le", "surrogatepass")


def short_text(text: str) -> bytes:
    """B_VARCHAR."""
    return bytes([len(utf16(text)) // 2]) + utf16(text)


def environment_change(kind: int, new: bytes | str, old: bytes | str = "") -> bytes:
    """ENVCHANGE token."""
    parts = [bytes([len(part)]) + part if isinstance(part, bytes) else short_text(part) for part in (new, old)]
    body = bytes([kind]) + b"".join(parts)
    return b"\xe3" + struct.pack("<H", len(body)) + body


def done(count: int | None = None, *, more: bool = False, error: bool = False, token: int = 0xFD) -> bytes:
    """DONE, DONEINPROC (0xFF) or DONEPROC (0xFE) token."""
    status = more | (2 if error else 0) | (0x10 if count is not None else 0)
    return struct.pack("<BHHQ", token, status, 0xC1, count or 0)


def failure(number: int, message: str) -> bytes:
    """ERROR token."""
    words = message[:2000]
    body = struct.pack("<iBBH", number, 1, 14, len(words)) + utf16(words)
    body += short_text("stand-in") + short_text("") + struct.pack("<i", 1)
    return b"\xaa" + struct.pack("<H", len(body)) + body


def columns(described: list[tuple[str, Declared]]) -> tuple[bytes, list[Encoder]]:
    """COLMETADATA token, and what encodes the values of each column."""
    out, encoders = b"\x81" + struct.pack("<H", len(described)), []
    for name, declared in described:
        information, encoder = type_information(declared)
        out += struct.pack("<IH", 0, 9) + information + short_text(name)
        encoders.append(encoder)
    return out, encoders


def type_information(declared: Declared) -> tuple[bytes, Encoder]:
    """TYPE_INFO of a type, and its encoder."""
    name = declared.name
    if name in _INTEGERS:
        size = _INTEGERS[name]
        return bytes([0x26, size]), _sized(lambda text: int(text).to_bytes(size, "little", signed=size > 1))
    if name == "bit":
        return b"\x68\x01", _sized(lambda text: bytes([int(text)]))
    if name in ("real", "float"):
        single = name == "real" or declared.number(0, 53) <= 24
        return bytes([0x6D, 4 if single else 8]), _sized(
            lambda text: struct.pack("<f" if single else "<d", float(text))
        )
    if name == "decimal":
        return _decimal(declared.number(0, 18), declared.number(1, 0))
    if name in ("money", "smallmoney"):
        return _money(8 if name == "money" else 4)
    if name == "uniqueidentifier":
        return b"\x24\x10", _sized(lambda text: UUID(text).bytes_le)
    if name in _TEMPORALS:
        return _TEMPORALS[name](declared.number(0, 7))
    return _characters(declared)


def _sized(encode: Callable[[str], bytes]) -> Encoder:
    def encoded(text: str | None) -> bytes:
        if text is None:
            return b"\0"
        value = encode(text)
        return bytes([len(value)]) + value

    return encoded


def _decimal(precision: int, scale: int) -> tuple[bytes, Encoder]:
    size = 4 if precision <= 9 else 8 if precision <= 19 else 12 if precision <= 28 else 16

    def encode(text: str) -> bytes:
        sign, digits, exponent = Decimal(text).as_tuple()
        number = int("".join(map(str, digits))) * 10 ** (int(exponent) + scale)
        return bytes([not sign]) + number.to_bytes(size, "little")

    return bytes([0x6A, size + 1, precision, scale]), _sized(encode)


def _money(size: int) -> tuple[bytes, Encoder]:
    def encode(text: str) -> bytes:
        number = int(Decimal(text).scaleb(4))
        if size == 4:
            return struct.pack("<i", number)
        return struct.pack("<iI", number >> 32, number & 0xFFFFFFFF)

    return bytes([0x6E, size]), _sized(encode)


def _clock(text: str, digits: int) -> bytes:
    whole, _, fraction = text.partition(".")
    hours, minutes, seconds = map(int, whole.split(":"))
    ticks = ((hours * 60 + minutes) * 60 + seconds) * _TICKS + int(fraction.ljust(7, "0")[:7])
    return (ticks // 10 ** (7 - digits)).to_bytes(_TIME_SIZES[digits], "little")


def _day(text: str) -> bytes:
    return (date.fromisoformat(text).toordinal() - _DAY_ONE).to_bytes(3, "little")


def _offset_time(text: str, digits: int) -> bytes:
    day, clock, offset = text.split(" ")
    minutes = (int(offset[1:3]) * 60 + int(offset[4:6])) * (-1 if offset[0] == "-" else 1)
    seconds, _, fraction = clock.partition(".")
    utc = datetime.fromisoformat(f"{day} {seconds}") - timedelta(minutes=minutes)
    moment = f"{utc:%H:%M:%S}.{fraction}"
    return _clock(moment, digits) + _day(utc.date().isoformat()) + struct.pack("<h", minutes)


def _old_time(text: str, size: int) -> bytes:
    moment = datetime.fromisoformat(text.partition(".")[0])
    since = moment - datetime(1900, 1, 1)
    if size == 4:
        return struct.pack("<HH", since.days, since.seconds // 60)
    fraction = int((text.partition(".")[2] or "0").ljust(7, "0"))
    return struct.pack("<iI", since.days, since.seconds * 300 + round(fraction * 300 / _TICKS))


_TEMPORALS: dict[str, Callable[[int], tuple[bytes, Encoder]]] = {
    "date": lambda _: (b"\x28", _sized(_day)),
    "time": lambda n: (bytes([0x29, n]), _sized(lambda text: _clock(text, n))),
    "datetime2": lambda n: (
        bytes([0x2A, n]),
        _sized(lambda text: _clock(text.split(" ")[1], n) + _day(text.split(" ")[0])),
    ),
    "datetimeoffset": lambda n: (bytes([0x2B, n]), _sized(lambda text: _offset_time(text, n))),
    "datetime": lambda _: (b"\x6f\x08", _sized(lambda text: _old_time(text, 8))),
    "smalldatetime": lambda _: (b"\x6f\x04", _sized(lambda text: _old_time(text, 4))),
}
_CHARACTERS = {"char": 0xAF, "varchar": 0xA7, "nchar": 0xEF, "nvarchar": 0xE7, "sysname": 0xE7}
_BYTES = {"binary": 0xAD, "varbinary": 0xA5, "timestamp": 0xAD, "rowversion": 0xAD}
_LARGE = {"text": ("varchar", (-1,)), "ntext": ("nvarchar", (-1,)), "image": ("varbinary", (-1,))}


def _characters(declared: Declared) -> tuple[bytes, Encoder]:
    name, numbers = _LARGE.get(declared.name, declared)
    if name == "xml":
        return b"\xf1\x00", _in_pieces(utf16)
    token = _CHARACTERS.get(name) or _BYTES.get(name) or 0xE7
    length = {"sysname": 128, "timestamp": 8, "rowversion": 8}.get(name) or (numbers[0] if numbers else 1)
    wide, binary = token in (0xEF, 0xE7), name in _BYTES
    encode = bytes.fromhex if binary else utf16 if wide else lambda text: text.encode("cp1252", "replace")
    collation = b"" if binary else LATIN
    if length == -1:
        return bytes([token]) + b"\xff\xff" + collation, _in_pieces(encode)
    size = length * (2 if wide else 1)

    def encoded(text: str | None) -> bytes:
        value = None if text is None else encode(text)
        return b"\xff\xff" if value is None else struct.pack("<H", len(value)) + value

    return bytes([token]) + struct.pack("<H", size) + collation, encoded


def _in_pieces(encode: Callable[[str], bytes]) -> Encoder:
    def encoded(text: str | None) -> bytes:
        if text is None:
            return _NO_VALUE
        value = encode(text)
        piece = struct.pack("<I", len(value)) + value if value else b""
        return struct.pack("<Q", len(value)) + piece + b"\0" * 4

    return encoded


class Cursor:
    """Reads what a client sent, piece by piece."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    @property
    def ended(self) -> bool:
        """Whether all is read."""
        return self.position >= len(self.data)

    def take(self, count: int) -> bytes:
        """The next bytes."""
        self.position += count
        return self.data[self.position - count : self.position]

    def number(self, form: str) -> Any:
        """The next number, little-endian."""
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def short_text(self) -> str:
        """B_VARCHAR."""
        return self.take(self.number("B") * 2).decode("utf-16-le")

    def wire_type(self) -> tuple[int, ...]:
        """TYPE_INFO: token, then length, precision, scale."""
        token = self.number("B")
        if token in (0x26, 0x68, 0x6D, 0x6F, 0x6E, 0x24, 0x29, 0x2A, 0x2B):
            return token, self.number("B")
        if token in (0x6A, 0x6C):
            return token, self.number("B"), self.number("B"), self.number("B")
        if token in (0xE7, 0xEF, 0xA7, 0xAF):
            length = self.number("H")
            self.take(5)
            return token, length
        if token in (0xA5, 0xAD):
            return token, self.number("H")
        if token == 0xF1:
            self.take(1)
            return token, 0xFFFF
        if token in _FIXED or token in (0x28, 0x1F):
            return (token,)
        raise ValueError(f"type {token:#x} is not known to the stand-in")

    def value(self, kind: tuple[int, ...]) -> str | None:
        """A value in its canonical text."""
        token = kind[0]
        if token in _FIXED:
            return _canonical_fixed(token, self.number(_FIXED[token]))
        if token in (0xE7, 0xEF, 0xA7, 0xAF, 0xA5, 0xAD, 0xF1):
            raw = self._pieces() if kind[1] == 0xFFFF else self._counted()
            if raw is None or token in (0xA5, 0xAD):
                return None if raw is None else raw.hex()
            return raw.decode("utf-16-le" if token in (0xE7, 0xEF, 0xF1) else "cp1252", "surrogatepass")
        size = self.number("B")
        return _canonical(token, self.take(size), kind) if size else None

    def _counted(self) -> bytes | None:
        size = self.number("H")
        return None if size == 0xFFFF else self.take(size)

    def _pieces(self) -> bytes | None:
        if self.take(8) == _NO_VALUE:
            return None
        out = b""
        while size := self.number("I"):
            out += self.take(size)
        return out


_FIXED = {0x30: "B", 0x32: "B", 0x34: "h", 0x38: "i", 0x7F: "q", 0x3B: "f", 0x3E: "d"}


def _canonical_fixed(token: int, value: Any) -> str:
    return repr(value)


def _clock_text(raw: bytes, digits: int) -> str:
    ticks = int.from_bytes(raw, "little") * 10 ** (7 - digits)
    seconds, fraction = divmod(ticks, _TICKS)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{fraction:07d}"


def _day_text(raw: bytes) -> str:
    return date.fromordinal(int.from_bytes(raw, "little") + _DAY_ONE).isoformat()


def _canonical(token: int, raw: bytes, kind: tuple[int, ...]) -> str:
    if token in (0x26, 0x68):
        return str(int.from_bytes(raw, "little", signed=len(raw) > 1))
    if token == 0x6D:
        # The shortest digits that give the same single or double.
        return repr(struct.unpack("<d", raw)[0]) if len(raw) == 8 else f"{struct.unpack('<f', raw)[0]:.9g}"
    if token in (0x6A, 0x6C):
        digits = tuple(map(int, str(int.from_bytes(raw[1:], "little"))))
        return format(Decimal((int(not raw[0]), digits, -kind[3])), "f")
    if token == 0x24:
        return str(UUID(bytes_le=raw))
    if token == 0x6E:
        number = (struct.unpack("<i", raw[:4])[0] << 32 | int.from_bytes(raw[4:], "little")) if len(raw) == 8 else None
        number = struct.unpack("<i", raw)[0] if number is None else number
        return format(Decimal(number).scaleb(-4), "f")
    if token == 0x28:
        return _day_text(raw)
    if token == 0x29:
        return _clock_text(raw, kind[1])
    if token == 0x2A:
        return f"{_day_text(raw[-3:])} {_clock_text(raw[:-3], kind[1])}"
    if token == 0x2B:
        return _offset_text(raw, kind[1])
    if len(raw) == 4:
        days, minutes = struct.unpack("<HH", raw)
        return f"{datetime(1900, 1, 1) + timedelta(days=days, minutes=minutes)}.0000000"
    days, ticks = struct.unpack("<iI", raw)
    moment = datetime(1900, 1, 1) + timedelta(days=days, milliseconds=round(ticks * 10 / 3))
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond:06d}0"


def _offset_text(raw: bytes, digits: int) -> str:
    minutes = struct.unpack("<h", raw[-2:])[0]
    clock = _clock_text(raw[:-5], digits)
    utc = datetime.fromisoformat(f"{_day_text(raw[-5:-2])} {clock[:8]}")
    local = utc + timedelta(minutes=minutes)
    size = abs(minutes)
    sign = "-" if minutes < 0 else "+"
    return f"{local.isoformat(' ')}{clock[8:]} {sign}{size // 60:02d}:{size % 60:02d}"
