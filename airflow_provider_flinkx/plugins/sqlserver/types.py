"""SQL Server's types: which Arrow type each has, how it is selected, and how it goes through the staging table.

Types whose values Arrow cannot all hold (100 ns, offsets from UTC) are selected twice: as the Arrow type, and as
text where that would lose something. The reader turns a batch with such texts into the text fallback.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

_ARROW_TYPES = {
    "bit": pa.bool_(),
    "tinyint": pa.uint8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "float": pa.float64(),
    "money": pa.decimal128(19, 4),
    "smallmoney": pa.decimal128(10, 4),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "datetime": pa.timestamp("us"),
    "smalldatetime": pa.timestamp("us"),
    "datetime2": pa.timestamp("us"),
    "datetimeoffset": pa.timestamp("us", "UTC"),
}
_BINARY = frozenset({"binary", "varbinary", "image", "timestamp", "hierarchyid", "geometry", "geography"})
_USER_DEFINED = frozenset({"hierarchyid", "geometry", "geography"})
_NUMBERS = frozenset({"bit", "tinyint", "smallint", "int", "bigint", "decimal", "real", "float", "money", "smallmoney"})
_NO_ORDER = frozenset({"xml", "text", "ntext", "image", "geometry", "geography", "sql_variant"})
_TEMPORALS = frozenset({"date", "time", "datetime", "smalldatetime", "datetime2", "datetimeoffset"})
_NAME = re.compile(r"(\w+)(?:\(([^)]*)\))?")
#: Types of literals that a column is compared with: no finer value is rounded, none loses its index.
_LITERAL_TYPES = {"datetime": "datetime", "smalldatetime": "datetime2(7)", "datetime2": "datetime2(7)",
                  "datetimeoffset": "datetimeoffset(7)", "time": "time(7)", "date": "date"}  # fmt: skip


@dataclass(frozen=True)
class SourceType:
    """A type as `sys.dm_exec_describe_first_result_set` names it.

    Args:
        name: without numbers; `numeric` is `decimal`.
        numbers: precision and scale, or digits of a second.
    """

    name: str
    numbers: tuple[int, ...] = ()

    @classmethod
    def of(cls, declared: str) -> SourceType:
        """Read `decimal(38,3)`, `nvarchar(max)`, `xml`."""
        match = _NAME.match(declared.lower())
        assert match is not None, declared
        name = "decimal" if match[1] == "numeric" else match[1]
        numbers = tuple(int(part) for part in (match[2] or "").split(",") if part.strip().isdigit())
        return cls(name, numbers)

    @property
    def arrow(self) -> pa.DataType:
        """Arrow type of the column in batches."""
        if self.name == "decimal":
            precision, scale = (*self.numbers, 0)[:2]
            return pa.decimal128(precision, scale)
        return pa.binary() if self.name in _BINARY else _ARROW_TYPES.get(self.name, pa.string())

    @property
    def is_number(self) -> bool:
        """Whether literals stand without quotes."""
        return self.name in _NUMBERS

    @property
    def has_order(self) -> bool:
        """Whether the column can be sorted and compared."""
        return self.name not in _NO_ORDER

    @property
    def is_readable(self) -> bool:
        """Whether its values have one type that can be named."""
        return self.name != "sql_variant"

    def expression(self, column: str) -> str:
        """What to select, so that the driver gives the value unchanged."""
        if self.name == "datetime":
            return f"CAST({column} AS datetime2(3))"  # its 1/300 s are written as milliseconds
        if self.name in _USER_DEFINED:
            return f"CAST({column} AS varbinary(max))"
        if self.name in ("xml", "ntext"):
            return f"CAST({column} AS nvarchar(max))"
        return f"CAST({column} AS varchar(max))" if self.name == "text" else column

    def exact_text(self, column: str) -> str | None:
        """What to select beside it: the value as text where Arrow's type would lose something, else null."""
        fine = f"DATEPART(nanosecond, {column}) % 1000 <> 0"
        if self.name == "datetime2" and self._digits == 7:
            return f"CASE WHEN {fine} THEN CONVERT(varchar(27), {column}, 121) END"
        if self.name == "datetimeoffset":
            offset = f"DATEPART(tzoffset, {column}) <> 0"
            condition = f"{fine} OR {offset}" if self._digits == 7 else offset
            return f"CASE WHEN {condition} THEN CONVERT(varchar(34), {column}, 121) END"
        return None

    def key_text(self, column: str) -> str:
        """A key as text that `literal` makes a literal of."""
        if self.name in ("real", "float"):
            return f"CONVERT(varchar(40), {column}, 3)"
        if self.name in ("money", "smallmoney"):
            return f"CONVERT(varchar(40), CAST({column} AS decimal(19,4)))"
        if self.name == "datetime":
            return f"CONVERT(varchar(34), CAST({column} AS datetime2(3)), 121)"
        if self.name in _TEMPORALS:
            return f"CONVERT(varchar(34), {column}, 121)"
        if self.name in _BINARY:
            return f"CONVERT(varchar(max), CAST({column} AS varbinary(max)), 1)"
        return f"CONVERT(nvarchar(4000), {column})"

    def order(self, column: str) -> str:
        """What to sort by, so that `<` with a literal means the same order.

        A Unicode literal is compared by Unicode rules, which for old collations are not those of varchar.
        """
        return f"CAST({column} AS nvarchar(4000))" if self.name in ("char", "varchar") else column

    def literal(self, text: str) -> str:
        """A value as SQL, from its text."""
        if self.is_number:
            float(text)
            return text
        if self.name in _BINARY:
            bytes.fromhex(text.removeprefix("0x"))
            return text
        quoted = "N'" + text.replace("'", "''") + "'"
        if self.name in _LITERAL_TYPES:
            # The form with T means the same under every DATEFORMAT.
            moment = re.sub(r"^(\d{4}-\d\d-\d\d) ", r"\1T", text).replace(" ", "")
            if self.name == "datetime":
                moment = re.sub(r"(\.\d{3})\d*$", r"\1", moment)
            return f"CAST('{moment}' AS {_LITERAL_TYPES[self.name]})" if "'" not in moment else quoted
        return quoted

    @property
    def _digits(self) -> int:
        return self.numbers[0] if self.numbers else 7


@dataclass(frozen=True)
class TargetColumn:
    """A column of the table that is written, from sys.columns.

    Args:
        name: its name.
        type_name: the type without numbers; `numeric` is `decimal`.
        length: bytes of characters or bytes, -1 for max.
        precision: digits of a number.
        scale: digits behind the point, or of a second.
        code_page: of a char, varchar or text column's collation; None for others.
        needs_value: NOT NULL, and nothing fills it.
        nullable: whether it may be null.
        is_identity: whether the server counts it up.
    """

    name: str
    type_name: str
    length: int
    precision: int
    scale: int
    code_page: int | None
    needs_value: bool
    nullable: bool
    is_identity: bool

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type that is loaded into the staging table."""
        if self.type_name == "decimal":
            return pa.decimal128(self.precision, self.scale)
        return pa.binary() if self.type_name in _BINARY else _ARROW_TYPES.get(self.type_name, pa.string())

    @property
    def is_temporal(self) -> bool:
        """Whether values are dates or times."""
        return self.type_name in _TEMPORALS

    @property
    def is_wide(self) -> bool:
        """Whether values are kept in UTF-16."""
        return self.type_name in ("nchar", "nvarchar", "ntext", "xml")

    @property
    def is_writable(self) -> bool:
        """Whether a value can be given, and its type is one."""
        return self.type_name != "sql_variant"

    @property
    def most_characters(self) -> int | None:
        """UTF-16 units, or bytes of its code page, that a text may have; None for no bound."""
        if self.length < 0 or not (self.type_name.endswith("char")):
            return None
        return self.length // 2 if self.is_wide else self.length

    @property
    def seconds_digits(self) -> int:
        """Digits of a second that it keeps."""
        return {"datetime": 3, "smalldatetime": 0, "date": 0}.get(self.type_name, self.scale)

    @property
    def stage_type(self) -> str:
        """The type of its column in the staging table."""
        kind = self.arrow
        if pa.types.is_timestamp(kind):
            return "datetimeoffset(7)" if kind.tz else "datetime2(7)"
        if pa.types.is_time(kind):
            return "time(7)"
        if pa.types.is_decimal(kind):
            return f"decimal({kind.precision},{kind.scale})"
        if pa.types.is_binary(kind):
            return (
                "varbinary(max)"
                if not 0 < self.length <= 8000 or self.type_name in _USER_DEFINED
                else (f"varbinary({self.length})")
            )
        if pa.types.is_string(kind):
            most = 36 if self.type_name == "uniqueidentifier" else self.most_characters
            return f"nvarchar({most})" if most and most <= 4000 else "nvarchar(max)"
        return "float" if pa.types.is_float64(kind) else self.type_name

    def staged(self, column: str, *, as_text: bool) -> str:
        """The value of a staging column as one of this type."""
        if as_text:
            return f"CAST({column} AS {self._declared})"
        if self.type_name == "xml":
            return f"CONVERT(xml, {column}, 1)"  # keeps blanks between elements
        return f"CAST({column} AS {self.type_name})" if self.type_name in _USER_DEFINED else column

    @property
    def _declared(self) -> str:
        scaled = self.type_name in ("time", "datetime2", "datetimeoffset")
        return f"{self.type_name}({self.scale})" if scaled else self.type_name
