"""Types of Oracle: which Arrow type each has, how it is selected and how it is written.

The driver makes Arrow batches itself. It would make doubles of numbers without precision, cut nanoseconds and fail on
years before Christ, so numbers of that kind, dates and times are selected as text and become Arrow values here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_flinkx.plugins.relational.moments import moments

_MOST_DIGITS = 38
_INTEGER_DIGITS = 18
_LARGE_BYTES = 65_536
DATE_FORMAT = "SYYYY-MM-DD HH24:MI:SS"
_GREGORIAN = "NLS_CALENDAR=GREGORIAN"

_ARROW = {
    "BINARY_FLOAT": pa.float32(),
    "BINARY_DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "RAW": pa.binary(),
    "LONG_RAW": pa.binary(),
    "BLOB": pa.binary(),
}
_TEXTS = frozenset({"CHAR", "VARCHAR", "NCHAR", "NVARCHAR", "LONG", "LONG_NVARCHAR", "CLOB", "NCLOB"})
_LARGE = frozenset({"LONG", "LONG_NVARCHAR", "LONG_RAW", "CLOB", "NCLOB", "BLOB", "XMLTYPE", "JSON", "VECTOR"})
_TIMESTAMPS = frozenset({"TIMESTAMP", "TIMESTAMP_TZ", "TIMESTAMP_LTZ"})
#: Types that cross as text: what to select.
_AS_TEXT = {
    "INTERVAL_DS": "TO_CHAR({})",
    "INTERVAL_YM": "TO_CHAR({})",
    "ROWID": "ROWIDTOCHAR({})",
    "UROWID": "CAST({} AS VARCHAR2(4000))",
    "XMLTYPE": "XMLSERIALIZE(CONTENT {} AS CLOB)",
    "JSON": "JSON_SERIALIZE({} RETURNING CLOB)",
    "VECTOR": "FROM_VECTOR({} RETURNING CLOB)",
}


@dataclass(frozen=True)
class SourceType:
    """A type as the result of a query has it.

    Args:
        name: the driver's name of it without `DB_TYPE_`.
        precision: digits of a number; 0 where it was not declared.
        scale: digits behind the point, or of a second; -127 where a number's was not declared.
        size: bytes of texts and bytes.
    """

    name: str
    precision: int = 0
    scale: int = 0
    size: int = 0

    @classmethod
    def of(cls, column: Any) -> SourceType:
        """The type in a cursor's description."""
        name = column.type_code.name.removeprefix("DB_TYPE_")
        return cls(name, column.precision or 0, column.scale or 0, column.internal_size or 0)

    @property
    def is_known(self) -> bool:
        """Whether it can be read: objects, collections, cursors and BFILE cannot."""
        return self.name in {"NUMBER", "DATE", *_ARROW, *_TEXTS, *_TIMESTAMPS, *_AS_TEXT}

    @property
    def is_number(self) -> bool:
        """Whether literals stand without quotes."""
        return self.name in ("NUMBER", "BINARY_FLOAT", "BINARY_DOUBLE")

    @property
    def is_temporal(self) -> bool:
        """Whether it is a date or a timestamp."""
        return self.name == "DATE" or self.name in _TIMESTAMPS

    @property
    def has_zone(self) -> bool:
        """Whether values are instants."""
        return self.name in ("TIMESTAMP_TZ", "TIMESTAMP_LTZ")

    @property
    def has_order(self) -> bool:
        """Whether values can be compared with literals."""
        plain = self.is_number or self.is_temporal or self.name in _TEXTS or self.name == "RAW"
        return plain and self.name not in _LARGE

    @property
    def bytes_at_most(self) -> int:
        """About how much of a batch a value takes."""
        return _LARGE_BYTES if self.name in _LARGE else max(8, min(self.size, 32_767))

    @property
    def arrow(self) -> pa.DataType:
        """Arrow type of the column in batches."""
        if self.is_temporal:
            if self.has_zone:
                return pa.timestamp("us", "UTC")
            return pa.timestamp("ns" if self.scale > 6 else "us")
        return self._number if self.name == "NUMBER" else _ARROW.get(self.name, pa.string())

    @property
    def fetched(self) -> pa.DataType:
        """What the driver is asked for."""
        return pa.string() if self.is_temporal else self.arrow

    def expression(self, column: str) -> str:
        """What to select, so that the driver gives the value unchanged."""
        if self.is_temporal:
            digits = f".FF{self.scale}" if self.name != "DATE" and self.scale else ""
            moment = f"SYS_EXTRACT_UTC({column})" if self.has_zone else column
            return f"TO_CHAR({moment}, '{DATE_FORMAT}{digits}', '{_GREGORIAN}')"
        if self.name == "NUMBER" and pa.types.is_string(self.arrow):
            return f"TO_CHAR({column}, 'TM9')"
        return _AS_TEXT.get(self.name, "{}").format(column)

    def key_text(self, column: str) -> str:
        """A key in a form that `key_literal` takes; numbers as text, because cursors make floats of them."""
        if self.name == "NUMBER":
            return f"TO_CHAR({column}, 'TM9')"
        return f"RAWTOHEX({column})" if self.name == "RAW" else self.expression(column)

    def key_literal(self, value: Any) -> str:
        """A key as an SQL literal."""
        if self.name == "NUMBER":
            float(value)
            return str(value)
        if self.is_number:
            return f"{float(value)!r}{'f' if self.name == 'BINARY_FLOAT' else 'd'}"
        if self.is_temporal:
            return self._moment(str(value).strip())
        text = str(value).replace("'", "''")
        return f"HEXTORAW('{text}')" if self.name == "RAW" else f"{'N' if self.name[0] == 'N' else ''}'{text}'"

    def array(self, fetched: pa.Array) -> pa.Array:
        """A fetched column as Arrow has it, or as text where one of its values is beyond Arrow's type."""
        if self.name == "NUMBER" and pa.types.is_string(self.arrow):
            # Oracle writes no zero before the point.
            return pc.replace_substring_regex(fetched, r"^(-?)\.", r"\10.")
        if not self.is_temporal:
            return fetched
        texts = pc.utf8_ltrim_whitespace(fetched)
        found = moments(texts, self.arrow.unit)
        if found is None:
            return pc.binary_join_element_wise(texts, "+00:00", "") if self.has_zone else texts
        return found.view(self.arrow) if self.has_zone else found

    @property
    def _number(self) -> pa.DataType:
        if not self.precision or self.scale == -127:
            return pa.string()
        precision, scale = max(self.precision, self.scale), self.scale
        if scale < 0:
            precision, scale = precision - scale, 0
        if precision > _MOST_DIGITS:
            return pa.string()
        return pa.int64() if scale == 0 and precision <= _INTEGER_DIGITS else pa.decimal128(precision, scale)

    def _moment(self, text: str) -> str:
        text = re.sub(r"\+00:00$", "", text)
        if self.name == "DATE" and "." not in text:
            return f"TO_DATE('{text}', '{DATE_FORMAT}')"
        moment = f"TO_TIMESTAMP('{text}', '{DATE_FORMAT}.FF')"
        return f"FROM_TZ({moment}, 'UTC')" if self.has_zone else moment


@dataclass(frozen=True)
class TargetColumn:
    """A column of the table that is written, from ALL_TAB_COLS.

    Args:
        name: its name.
        data_type: type without numbers: `VARCHAR2`, `TIMESTAMP WITH TIME ZONE`, …
        precision: digits of a number, binary ones of a FLOAT; None where none was declared.
        scale: digits behind the point, or of a second; None where none was declared.
        nullable: whether it may be null.
    """

    name: str
    data_type: str
    precision: int | None = None
    scale: int | None = None
    nullable: bool = True

    @property
    def is_temporal(self) -> bool:
        """Whether it is a date or a timestamp."""
        return self.data_type == "DATE" or self.data_type.startswith("TIMESTAMP")

    @property
    def has_zone(self) -> bool:
        """Whether values are instants."""
        return self.data_type.endswith("TIME ZONE")

    @property
    def is_large(self) -> bool:
        """Whether a value may be too long to stand in a SELECT as a parameter."""
        return self.data_type in ("CLOB", "NCLOB", "BLOB", "XMLTYPE", "JSON", "LONG", "LONG RAW", "VECTOR")

    @property
    def decimal(self) -> pa.DataType | None:
        """The Arrow type of a number with declared digits, where there is one."""
        if self.data_type != "NUMBER" or self.scale is None:
            return None
        # INTEGER is a number of 38 digits whose precision is not in the catalog.
        precision, scale = self.precision or _MOST_DIGITS, self.scale
        precision, scale = (precision - scale, 0) if scale < 0 else (max(precision, scale), scale)
        return pa.decimal128(precision, scale) if precision <= _MOST_DIGITS else None

    @property
    def digits(self) -> int:
        """Digits that a number keeps which has no declared scale."""
        if self.data_type == "FLOAT" and self.precision:
            return -(-self.precision * 30103 // 100_000)
        return _MOST_DIGITS

    def value(self, mark: str, *, as_text: bool) -> str:
        """What a statement writes into the column for a parameter.

        Args:
            mark: the parameter.
            as_text: the values are text that the server turns into the column's type.
        """
        if self.is_temporal:
            if as_text:
                return f"TO_TIMESTAMP_TZ({mark}, '{DATE_FORMAT}.FF TZH:TZM')" if self.has_zone else (
                    f"TO_TIMESTAMP({mark}, '{DATE_FORMAT}.FF')"
                )  # fmt: skip
            return f"FROM_TZ({mark}, 'UTC')" if self.has_zone else mark
        return _WRITTEN.get(self.data_type, "{}").format(mark)


_WRITTEN = {
    "INTERVAL DAY TO SECOND": "TO_DSINTERVAL({})",
    "INTERVAL YEAR TO MONTH": "TO_YMINTERVAL({})",
    "ROWID": "CHARTOROWID({})",
    "XMLTYPE": "XMLTYPE({})",
    "VECTOR": "TO_VECTOR({})",
}
