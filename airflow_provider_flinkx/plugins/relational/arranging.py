"""The target before the first row: made, emptied, replaced or widened as the job asks, or refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_flinkx.exceptions import DataError, JobInvalidError
from airflow_provider_flinkx.plugins.base import TableColumn
from airflow_provider_flinkx.plugins.relational.capacity import holds_all
from airflow_provider_flinkx.plugins.relational.tables import Tables


@dataclass(frozen=True)
class Arrangement:
    """What a job asks of its target.

    Args:
        create: make the table when it is not there.
        save_mode: `append`, `truncate`, `recreate` or `error`.
        schema_change: `fail`, `add` or `ignore`; None: columns are matched by their place and not compared.
    """

    create: bool
    save_mode: str
    schema_change: str | None

    @classmethod
    def of(cls, parameter: Mapping[str, Any]) -> Arrangement:
        """What the writer's parameter says."""
        return cls(
            bool(parameter.get("createTable")),
            str(parameter.get("saveMode") or "append"),
            parameter.get("schemaChange") or None,
        )

    @property
    def is_plain(self) -> bool:
        """Whether the table is taken as it is."""
        return not self.create and self.save_mode == "append" and self.schema_change is None

    def carry_out(
        self, cursor: Any, tables: Tables, source: Callable[[], Sequence[TableColumn]], check: Callable[[], None]
    ) -> None:
        """Do it; the rows that are there are removed last.

        Args:
            cursor: in the transaction of `prepare`.
            tables: the target.
            source: gives the columns that come from the reader, named as in the target.
            check: raises what would keep every row from being written.

        Raises:
            DataError: the table holds rows, or differs from the source.
        """
        there = tables.describe(cursor)
        if not there:
            if self.create or self.save_mode == "recreate":
                tables.create(cursor, source())
            return  # else preSql may make it
        if self.save_mode == "recreate":
            tables.replace(cursor, source())
            return
        if self.save_mode == "error" and tables.has_rows(cursor):
            raise _error(tables, "holds rows, and saveMode is error: empty it, or take append, truncate or recreate")
        if self.schema_change is not None:
            self._compare(cursor, tables, source(), there)
        if self.save_mode == "truncate":
            if not tables.transactional:
                check()
            tables.empty(cursor)

    def _compare(
        self, cursor: Any, tables: Tables, source: Sequence[TableColumn], there: Sequence[TableColumn]
    ) -> None:
        """Raise for differences that the job does not allow, all at once; add what is missing."""
        by_name = {column.name: column for column in there}
        named = [(tables.database.column_name(column.name, by_name), column) for column in source]
        missing = [column for name, column in named if name not in by_name]
        if self.schema_change == "ignore":
            if len(missing) == len(source):
                raise _error(tables, "has none of the source's columns")
            return
        found = [] if self.schema_change == "add" else [f"{_shown(tables, column)} is missing" for column in missing]
        found += [
            f"{name} is {_shown_type(tables, by_name[name])} and cannot hold every {_shown_type(tables, column)}"
            for name, column in named
            if name in by_name and not holds_all(by_name[name], column)
        ]
        if found:
            hint = "" if self.schema_change == "add" or not missing else "; schemaChange add adds missing columns"
            raise _error(tables, f"differs from the source: {'; '.join(found)}{hint}")
        if missing:
            tables.add(cursor, [replace(column, nullable=True, key=None) for column in missing])


def named_as(source: Sequence[TableColumn], names: Sequence[str]) -> Sequence[TableColumn]:
    """The source's columns with the names that the writer gives them by place; none: their own.

    Raises:
        JobInvalidError: the numbers differ, or two columns have one name.
    """
    if names and len(names) != len(source):
        raise JobInvalidError([f"column: the reader gives {len(source)} columns, the writer takes {len(names)}"])
    columns = [replace(column, name=name) for column, name in zip(source, names or _names(source), strict=True)]
    doubled = sorted({name for name in _names(columns) if _names(columns).count(name) > 1})
    if doubled:
        raise JobInvalidError([f"column: {', '.join(doubled)} is given twice; a table has one column of a name"])
    return columns


def _names(columns: Sequence[TableColumn]) -> list[str]:
    return [column.name for column in columns]


def _shown(tables: Tables, column: TableColumn) -> str:
    return f"{column.name} {_shown_type(tables, column)}"


def _shown_type(tables: Tables, column: TableColumn) -> str:
    return column.declared[1] if column.declared is not None else tables.column_type(column)


def _error(tables: Tables, message: str) -> DataError:
    return tables.database.error(DataError, f"table {tables.database.table_label} {message}")
