"""The text of a MERGE statement: how `update` and `replace` are done where a database has no upsert of its own."""

# ruff: noqa: S608 -- SQL is made here of quoted names and parameter marks
from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from airflow_provider_flinkx.exceptions import NotFoundError

if TYPE_CHECKING:
    from airflow_provider_flinkx.plugins.relational.writer import RelationalWriter


class Merge(NamedTuple):
    """A MERGE of rows into a table; all names are in quotes.

    Args:
        table: the target.
        columns: columns that are written, in the order of the rows' values.
        keys: column lists, one of which a row must share with a row of the target for that to be overwritten.
        cleared: other columns of the target that an overwritten row loses (`replace`, job.md §14).
        kept: columns that an overwritten row keeps; None for those of the keys, where a database cannot change them.
    """

    table: str
    columns: Sequence[str]
    keys: Sequence[Sequence[str]]
    cleared: Sequence[str] = ()
    kept: Collection[str] | None = None

    def text(self, source: str) -> str:
        """The statement.

        Args:
            source: what stands behind USING: rows as `T2` with columns of the same names.
        """
        on = " OR ".join(self._same(key) for key in self.keys)
        kept = {column for key in self.keys for column in key} if self.kept is None else self.kept
        changes = [f"T1.{column} = T2.{column}" for column in self.columns if column not in kept]
        changes += [f"T1.{column} = NULL" for column in self.cleared]
        update = f"WHEN MATCHED THEN UPDATE SET {', '.join(changes)} " if changes else ""
        values = ", ".join(f"T2.{column}" for column in self.columns)
        return (
            f"MERGE INTO {self.table} T1 USING {source} ON ({on}) {update}"
            f"WHEN NOT MATCHED THEN INSERT ({', '.join(self.columns)}) VALUES ({values})"
        )

    @staticmethod
    def _same(key: Sequence[str]) -> str:
        condition = " AND ".join(f"T1.{column} = T2.{column}" for column in key)
        return f"({condition})"


class WritableColumn(Protocol):
    """A column of the target that can be written."""

    @property
    def name(self) -> str:
        """Its name in the table."""

    @property
    def nullable(self) -> bool:
        """Whether it may be null."""


def merge_of(
    writer: RelationalWriter,
    available: Sequence[WritableColumn],
    written: Sequence[WritableColumn],
    unique_keys: Callable[[], Sequence[Sequence[str]]],
    *,
    kept: Collection[str] | None = None,
) -> Merge | None:
    """The MERGE into the database's table; None where no key tells which row to overwrite, so that rows are inserted.

    Args:
        writer: says the mode, and the `updateKey` of the job (job.md §14).
        available: all columns that can be written.
        written: those that are.
        unique_keys: asks for the table's own keys, which count without `updateKey` if all their columns are written.
        kept: see `Merge`.

    Raises:
        NotFoundError: `updateKey` names a column that is not written.
    """
    database, names = writer.database, [column.name for column in written]
    keys: Sequence[Sequence[str]] = [[database.column_name(name, names) for name in key] for key in writer.update_keys]
    keys = keys or [key for key in unique_keys() if set(names).issuperset(key)]
    if not keys:
        return None
    missing = sorted({name for key in keys for name in key} - set(names))
    if missing:
        raise database.error(NotFoundError, f"updateKey: {', '.join(missing)} is not among the written columns")
    quote, replaces = database.quote, writer.mode == "replace"
    cleared = [column.name for column in available if replaces and column.nullable and column.name not in names]
    return Merge(
        database.table,
        [quote(name) for name in names],
        [[quote(name) for name in key] for key in keys],
        [quote(name) for name in cleared],
        kept,
    )
