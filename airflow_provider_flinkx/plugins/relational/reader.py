"""What the readers of all databases do alike: the query, splits, an incremental read, the column rules.

A database's own reader says what its columns are, where a key can be cut, and streams a query as record batches.
"""

# ruff: noqa: S608 -- SQL is made here of quoted names, and of what the job itself gives as SQL
from __future__ import annotations

import abc
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pyarrow as pa

from airflow_provider_flinkx.exceptions import DataError, JobInvalidError, NotFoundError
from airflow_provider_flinkx.jobs.many_tables import is_pattern
from airflow_provider_flinkx.jobs.model import Column, SourceTable
from airflow_provider_flinkx.plugins.base import Batch, Reader, RunContext, Split, TableColumn
from airflow_provider_flinkx.plugins.conversion import apply_columns, arrow_type, field_name
from airflow_provider_flinkx.plugins.relational.database import Database
from airflow_provider_flinkx.plugins.relational.deadline import FirstRowsDeadline, Watch
from airflow_provider_flinkx.plugins.relational.incremental import Bounds, location_to_text, text_to_location
from airflow_provider_flinkx.plugins.relational.jdbc import connection_of
from airflow_provider_flinkx.plugins.relational.ledger import TABLE as LEDGER_TABLE
from airflow_provider_flinkx.plugins.relational.names import join_table_name, matching, split_table_name
from airflow_provider_flinkx.plugins.relational.row_connection import MovesByConnection
from airflow_provider_flinkx.plugins.relational.splits import Sample, boundaries, key_ranges, split_count

#: Names of tables in a message.
_MOST_SHOWN = 10
#: `ROW_NUMBER(expr)` as splitPk (job.md §13.1): numbers that two queries need not give alike.
_ROW_NUMBER = re.compile(r"\s*row_number\s*\(.*\)\s*", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class SourceColumn:
    """A column that is selected.

    Args:
        name: its name in the source.
        expression: what the query selects, so that the driver gives the value unchanged.
        field: name, Arrow type and `source_type` in batches, before the job's own column rules.
        numeric: whether literals of it stand without quotes.
    """

    name: str
    expression: str
    field: pa.Field
    numeric: bool = False


@dataclass(frozen=True)
class Key:
    """A column by which the source is cut."""

    name: str
    nullable: bool


class RelationalReader(MovesByConnection, Reader):
    """Reads a table or a query of a database, split by split."""

    database_class: ClassVar[type[Database]]
    orders: ClassVar[bool]  # whether `orderByColumn` has an effect

    def __init__(self, parameter: Mapping[str, Any], columns: Sequence[Column], context: RunContext) -> None:
        super().__init__(parameter, columns, context)
        self.database = self.database_class(parameter, context.timezone)
        self.database.kept = context.kept
        self._described: tuple[SourceColumn, ...] | None = None
        self._location: Mapping[str, str] = {}
        self._hold: Callable[[], None] | None = None
        self._begun_snapshot = ""
        #: Name of the snapshot that the split at hand is read from; empty without `consistent`.
        self.snapshot = ""

    @property
    def schema(self) -> pa.Schema:
        """Types of the batches; asks the database at the first use."""
        described = iter(self.selected)
        if not self.columns:
            return pa.schema([column.field for column in described])
        fields = []
        for column in self._column_rules():
            if column.name is None:
                fields.append(pa.field(field_name(column), arrow_type(column) or pa.string()))
                continue
            field = next(described).field
            kind = arrow_type(column) or field.type
            # The source's type no longer says what the values are once the job's rules have changed them.
            fields.append(field if kind == field.type else pa.field(field.name, kind))
        return pa.schema(fields)

    def splits(self) -> Sequence[Split]:
        """Ranges of a key, or whatever the database can cut evenly and re-read; one split when it pays not."""
        with self.database.asking(f"plan the reading of {self.source_label}") as cursor:
            snapshot = self._begin_snapshot(cursor)
            bounds = self._bounds(cursor)
            conditions = self._split_conditions(cursor, bounds.conditions)
        known = {**bounds.location, **snapshot}
        location = {"location": known} if known else {}
        fixed = " AND ".join(f"({condition})" for condition in bounds.conditions)
        return [
            Split(index, {"condition": " AND ".join(filter(None, [fixed, condition])), **location})
            for index, condition in enumerate(conditions or [""])
        ]

    def read(self, split: Split) -> Iterator[Batch]:
        """Stream the rows of a split."""
        for rows in self.stream(self.statement(self.enter(split), self.expressions())):
            if rows.num_rows:
                yield self._apply(rows)

    def enter(self, split: Split) -> str:
        """Make a split the one that is read; its condition."""
        self._location = split.spec.get("location", {})
        self.snapshot = self._location.get("snapshot", "")
        return str(split.spec.get("condition", ""))

    def location(self) -> Mapping[str, str]:
        """StartLocation and endLocation of an incremental read; the snapshot of a consistent one."""
        return self._location

    def tables(self) -> Sequence[SourceTable]:
        """The tables of `connection[0].table`: names as they are, then what each pattern matches."""
        found: dict[tuple[str, ...], SourceTable] = {}
        for written in connection_of(self.parameter).get("table") or ():
            for parts, table in self._matching(written) if is_pattern(written) else [self._named(written)]:
                found.setdefault(parts, table)
        return list(found.values())

    def _named(self, written: str) -> tuple[tuple[str, ...], SourceTable]:
        given = split_table_name(written)
        return split_table_name(written, stored=self.database.stored_name), SourceTable(
            written, given[-1], ".".join(given)
        )

    def _matching(self, pattern: str) -> list[tuple[tuple[str, ...], SourceTable]]:
        """The tables that match a pattern.

        Raises:
            NotFoundError: there is none.
        """
        stored = self.database.stored_name
        *schema, last = split_table_name(pattern)
        if any(map(is_pattern, schema)):
            raise JobInvalidError([f"connection[0].table: {pattern!r} has a pattern in the name of its schema"])
        place = [stored(part) for part in schema]
        given = connection_of(self.parameter).get("schema")
        with self.database.asking(f"list the tables of {pattern}") as cursor:
            there = self.database.list_tables(cursor, place or ([stored(given)] if given else []))
        names = matching(last, (name for name in there if name.lower() != LEDGER_TABLE), stored=stored)
        if not names:
            raise self.database.error(NotFoundError, f"no table matches {pattern}; there are {_some(there)}")
        found = [(*place, name) for name in names]
        return [
            (parts, SourceTable(join_table_name(parts, stored=stored), parts[-1], ".".join(parts))) for parts in found
        ]

    def table_columns(self) -> list[TableColumn]:
        """The columns as the source's table has them, where a table is read and the job does not change their type."""
        columns = super().table_columns()
        if not self.is_table or self.database.tables_class is None:
            return columns
        with self.database.asking(f"describe {self.source_label}") as cursor:
            found = {column.name: column for column in self.database.tables.describe(cursor)}
        selected = iter(self.selected)
        for place, column in enumerate(columns):
            if self.columns and self.columns[place].name is None:
                continue
            source = next(selected)
            if column.type == source.field.type and source.name in found:
                columns[place] = replace(found[source.name], name=column.name)
        key = {column.key for column in found.values()} - {None}
        if {column.key for column in columns} - {None} == key:
            return columns
        # A part of a key need not be unique.
        return [replace(column, key=None) for column in columns]

    def take_hold(self) -> Callable[[], None] | None:
        """The end of the snapshot, where a transaction holds it."""
        hold, self._hold = self._hold, None
        return hold

    def join_snapshot(self, other: Reader) -> None:
        """Take over the name of its snapshot."""
        if isinstance(other, RelationalReader) and other.database.login == self.database.login:
            self._begun_snapshot = other._begun_snapshot

    def hold_snapshot(self, cursor: Any) -> tuple[str, Callable[[], None] | None]:
        """Begin the snapshot that all splits are read from, in databases whose schema has `consistent`.

        Args:
            cursor: of a transaction that has read nothing; the plan is made by it, in this snapshot if it can be.

        Returns:
            What readers of splits find it by, and how to end it.
        """
        raise NotImplementedError

    def join_held_snapshot(self, cursor: Any, name: str) -> None:
        """Plan the reading of another table in a snapshot that is held.

        Args:
            cursor: as that of `hold_snapshot`.
            name: what `hold_snapshot` gave.
        """
        raise NotImplementedError

    def start_at(self, location: str) -> None:
        """Begin an incremental read there."""
        self.parameter = {**self.parameter, "startLocation": location}

    def source_identity(self) -> str:
        """Server, database, table or query, condition and column."""
        parts = (self.relation, self.parameter.get("where"), self.parameter.get("increColumn"))
        return "\n".join([str(self.database), *(str(part or "").strip() for part in parts)])

    @abc.abstractmethod
    def describe(self, cursor: Any, names: Sequence[str] | None) -> Sequence[SourceColumn]:
        """The columns of these names in `relation`, or all of it."""

    @abc.abstractmethod
    def stream(self, statement: str) -> Iterator[pa.RecordBatch]:
        """The rows of a query, with the fields of `selected` where the values allow it (see `plugins.base`)."""

    @abc.abstractmethod
    def row_estimate(self, cursor: Any) -> int | None:
        """About how many rows the table has; None when only a count would tell."""

    @abc.abstractmethod
    def find_key(self, cursor: Any) -> Key | None:
        """The primary key or a unique key of one column that has an order."""

    @abc.abstractmethod
    def key_nullable(self, cursor: Any, name: str) -> bool:
        """Whether a column may hold nulls; True when that is not known."""

    @abc.abstractmethod
    def sample(self, cursor: Any, key: str, where: str, rows: int | None) -> Sample:
        """Keys of the rows that meet `where`, in the order of the database."""

    def stored_column(self, cursor: Any, written: str) -> str:  # noqa: ARG002  # for those that fold names
        """The database's spelling of a column that the job names."""
        return written

    def ranges_without_key(self, cursor: Any, count: int) -> Sequence[str]:  # noqa: ARG002  # for those that can
        """Conditions that cut a table without a key, where the database has such a thing."""
        return ()

    @abc.abstractmethod
    def greatest(self, cursor: Any, column: str, where: str) -> str | None:
        """The greatest value of a column as text."""

    def first_rows_deadline(self, watch: Watch) -> FirstRowsDeadline:
        """The job's `queryTimeOut` for a query that is about to run."""
        seconds = self.parameter.get("queryTimeOut") or 0
        return FirstRowsDeadline(
            seconds, watch, lambda message: self.database.error(DataError, f"read {self.source_label}: {message}")
        )

    def key_literal(self, name: str, text: str) -> str:  # noqa: ARG002  # types differ elsewhere
        """A value of a column, given as text, as an SQL literal."""
        return self.database.literal(text)

    @property
    def selected(self) -> tuple[SourceColumn, ...]:
        """The source's columns that are read, in their order; asks the database at the first use.

        Their `name` is the database's spelling, the name of their field the job's.
        """
        if self._described is None:
            names = [column.name for column in self.columns if column.name is not None] if self.columns else None
            with self.database.asking(f"read {self.source_label}") as cursor:
                self._described = tuple(self.describe(cursor, names))
        return self._described

    @property
    def relation(self) -> str:
        """What stands after FROM."""
        query = (self.parameter.get("customSql") or "").strip().rstrip(";")
        return f"({query}\n) flinkx_tmp" if query else self.database.table

    @property
    def is_table(self) -> bool:
        """Whether a table or view is read, not a query."""
        return not (self.parameter.get("customSql") or "").strip()

    @property
    def source_label(self) -> str:
        """The source in messages."""
        return f"table {self.database.table_label}" if self.is_table else "customSql"

    def statement(self, condition: str, expressions: Sequence[str]) -> str:
        """The query of a split."""
        # A job whose columns are all constants still needs to know how many rows there are.
        text = f"SELECT {', '.join(expressions) or '1'} FROM {self.relation}{self._where(condition)}"
        order = self.parameter.get("orderByColumn")
        return f"{text} ORDER BY {self.database.quote(order)}" if order and self.orders else text

    def expressions(self) -> list[str]:
        """What is selected: the columns, and behind them what a database's own reader wants to know of each row."""
        return [f"{column.expression} AS {self.database.quote(column.name)}" for column in self.selected]

    def _where(self, *conditions: str) -> str:
        given = [(self.parameter.get("where") or "").strip(), *conditions]
        # The line feed ends a comment that the user's text may end with.
        text = " AND ".join(f"({condition}\n)" for condition in given if condition)
        return f" WHERE {text}" if text else ""

    def _column_rules(self) -> list[Column]:
        """The job's columns; a type without a format counts for text only, as in FlinkX (mysql.md, postgresql.md)."""
        described = iter(self.selected)
        rules = []
        for column in self.columns:
            if column.name is not None and not pa.types.is_string(next(described).field.type) and not column.format:
                column = replace(column, type=None, type_arguments=())
            rules.append(column)
        return rules

    def _apply(self, rows: pa.RecordBatch) -> Batch:
        if not self.columns:
            return Batch(rows)
        read = iter(rows.columns)
        arrays = [pa.nulls(rows.num_rows) if column.name is None else next(read) for column in self.columns]
        names = [field_name(column) for column in self.columns]
        return apply_columns(
            pa.RecordBatch.from_arrays(arrays, names=names), self._column_rules(), timezone=self.context.timezone
        )

    def _split_conditions(self, cursor: Any, fixed: Sequence[str]) -> Sequence[str]:
        rows = self.row_estimate(cursor) if self.is_table else None
        if rows is not None and split_count(rows, self.context.channels) == 1:
            return ()
        key = self._key(cursor)
        if key is None:
            return self.ranges_without_key(cursor, split_count(rows, self.context.channels)) if rows else ()
        quoted = self.database.quote(key.name)
        sample = self.sample(cursor, key.name, self._where(*fixed, f"{quoted} IS NOT NULL"), rows)
        bounds = boundaries(sample.keys, split_count(sample.rows, self.context.channels))
        return key_ranges(quoted, bounds, nullable=key.nullable)

    def _key(self, cursor: Any) -> Key | None:
        name = (self.parameter.get("splitPk") or "").strip()
        if name and not _ROW_NUMBER.fullmatch(name):
            name = self.stored_column(cursor, name)
            return Key(name, self.key_nullable(cursor, name))
        return self.find_key(cursor) if self.is_table else None

    def _begin_snapshot(self, cursor: Any) -> Mapping[str, str]:
        if not self.parameter.get("consistent"):
            return {}
        if self._begun_snapshot:
            self.join_held_snapshot(cursor, self._begun_snapshot)
        else:
            self._begun_snapshot, self._hold = self.hold_snapshot(cursor)
        # Names may come again when a server was started anew; attempts never do.
        return {"snapshot": f"{self._begun_snapshot}@{self.context.attempt}"}

    def _bounds(self, cursor: Any) -> Bounds:
        if self.parameter.get("increColumn") in (None, ""):
            return Bounds((), {})
        column = self._incremental_column()
        kind, zone, quoted = column.field.type, self.context.timezone, self.database.quote(column.name)
        inclusive = bool(self.parameter.get("useMaxFunc"))
        start = str(self.parameter.get("startLocation") or "")
        lower: tuple[str, ...] = ()
        if start:
            literal = self.key_literal(column.name, location_to_text(start, kind, zone))
            lower = (f"{quoted} {'>=' if inclusive else '>'} {literal}",)
        end = str(self.parameter.get("endLocation") or "")
        greatest = location_to_text(end, kind, zone) if end else self.greatest(cursor, quoted, self._where(*lower))
        if greatest is None:
            return Bounds(("1 = 0",), {"startLocation": start, "endLocation": start})
        upper = f"{quoted} {'<' if inclusive else '<='} {self.key_literal(column.name, greatest)}"
        end = end or text_to_location(greatest, kind, zone)
        return Bounds((*lower, upper), {"startLocation": start, "endLocation": end})

    def _incremental_column(self) -> SourceColumn:
        wanted = str(self.parameter["increColumn"])
        names = [column.name for column in self.selected]
        wanted = self.database.column_name(wanted, names)
        if wanted not in names and wanted.isdigit() and int(wanted) < len(names):
            wanted = names[int(wanted)]
        if wanted not in names:
            message = f"increColumn {wanted} is not among the columns that are read: {', '.join(names)}"
            raise self.database.error(NotFoundError, message)
        return self.selected[names.index(wanted)]


def _some(names: Sequence[str]) -> str:
    """A few names for a message."""
    shown = ", ".join(sorted(names)[:_MOST_SHOWN])
    return (f"{shown}, …" if len(names) > _MOST_SHOWN else shown) or "none"
