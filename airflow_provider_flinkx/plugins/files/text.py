r"""Lines of delimited text: no quoting, no escaping, `\N` for null (job.md §12, hdfs.md).

Because nothing is escaped, a value that holds the delimiter or a line end cannot be written so that it
can be read again; such a row is rejected. So is text that is `\N` itself. Binary values are written in Base64, as Hive
writes them. A line ends with `\n`, `\r\n` or `\r`, as for Hadoop.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import string
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_flinkx.exceptions import DataError, JobInvalidError
from airflow_provider_flinkx.plugins.conversion import Converted, to_text

NULL_TEXT: Final = r"\N"
_BLOCK_BYTES: Final = 4 << 20
#: A line longer than this is taken for a file of another kind.
_LONGEST_LINE_BYTES: Final = 64 << 20
_ESCAPE: Final = re.compile(r"\\(?:([0-7]{3})|u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_NAMED_ESCAPES: Final = {"t": "\t", "r": "\r", "n": "\n"}


def parse_delimiter(text: str) -> str:
    r"""The field delimiter that a job means: `\t`, octal `\001`, `\|` for `|`, all else literally (job.md §12).

    Raises:
        JobInvalidError: it is empty or holds a line end.
    """

    def character(found: re.Match[str]) -> str:
        octal, unicode, single = found.groups()
        return chr(int(octal, 8)) if octal else chr(int(unicode, 16)) if unicode else _NAMED_ESCAPES.get(single, single)

    delimiter = _ESCAPE.sub(character, text)
    if not delimiter or "\n" in delimiter or "\r" in delimiter:
        raise JobInvalidError([f"fieldDelimiter {text!r} is empty or a line end"])
    return delimiter


class Encoding(NamedTuple):
    """A character set; `splittable`: the byte 0x0A is always a line end, so a file can be cut there."""

    name: str
    splittable: bool

    @classmethod
    def of(cls, name: str) -> Encoding:
        """The encoding of a (Java) character set name.

        Raises:
            JobInvalidError: Python does not know it.
        """
        try:
            canonical = codecs.lookup(name).name
        except LookupError as error:
            raise JobInvalidError([f"encoding {name!r} is not known"]) from error
        return cls(canonical, not canonical.startswith(("utf-16", "utf-32", "utf-7", "iso2022", "hz")))


class BadLine(NamedTuple):
    """A line that is no row: its text, as far as it can be shown, and why."""

    text: str
    message: str


def blocks(stream: pa.NativeFile, start: int, end: int | None, place: str) -> Iterator[bytes]:
    """The lines whose first byte is in [start, end), in blocks of whole lines; `end` None reads to the end.

    Args:
        stream: an open file; must be seekable when `start` is not 0.
        start: first byte.
        end: byte after the last, or None.
        place: URL of the file, for messages.

    Raises:
        DataError: a line has no end within 64 MB.
    """
    position = start
    if start:
        # The line that begins before `start` belongs to the piece before, unless it ends exactly there.
        stream.seek(start - 1)
        position = start - 1
    carried = b""
    skipping = start > 0
    while end is None or position - len(carried) < end:
        data = stream.read(_BLOCK_BYTES)
        at_end = not data
        position += len(data)
        block = carried + data
        if skipping:
            _, found, block = block.partition(b"\n")
            skipping = not found and not at_end
            if skipping:
                continue
        block, carried = _cut(block, position, end, at_end)
        if block:
            yield block
        if at_end:
            return
        if len(carried) > _LONGEST_LINE_BYTES:
            raise DataError(f"{place}: no line end within {_LONGEST_LINE_BYTES >> 20} MB; is it a text file?")


def _cut(block: bytes, position: int, end: int | None, at_end: bool) -> tuple[bytes, bytes]:
    """Cut a block after its last line end, or after the last line that begins before `end`."""
    if end is not None and position >= end:
        first = position - len(block)
        if first >= end:
            return b"", b""
        # The line that holds byte `end - 1` is the last one.
        last = block.find(b"\n", max(end - 1 - first, 0))
        if last >= 0:
            return block[: last + 1], b""
        return (block, b"") if at_end else (b"", block)
    if at_end:
        return block, b""
    cut = block.rfind(b"\n") + 1
    return block[:cut], block[cut:]


def decoded_blocks(stream: pa.NativeFile, encoding: Encoding, place: str) -> Iterator[bytes]:
    """All lines of a file in an encoding without byte-wise line ends, as UTF-8 blocks of whole lines."""
    decoder = codecs.getincrementaldecoder(encoding.name)()
    carried = ""
    try:
        while data := stream.read(_BLOCK_BYTES):
            text = carried + decoder.decode(data)
            cut = text.rfind("\n") + 1
            yield text[:cut].encode()
            carried = text[cut:]
        yield (carried + decoder.decode(b"", final=True)).encode()
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: not {encoding.name}: {error.reason} at byte {error.start}") from error


def lines_of(block: bytes, encoding: Encoding) -> tuple[pa.StringArray, list[BadLine]]:
    """The lines of a block as UTF-8, and those that are not in the encoding."""
    raw = block.splitlines()
    if encoding.name == "utf-8":
        try:
            return pa.array(raw, pa.binary()).cast(pa.string()), []
        except pa.ArrowInvalid:
            pass  # Some line is not UTF-8: look at each.
    lines: list[str] = []
    bad: list[BadLine] = []
    for line in raw:
        try:
            lines.append(line.decode(encoding.name))
        except UnicodeDecodeError as error:
            message = f"the line is not {encoding.name}: {error.reason} at byte {error.start}"
            bad.append(BadLine(line.decode("ascii", "backslashreplace"), message))
    return pa.array(lines, pa.string()), bad


class Fields:
    r"""Lines cut at a delimiter: field `i` of every line, `\N` and what a short line lacks as null."""

    def __init__(self, lines: pa.StringArray, delimiter: str) -> None:
        cut = pc.split_pattern(lines, delimiter)
        self.lengths = np.diff(cut.offsets.to_numpy())
        self._starts = cut.offsets.to_numpy()[:-1]
        self._values = cut.values

    def field(self, index: int) -> pa.StringArray:
        """Field `index` of every line."""
        missing = self.lengths <= index
        places = pa.array(np.where(missing, 0, self._starts + index), mask=missing)
        values = self._values.take(places)
        is_null = pc.equal(values, NULL_TEXT)
        if not pc.any(is_null, min_count=0).as_py():
            return values
        return pc.if_else(is_null, pa.scalar(None, pa.string()), values)


def from_base64(array: pa.StringArray) -> Converted:
    """Binary values of Base64 text; text that is none is a failure."""
    values: list[bytes | None] = []
    failures: dict[int, str] = {}
    for position, text in enumerate(array.to_pylist()):
        try:
            values.append(None if text is None else base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError):
            values.append(None)
            failures[position] = f"{text[:100]!r} is not Base64"
    return Converted(pa.array(values, pa.binary()), failures)


class Lines(NamedTuple):
    """Lines in UTF-8, and the rows that are not among them, each with its message."""

    data: pa.Buffer
    failures: dict[int, str]


#: The characters of the text of everything but text: numbers, dates, booleans, Base64.
_PLAIN_CHARACTERS: Final = frozenset(string.ascii_letters + string.digits + "+-.:/= ")


class LineWriter:
    """Turns batches into lines.

    Args:
        delimiter: what stands between fields.
        encoding: of the file; values that it has no characters for are failures.
        timezone: IANA name, for timestamps with a zone.
    """

    def __init__(self, delimiter: str, encoding: Encoding, timezone: str) -> None:
        self.delimiter = delimiter
        self.encoding = encoding
        self.timezone = timezone
        self._only_text_can_break = not _PLAIN_CHARACTERS.issuperset(delimiter)

    def lines(self, batch: pa.RecordBatch) -> Lines:
        """The rows as lines. A row with a value that would break its line is left out and has its message."""
        columns = [self._text(column) for column in batch.columns]
        failures: dict[int, str] = {}
        for field, text in zip(batch.schema, columns, strict=True):
            if pa.types.is_string(field.type) or not self._only_text_can_break:
                for position, message in self._failures(text).items():
                    failures.setdefault(position, f"column {field.name}: {message}")
        if failures:
            kept = pa.array(np.setdiff1d(np.arange(batch.num_rows), np.fromiter(failures, dtype=np.int64)))
            columns = [column.take(kept) for column in columns]
        return Lines(self._joined(columns), failures)

    def _text(self, column: pa.Array) -> pa.StringArray:
        if pa.types.is_binary(column.type):
            values = [None if value is None else base64.b64encode(value) for value in column.to_pylist()]
            return pa.array(values, pa.binary()).cast(pa.string())
        return to_text(column, timezone=self.timezone)

    def _failures(self, text: pa.StringArray) -> dict[int, str]:
        # Looked for in value + delimiter, since "a|" before "||" would be cut too early as well.
        place = pc.find_substring(pc.binary_join_element_wise(text, self.delimiter, ""), self.delimiter)
        message = "the value holds the field delimiter, which a text file cannot escape"
        failures = dict.fromkeys(_positions(pc.not_equal(place, pc.binary_length(text))), message)
        message = "the value holds a line end, which a text file cannot escape"
        failures.update(dict.fromkeys(_positions(pc.match_substring_regex(text, r"[\n\r]")), message))
        message = r"the value is the text \N, which a text file reads as null"
        failures.update(dict.fromkeys(_positions(pc.equal(text, NULL_TEXT)), message))
        if self.encoding.name != "utf-8":
            failures.update(self._not_encodable(text))
        return failures

    def _not_encodable(self, text: pa.StringArray) -> dict[int, str]:
        failures: dict[int, str] = {}
        for at, value in enumerate(text.to_pylist()):
            try:
                (value or "").encode(self.encoding.name)
            except UnicodeEncodeError as error:
                failures[at] = f"the character {value[error.start]!r} is not in {self.encoding.name}"
        return failures

    def _joined(self, columns: list[pa.StringArray]) -> pa.Buffer:
        rows = pc.binary_join_element_wise(
            *columns, self.delimiter, null_handling="replace", null_replacement=NULL_TEXT
        )
        lines = pc.binary_join_element_wise(rows, "\n", "")
        if not len(lines):
            return pa.py_buffer(b"")
        # The values of a string array lie one after the other: they are the file's bytes already.
        offsets = np.frombuffer(lines.buffers()[1], dtype=np.int32)[lines.offset : lines.offset + len(lines) + 1]
        return lines.buffers()[2].slice(int(offsets[0]), int(offsets[-1] - offsets[0]))


def _positions(mask: pa.BooleanArray) -> list[int]:
    found: list[int] = pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()
    return found
