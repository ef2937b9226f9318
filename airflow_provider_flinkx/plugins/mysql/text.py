"""Arrow columns as the text of LOAD DATA lines and of VALUES lists, column by column in native code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_HEXADECIMAL = np.frombuffer(b"".join(b"%02X" % byte for byte in range(256)), dtype=np.uint16)
#: What has a meaning in a field of LOAD DATA, and how it is written there; the backslash comes first.
_LINE_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"), ("\0", "\\0"))
_LITERAL_ESCAPES = (("\\", "\\\\"), ("'", "\\'"), ("\0", "\\0"))


def lines(columns: Sequence[pa.Array]) -> pa.StringArray:
    """One line of LOAD DATA per row: fields separated by tabs, null as a backslash and N, line feed at the end."""
    fields = [_escaped(text(column), _LINE_ESCAPES) for column in columns]
    joined = pc.binary_join_element_wise(*fields, "\t", null_handling="replace", null_replacement="\\N")
    return pc.binary_join_element_wise(joined, "", "\n")


def value_lists(columns: Sequence[pa.Array]) -> pa.StringArray:
    """One bracketed list of literals per row."""
    literals = [_literal(column) for column in columns]
    joined = pc.binary_join_element_wise(*literals, ",", null_handling="replace", null_replacement="NULL")
    return pc.binary_join_element_wise("(", joined, ")", "")


def slice_bytes(array: pa.StringArray, start: int, stop: int) -> memoryview:
    """The bytes of consecutive texts, one after the other, without a copy."""
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32)
    first, last = offsets[array.offset + start], offsets[array.offset + stop]
    return memoryview(array.buffers()[2])[first:last]


def text(array: pa.Array) -> pa.StringArray:
    """Values as MySQL reads them; bytes as hexadecimal digits."""
    kind = array.type
    if pa.types.is_string(kind):
        return array
    if pa.types.is_binary(kind):
        return hexadecimal(array)
    if pa.types.is_timestamp(kind) and kind.tz:
        array = array.cast(pa.timestamp("us"))  # the session's zone is UTC
    return array.cast(pa.string())


def hexadecimal(array: pa.BinaryArray) -> pa.StringArray:
    """Bytes as hexadecimal digits."""
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(array.buffers()[2] or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    digits = _HEXADECIMAL[data]
    moved = ((offsets - offsets[0]).astype(np.int64) * 2).astype(np.int32)
    plain = pa.StringArray.from_buffers(len(array), pa.py_buffer(moved), pa.py_buffer(digits))
    return pc.if_else(array.is_valid(), plain, pa.scalar(None, pa.string())) if array.null_count else plain


def _literal(array: pa.Array) -> pa.StringArray:
    kind = array.type
    if pa.types.is_binary(kind):
        return pc.binary_join_element_wise("x'", hexadecimal(array), "'", "")
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return text(array)
    return pc.binary_join_element_wise("'", _escaped(text(array), _LITERAL_ESCAPES), "'", "")


def _escaped(array: pa.StringArray, escapes: Sequence[tuple[str, str]]) -> pa.StringArray:
    data = bytes(array.buffers()[2] or b"")
    for character, escape in escapes:
        # Most columns hold none of these: a search through the bytes costs next to nothing.
        if character.encode() in data:
            array = pc.replace_substring(array, character, escape)
            data = bytes(array.buffers()[2])
    return array
