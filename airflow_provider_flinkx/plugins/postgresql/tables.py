"""Tables of PostgreSQL: what their columns are, and the types of those that are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from airflow_provider_flinkx.plugins.base import TableColumn
from airflow_provider_flinkx.plugins.postgresql.types import SourceType
from airflow_provider_flinkx.plugins.relational.tables import Tables, fine_time_characters, is_bytes, is_text

PRODUCT = "PostgreSQL"
#: A domain counts as its base type. Types of a schema of the user's need not be there in another database.
_COLUMNS = """
SELECT a.attname, base.typname, m.modifier, format_type(base.oid, m.modifier),
       base.typnamespace = 'pg_catalog'::regnamespace, NOT (a.attnotnull OR t.typnotnull),
       array_position(i.indkey::int2[], a.attnum)
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_type base ON base.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
CROSS JOIN LATERAL (SELECT CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END) AS m(modifier)
LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
_INTEGERS = {
    pa.int8(): "smallint",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.uint8(): "smallint",
    pa.uint16(): "integer",
    pa.uint32(): "bigint",
    pa.uint64(): "numeric(20,0)",
}
_PLAIN_TEXTS = frozenset({"text", "varchar", "bpchar"})
_UUID_CHARACTERS = 36
#: Digits of pyarrow's widest decimal.
_MOST_DIGITS = 76
_LONGEST_VARCHAR = 10_485_760


class PostgreSQLTables(Tables):
    """The table of a job's connection, in PostgreSQL."""

    def describe(self, cursor: Any) -> Sequence[TableColumn]:
        """Ask the catalog."""
        cursor.execute(_COLUMNS, (self.database.table,))
        columns = []
        for name, type_name, modifier, declared, is_own, nullable, place in cursor.fetchall():
            kind = _decimal(modifier) if type_name == "numeric" else SourceType(type_name, modifier).arrow
            columns.append(
                TableColumn(
                    name,
                    kind,
                    length=_length(type_name, modifier),
                    fraction_digits=modifier if pa.types.is_temporal(kind) and modifier >= 0 else None,
                    nullable=nullable,
                    # An int2vector is counted from 0.
                    key=None if place is None else place + 1,
                    declared=(PRODUCT, declared) if is_own else None,
                    is_checked=pa.types.is_string(kind) and type_name not in _PLAIN_TEXTS,
                    is_uuid=type_name == "uuid",
                )
            )
        return columns

    def column_type(self, column: TableColumn) -> str:
        """The type for a column."""
        if column.declared is not None and column.declared[0] == PRODUCT:
            return column.declared[1]
        if column.is_uuid:
            return "uuid"
        if characters := fine_time_characters(column):
            return f"varchar({characters})"
        kind, digits = column.type, column.fraction_digits
        fraction = "" if digits is None or digits >= 6 else f"({digits})"
        if pa.types.is_timestamp(kind):
            return f"timestamp{fraction} {'with' if kind.tz else 'without'} time zone"
        if pa.types.is_decimal(kind):
            return f"numeric({kind.precision},{kind.scale})"
        if pa.types.is_time(kind):
            return f"time{fraction}"
        if is_text(kind) and column.length is not None and 1 <= column.length <= _LONGEST_VARCHAR:
            return f"varchar({column.length})"
        if is_bytes(kind):
            return "bytea"
        others = {
            pa.bool_(): "boolean",
            pa.float32(): "real",
            pa.float64(): "double precision",
            pa.date32(): "date",
            pa.duration("us"): "interval",
        }
        return _INTEGERS.get(kind) or others.get(kind, "text")


def _decimal(modifier: int) -> pa.DataType:
    """The decimal of a numeric's modifier, wider than what crosses as one; text where there is none."""
    if modifier < 4:
        return pa.string()
    precision, scale = (modifier - 4) >> 16 & 0xFFFF, ((modifier - 4) & 0x7FF ^ 1024) - 1024
    if precision > _MOST_DIGITS or not 0 <= scale <= precision:
        return pa.string()
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def _length(type_name: str, modifier: int) -> int | None:
    if type_name in ("varchar", "bpchar"):
        return modifier - 4 if modifier >= 4 else None
    if type_name in ("bit", "varbit"):
        return modifier if modifier >= 1 else None
    return _UUID_CHARACTERS if type_name == "uuid" else None
