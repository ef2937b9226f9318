"""What the readers of Oracle and DB2 do alike: all columns of the source are described at once, by their own types.

Names are found as the server spells them. A database's own reader describes the source, says how some rows of a large
table are drawn, and streams a query.
"""

# ruff: noqa: S608 -- SQL is made here of quoted names
from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import pyarrow as pa

from airflow_provider_flinkx.exceptions import NotFoundError
from airflow_provider_flinkx.plugins.base import Split
from airflow_provider_flinkx.plugins.relational.reader import Key, RelationalReader, SourceColumn
from airflow_provider_flinkx.plugins.relational.splits import Sample

BATCH_BYTES = 4 << 20
MOST_BATCH_ROWS = 16_384
#: Rows up to which all keys are looked at, and how many are drawn from larger tables.
_DIRECT_ROWS = 200_000
_SAMPLED_ROWS = 30_000
_LONGEST_KEY = 200


class SourceType(Protocol):
    """A type of the source; each database adds what it must know of it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def arrow(self) -> pa.DataType:
        """Arrow type of the column in batches."""

    @property
    def is_number(self) -> bool:
        """Whether literals stand without quotes."""

    @property
    def has_order(self) -> bool:
        """Whether values can be compared with literals."""

    @property
    def bytes_at_most(self) -> int:
        """About how much of a batch a value takes."""

    def expression(self, column: str) -> str:
        """What to select, so that the driver gives the value unchanged."""

    def key_text(self, column: str) -> str:
        """What to select of a key, so that `key_literal` takes it."""

    def key_literal(self, value: Any) -> str:
        """A key as an SQL literal."""


Type = TypeVar("Type", bound=SourceType)


class DescribedReader(RelationalReader, Generic[Type]):
    """Reads a table or a query whose columns are all described at the first look."""

    orders: ClassVar[bool] = False
    _known: Mapping[str, Type] | None = None

    @abc.abstractmethod
    def describe_all(self, cursor: Any) -> Mapping[str, Type]:
        """All columns of the table or query."""

    @abc.abstractmethod
    def unique_keys(self, cursor: Any) -> Sequence[Sequence[str]]:
        """Columns of the table's unique indexes, the primary key's first."""

    @abc.abstractmethod
    def sample_clause(self, percent: float) -> str:
        """What stands behind a table's name for about so many percent of its rows, the same ones each time."""

    def check_readable(self, name: str, kind: Type) -> None:
        """Raise for a column whose type cannot be read."""

    def describe(self, cursor: Any, names: Sequence[str] | None) -> Sequence[SourceColumn]:
        """Find the columns among those of the source."""
        known = self.types(cursor)
        columns = []
        for written in known if names is None else names:
            name = self.database.column_name(written, known)
            if name not in known:
                message = f"{self.source_label} has no column {written}; it has {', '.join(known)}"
                raise self.database.error(NotFoundError, message)
            kind = known[name]
            self.check_readable(name, kind)
            field = pa.field(written, kind.arrow, metadata={"source_type": kind.name.lower()})
            columns.append(SourceColumn(name, kind.expression(self.database.quote(name)), field, kind.is_number))
        return columns

    def read(self, split: Split) -> Iterator[Any]:
        """Stream the rows of a split."""
        complete = False
        try:
            yield from super().read(split)
            complete = True
        except Exception as error:  # some drivers raise nothing more precise
            raise self.database.failure(error, self.doing) from error
        finally:
            if not complete:
                self.give_up()  # a half-read result occupies its connection

    @property
    def doing(self) -> str:
        """What a message says was tried when a split could not be read."""
        return f"read {self.source_label}"

    @property
    def kinds(self) -> list[Type]:
        """Types of `selected`."""
        columns = self.selected
        known = self._known or {}
        return [known[column.name] for column in columns]

    @property
    def batch_rows(self) -> int:
        """Rows of a batch: `fetchSize`, else as many as make some megabytes."""
        if wanted := int(self.parameter.get("fetchSize") or 0):
            return min(wanted, MOST_BATCH_ROWS)
        size = sum(kind.bytes_at_most for kind in self.kinds)
        return max(16, min(MOST_BATCH_ROWS, BATCH_BYTES // max(1, size)))

    def stored_column(self, cursor: Any, written: str) -> str:
        """The column as the server spells it."""
        return self.database.column_name(written, self.types(cursor))

    def find_key(self, cursor: Any) -> Key | None:
        """The primary key, or the first unique index of one column that has an order."""
        known = self.types(cursor)
        for name, *others in self.unique_keys(cursor):
            if not others and name in known and known[name].has_order:
                return Key(name, self.key_nullable(cursor, name))
        return None

    def sample(self, cursor: Any, key: str, where: str, rows: int | None) -> Sample:
        """Keys in the server's order: all of a small table, those of some of its blocks of a large one."""
        kind, quoted = self.types(cursor).get(key), self.database.quote(key)
        if kind is None:
            raise self.database.error(NotFoundError, f"splitPk {key}: {self.source_label} has no such column")
        if not kind.has_order:
            return Sample(rows or 0, ())
        share = _SAMPLED_ROWS / rows if rows is not None and rows > _DIRECT_ROWS else 1.0
        drawn = f" {self.sample_clause(share * 100)}" if share < 1 else ""
        cursor.execute(f"SELECT {kind.key_text(quoted)} FROM {self.relation}{drawn}{where} ORDER BY {quoted}")
        keys = [key for (key,) in cursor.fetchall()]
        short = [key for key in keys if not isinstance(key, (str, bytes)) or len(key) <= _LONGEST_KEY]
        return Sample(round(len(keys) / share), [kind.key_literal(key) for key in short])

    def types(self, cursor: Any) -> Mapping[str, Type]:
        """All columns of the table or query; asks the database at the first use."""
        if self._known is None:
            self._known = self.describe_all(cursor)
        return self._known

    def type_of_quoted(self, cursor: Any, column: str) -> Type:
        """The type of a column whose name is in quotes."""
        return self.types(cursor)[column[1:-1].replace('""', '"')]
