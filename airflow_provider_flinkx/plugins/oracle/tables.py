"""Tables of Oracle: what their columns are, and the types of those that are made.

A VARCHAR2 has 4000 bytes at most and a RAW 2000, whatever unit its length counts; what may be longer becomes a LOB.
Oracle has no time without a date: such a column is text. An empty text is null there, so a column that must not be
null takes none: its row is rejected.
"""

# ruff: noqa: S608 -- SQL is made here of quoted names
from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_provider_flinkx.plugins.base import UTF_8, UTF_16, TableColumn
from airflow_provider_flinkx.plugins.relational.tables import (
    Tables,
    fine_time_characters,
    is_bytes,
    is_text,
    utf_8_bytes,
)

if TYPE_CHECKING:
    from airflow_provider_flinkx.plugins.oracle.database import Oracle

PRODUCT = "Oracle"
_COLUMNS = """
SELECT c.COLUMN_NAME, c.DATA_TYPE, c.DATA_LENGTH, c.DATA_PRECISION, c.DATA_SCALE, c.CHAR_LENGTH, c.CHAR_USED,
       c.NULLABLE, k.POSITION
FROM ALL_TAB_COLS c
LEFT JOIN (
  SELECT p.OWNER, p.TABLE_NAME, n.COLUMN_NAME, n.POSITION FROM ALL_CONSTRAINTS p
  JOIN ALL_CONS_COLUMNS n ON n.OWNER = p.OWNER AND n.CONSTRAINT_NAME = p.CONSTRAINT_NAME
  WHERE p.CONSTRAINT_TYPE = 'P' AND p.OWNER = :1 AND p.TABLE_NAME = :2
) k ON k.OWNER = c.OWNER AND k.TABLE_NAME = c.TABLE_NAME AND k.COLUMN_NAME = c.COLUMN_NAME
WHERE c.OWNER = :3 AND c.TABLE_NAME = :4 AND c.HIDDEN_COLUMN = 'NO'
ORDER BY c.COLUMN_ID
"""
_CHARACTER_SET = "SELECT VALUE FROM NLS_DATABASE_PARAMETERS WHERE PARAMETER = 'NLS_CHARACTERSET'"
_LEFT_BEHIND = "SELECT TABLE_NAME FROM ALL_TABLES WHERE OWNER = :1 AND TABLE_NAME IN (:2, :3)"
_UNICODE = frozenset({"AL32UTF8", "UTF8"})
_NUMBERS = re.compile(r"\(.*?\)")
_TYPES = {
    pa.bool_(): "NUMBER(1)",
    pa.int8(): "NUMBER(3)",
    pa.int16(): "NUMBER(5)",
    pa.int32(): "NUMBER(10)",
    pa.int64(): "NUMBER(19)",
    pa.uint8(): "NUMBER(3)",
    pa.uint16(): "NUMBER(5)",
    pa.uint32(): "NUMBER(10)",
    pa.uint64(): "NUMBER(20)",
    pa.float32(): "BINARY_FLOAT",
    pa.float64(): "BINARY_DOUBLE",
    pa.date32(): "DATE",
}
_FIXED = {
    "BINARY_FLOAT": pa.float32(), "BINARY_DOUBLE": pa.float64(), "BOOLEAN": pa.bool_(), "RAW": pa.binary(),
    "BLOB": pa.binary(), "LONG RAW": pa.binary(),
}  # fmt: skip
_TEXTS = frozenset({"CHAR", "VARCHAR2", "NCHAR", "NVARCHAR2", "CLOB", "NCLOB", "LONG"})
_MOST_DIGITS, _WIDEST_DECIMAL = 38, 76
_MOST_SCALE, _LEAST_SCALE = 127, -84
_MICROSECOND_DIGITS, _MOST_FRACTION = 6, 9
_LONGEST_TEXT, _LONGEST_RAW = 4000, 2000
_CHARACTER_BYTES = 4
#: Bytes of a key in a block of 8 kB, without what each column takes beside its value.
_KEY_BYTES = 6000
_FIXED_BYTES = 22
_DURATION_CHARACTERS = 17
_UUID_CHARACTERS = 36
#: Bytes of a name in every version.
_NAME_BYTES = 30


class OracleTables(Tables):
    """The table of a job's connection, in Oracle. Every statement here commits at once."""

    transactional = False
    database: Oracle

    def describe(self, cursor: Any) -> Sequence[TableColumn]:
        """Ask the catalog."""
        place = self.database.place(cursor)
        if place is None:
            return ()
        cursor.execute(_COLUMNS, [*place, *place])
        rows = cursor.fetchall()
        cursor.execute(_CHARACTER_SET)
        (character_set,) = cursor.fetchone()
        return [_described(row, str(character_set)) for row in rows]

    def column_type(self, column: TableColumn) -> str:
        """The type for a column."""
        if column.declared is not None and column.declared[0] == PRODUCT:
            return column.declared[1]
        kind = column.type
        if pa.types.is_timestamp(kind):
            return _moment_type(column)
        if pa.types.is_time(kind):
            return f"VARCHAR2({fine_time_characters(column) or len('HH:MM:SS.ffffff')})"
        if pa.types.is_duration(kind):
            return f"VARCHAR2({_DURATION_CHARACTERS})"
        if pa.types.is_decimal(kind):
            fits = kind.precision <= _MOST_DIGITS and _LEAST_SCALE <= kind.scale <= _MOST_SCALE
            # Beyond that as text: sign, point and a zero before it are not among the digits.
            digits = kind.precision + max(0, -kind.scale)
            return f"NUMBER({kind.precision},{kind.scale})" if fits else f"VARCHAR2({digits + 3})"
        if is_bytes(kind):
            length = kind.byte_width if pa.types.is_fixed_size_binary(kind) else column.length
            return f"RAW({length})" if length and length <= _LONGEST_RAW else "BLOB"
        if column.is_uuid:
            return f"VARCHAR2({_UUID_CHARACTERS})"
        if kind in _TYPES:
            return _TYPES[kind]
        size = utf_8_bytes(column)
        return f"VARCHAR2({column.length} CHAR)" if size and size <= _LONGEST_TEXT else "CLOB"

    def create(self, cursor: Any, columns: Sequence[TableColumn]) -> None:
        """Make the table."""
        super().create(cursor, self._fitting_key(columns))

    def empty(self, cursor: Any) -> None:
        """Remove all rows."""
        cursor.execute(f"TRUNCATE TABLE {self._own_name(cursor)}")

    def replace(self, cursor: Any, columns: Sequence[TableColumn]) -> None:
        """Make the new table under another name, and let it take the old one's place, which is dropped last."""
        owner, name = self._place(cursor)
        new, old = _names_beside(name)
        quote = self.database.quote
        cursor.execute(_LEFT_BEHIND, [owner, new, old])
        for (left,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE {quote(owner)}.{quote(left)}")
        cursor.execute(self._create_statement(f"{quote(owner)}.{quote(new)}", self._fitting_key(columns), ""))
        self._rename(cursor, owner, name, old)
        try:
            self._rename(cursor, owner, new, name)
        except Exception:
            self._rename(cursor, owner, old, name)
            raise
        try:
            cursor.execute(f"DROP TABLE {quote(owner)}.{quote(old)}")
        except Exception:
            # A foreign key refers to it.
            with contextlib.suppress(Exception):
                self._rename(cursor, owner, name, new)
                self._rename(cursor, owner, old, name)
                cursor.execute(f"DROP TABLE {quote(owner)}.{quote(new)}")
            raise

    def add(self, cursor: Any, columns: Sequence[TableColumn]) -> None:
        """Add columns that may be null."""
        added = ", ".join(f"{self._quoted(column.name)} {self.column_type(column)} NULL" for column in columns)
        cursor.execute(f"ALTER TABLE {self._own_name(cursor)} ADD ({added})")

    def has_rows(self, cursor: Any) -> bool:
        """Whether the table holds a row."""
        cursor.execute(f"SELECT 1 FROM {self.database.table} WHERE ROWNUM = 1")
        return cursor.fetchone() is not None

    def _place(self, cursor: Any) -> tuple[str, str]:
        place = self.database.place(cursor)
        assert place is not None, "`describe` has found it"
        return place

    def _own_name(self, cursor: Any) -> str:
        """The table's name in quotes; DDL takes no synonym."""
        return ".".join(map(self.database.quote, self._place(cursor)))

    def _rename(self, cursor: Any, owner: str, name: str, new: str) -> None:
        quote = self.database.quote
        cursor.execute(f"ALTER TABLE {quote(owner)}.{quote(name)} RENAME TO {quote(new)}")

    def _fitting_key(self, columns: Sequence[TableColumn]) -> list[TableColumn]:
        return self._with_fitting_key(
            columns,
            _KEY_BYTES,
            is_endless=lambda column: self.column_type(column) in ("CLOB", "BLOB"),
            size=_key_bytes,
            shortened=_shortened,
        )


def _names_beside(name: str) -> tuple[str, str]:
    """Names for the new table and the old one, which no other table's are."""
    stem = f"{name}_FLINKX"
    if len(stem.encode()) + len("_NEW") > _NAME_BYTES:
        stem = f"FLINKX_{hashlib.sha256(name.encode()).hexdigest()[:12].upper()}"
    return f"{stem}_NEW", f"{stem}_OLD"


def _shortened(column: TableColumn, room: int) -> TableColumn:
    """A column of a key with a length of so many bytes at most."""
    if is_bytes(column.type):
        return replace(column, length=min(room, _LONGEST_RAW))
    return replace(column, length=min(room, _LONGEST_TEXT) // _CHARACTER_BYTES, encoding=None)


def _moment_type(column: TableColumn) -> str:
    if column.fraction_digits is not None and column.fraction_digits > _MOST_FRACTION:
        return f"VARCHAR2({fine_time_characters(column)})"
    digits = column.fraction_digits
    if digits is None:
        digits = _MOST_FRACTION if column.type.unit == "ns" else _MICROSECOND_DIGITS
    return f"TIMESTAMP({digits}){' WITH TIME ZONE' if column.type.tz else ''}"


def _described(row: Sequence[Any], character_set: str) -> TableColumn:
    name, data_type, size, precision, scale, characters, unit, nullable, place = row
    bare = _NUMBERS.sub("", data_type)
    is_moment = bare == "DATE" or bare.startswith("TIMESTAMP")
    kind = _arrow(bare, precision, scale)
    length, encoding = _counted(bare, int(size or 0), int(characters or 0), unit, character_set)
    is_number = bare in ("NUMBER", "FLOAT")
    return TableColumn(
        str(name),
        kind,
        length=length,
        fraction_digits=(0 if bare == "DATE" else int(scale or 0)) if is_moment else None,
        nullable=nullable == "Y",
        key=None if place is None else int(place),
        declared=_declared(bare, str(data_type), size, precision, scale, characters, unit),
        is_checked=_is_checked(bare, precision, scale),
        exact_digits=_exact_digits(bare, precision) if is_number and pa.types.is_string(kind) else None,
        encoding=encoding,
    )


def _arrow(bare: str, precision: int | None, scale: int | None) -> pa.DataType:
    if bare == "DATE":
        return pa.timestamp("us")
    if bare.startswith("TIMESTAMP"):
        return pa.timestamp("ns" if (scale or 0) > _MICROSECOND_DIGITS else "us", "UTC" if "ZONE" in bare else None)
    if bare != "NUMBER" or scale is None:
        return _FIXED.get(bare, pa.string())
    # INTEGER is a number of 38 digits whose precision is not in the catalog.
    digits = precision or _MOST_DIGITS
    digits, scale = (digits - scale, 0) if scale < 0 else (max(digits, scale), scale)
    if digits > _WIDEST_DECIMAL:
        return pa.string()
    return pa.decimal128(digits, scale) if digits <= _MOST_DIGITS else pa.decimal256(digits, scale)


def _is_checked(bare: str, precision: int | None, scale: int | None) -> bool:
    """Whether the type takes only some of the values of its Arrow type."""
    if bare == "NUMBER":
        return scale is not None and not 0 <= scale <= (precision or _MOST_DIGITS)
    return not (bare in {*_FIXED, *_TEXTS, "FLOAT", "DATE"} or bare.startswith("TIMESTAMP"))


def _exact_digits(bare: str, precision: int | None) -> int:
    """Digits of numbers that a NUMBER without a scale, or a FLOAT of so many binary digits, keeps."""
    return precision * 30103 // 100_000 if bare == "FLOAT" and precision else _MOST_DIGITS


def _counted(bare: str, size: int, characters: int, unit: str | None, character_set: str) -> tuple[int | None, Any]:
    """Length of a text or of bytes, and what it counts."""
    own = UTF_8 if character_set in _UNICODE else f"code page {character_set}"
    if bare in ("NCHAR", "NVARCHAR2"):
        return characters, UTF_16
    if bare in ("CHAR", "VARCHAR2"):
        # So many characters need not have room in the bytes that a column has at most.
        fits = unit == "C" and own == UTF_8 and characters * _CHARACTER_BYTES <= size
        return (characters, None) if fits else (size, own)
    if bare == "RAW":
        return size, None
    return None, own if bare in ("CLOB", "LONG") and own != UTF_8 else None


def _declared(
    bare: str, data_type: str, size: Any, precision: Any, scale: Any, characters: Any, unit: str | None
) -> tuple[str, str] | None:
    """The type as a table of Oracle's can have it too."""
    if bare in ("LONG", "LONG RAW"):
        return None  # a table has one of these at most
    text = data_type
    if bare == "NUMBER" and scale is not None:
        text = f"NUMBER({'*' if precision is None else precision},{scale})"
    elif bare == "FLOAT":
        text = f"FLOAT({precision})"
    elif bare in ("CHAR", "VARCHAR2"):
        text = f"{bare}({characters} CHAR)" if unit == "C" else f"{bare}({size} BYTE)"
    elif bare in ("NCHAR", "NVARCHAR2"):
        text = f"{bare}({characters})"
    elif bare in ("RAW", "UROWID"):
        text = f"{bare}({size})"
    return PRODUCT, text


def _key_bytes(column: TableColumn) -> int:
    """What a column of a key takes at most."""
    if is_bytes(column.type):
        return column.length or _FIXED_BYTES
    return (utf_8_bytes(column) or _FIXED_BYTES) if is_text(column.type) else _FIXED_BYTES
