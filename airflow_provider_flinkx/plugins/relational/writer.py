"""What the writers of all databases do alike: preSql and postSql, the target's columns, refused rows.

A database's own split writer says how each column is fed and writes a range of rows, all or none. A split is one
transaction; a batch that is refused is taken back to a savepoint and cut until the bad rows are alone.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import pyarrow as pa

from airflow_provider_flinkx.exceptions import DataError, FlinkXError, JobInvalidError, NotFoundError
from airflow_provider_flinkx.jobs.model import Column
from airflow_provider_flinkx.plugins.base import (
    Reader,
    Reject,
    RunContext,
    Split,
    SplitWriter,
    SplitWrittenError,
    TableColumn,
    Writer,
    WriteResult,
    table_columns,
)
from airflow_provider_flinkx.plugins.conversion import json_row
from airflow_provider_flinkx.plugins.relational.arranging import Arrangement, named_as
from airflow_provider_flinkx.plugins.relational.database import Database
from airflow_provider_flinkx.plugins.relational.fitting import FitRule, Fitted, fit
from airflow_provider_flinkx.plugins.relational.isolation import Outcome, RowRefusedError, write_isolated
from airflow_provider_flinkx.plugins.relational.ledger import RelationalLedger
from airflow_provider_flinkx.plugins.relational.row_connection import MovesByConnection

WRITE_MODES = ("insert", "replace", "update")


class NamedColumn(Protocol):
    """A column of the target; each database adds what it must know of it."""

    @property
    def name(self) -> str:
        """Its name in the table."""


Target = TypeVar("Target", bound=NamedColumn)


class RelationalWriter(MovesByConnection, Writer):
    """Writes a table of a database.

    Attributes:
        mode: `insert`, `replace` or `update`.
        row_by_row: whether each row gets a statement of its own (`batchSize` 1). With any other batch size
            bulk statements take the batches as they come from the reader.
        arrangement: what the job asks of the table before the first row.
    """

    database_class: ClassVar[type[Database]]

    def __init__(self, parameter: Mapping[str, Any], columns: Sequence[Column], context: RunContext) -> None:
        super().__init__(parameter, columns, context)
        self.database = self.database_class(parameter, context.timezone)
        self.database.kept = context.kept
        self.mode = str(parameter.get("writeMode") or "insert").lower()
        if self.mode not in WRITE_MODES:
            raise JobInvalidError([f"writeMode: {self.mode!r} is none of {', '.join(WRITE_MODES)}"])
        self.row_by_row = int(parameter.get("batchSize") or 0) == 1
        self.arrangement = Arrangement.of(parameter)
        self._names: Sequence[str] = ()
        self.grows_by_rows = self.mode == "insert"
        self.empties_target = self.arrangement.save_mode in ("truncate", "recreate")

    def prepare(self, schema: pa.Schema) -> None:
        """Arrange the table as the job asks, run preSql, then look at it, in one transaction: preSql may make it.

        Raises:
            NotFoundError: the table or a column is not there.
            JobInvalidError: reader and writer differ in the number of columns.
            DataError: the table is not as the job wants it, or a statement failed; then nothing of what was done
                remains, as far as the database can take it back.
        """
        self._prepare(schema, partial(table_columns, schema))

    def prepare_for(self, reader: Reader) -> None:
        """`prepare`, with all that the reader knows of the source's columns."""
        self._prepare(reader.schema, reader.table_columns)

    @classmethod
    def prepare_all(cls, targets: Sequence[tuple[Writer, Reader]]) -> None:
        """`prepare_for` of tables of one database, in one transaction."""
        first, _ = targets[0]
        assert isinstance(first, RelationalWriter)
        with first.database.planning("prepare the tables") as cursor:
            for writer, reader in targets:
                assert isinstance(writer, RelationalWriter)
                try:
                    with contextlib.closing(reader), contextlib.closing(writer):
                        writer._prepare_in(cursor, reader.schema, reader.table_columns)
                except FlinkXError:
                    raise
                except Exception as error:
                    raise writer.database.failure(error, writer._preparing) from error

    @property
    def _preparing(self) -> str:
        return f"prepare table {self.database.table_label}"

    def _prepare(self, schema: pa.Schema, source: Callable[[], Sequence[TableColumn]]) -> None:
        with self.database.planning(self._preparing) as cursor:
            self._prepare_in(cursor, schema, source)

    def _prepare_in(self, cursor: Any, schema: pa.Schema, source: Callable[[], Sequence[TableColumn]]) -> None:
        if not self.arrangement.is_plain:
            names = [str(column.name) for column in self.columns]
            self.arrangement.carry_out(
                cursor, self.database.tables, lambda: named_as(source(), names), lambda: self.check(cursor, schema)
            )
        self.database.run_all(cursor, "preSql", self.parameter.get("preSql") or ())
        self.check(cursor, schema)

    def row_count(self) -> int:
        """Count the table's rows."""
        with self.database.asking(f"count the rows of table {self.database.table_label}") as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM {self.database.table}")  # noqa: S608  # a quoted name
            return int(cursor.fetchone()[0])

    def written_columns(self, schema: pa.Schema) -> Sequence[str]:
        """Names of the table's columns that are written."""
        if not self._names:
            self.resume(schema)
        return self._names

    def resume(self, schema: pa.Schema) -> None:
        """Look at the table; raises what `prepare` raises about it."""
        with self.database.asking(f"look at table {self.database.table_label}") as cursor:
            self.check(cursor, schema)

    def finish(self, report: Mapping[str, Any] | None = None) -> None:
        """Run postSql, and keep the report in the ledger, in one transaction; once for all tries of a run."""
        statements = self.parameter.get("postSql") or ()
        if not (statements or report):
            return
        try:
            with self.database.planning("postSql") as cursor:
                if report is not None:
                    # First, because here another try that is finishing is waited for.
                    self.ledger().finish(cursor, report)
                self.database.run_all(cursor, "postSql", statements)
        except DataError:
            kept = self.ledger().read() if report is not None else None
            if kept is None or kept.report is None:
                raise
        if report is not None:
            self.ledger().forget_old()

    def ledger(self) -> RelationalLedger:
        """The ledger table, in the schema of the target (`ledgerTable` names another one)."""
        return RelationalLedger(self.database, self.parameter.get("ledgerTable"), self.context)

    def abort(self) -> None:
        """Nothing: what was not committed is not there."""

    @property
    def update_keys(self) -> Sequence[Sequence[str]]:
        """Column names of each key in `updateKey`, an object or, as in 1.10, one list (job.md §14); often none."""
        given = self.parameter.get("updateKey") or ()
        if isinstance(given, Mapping):
            return tuple(tuple(columns) for columns in given.values())
        return (tuple(given),) if given else ()

    @abc.abstractmethod
    def check(self, cursor: Any, schema: pa.Schema) -> None:
        """Look at the table and raise what would keep every row from being written."""

    def chosen(self, available: Sequence[Target], schema: pa.Schema) -> list[Target]:
        """The columns that are written, in the order of the reader's columns.

        Args:
            available: all columns of the table that can be written, in its order.
            schema: what comes from the reader.
        """
        by_name = {column.name: column for column in available}
        by_place = not self.columns and self.arrangement.schema_change is None
        given = [str(column.name) for column in self.columns] or ([] if by_place else schema.names)
        names = [self.database.column_name(name, by_name) for name in given] or list(by_name)
        missing = [name for name in names if name not in by_name]
        if missing and not self.columns and self.arrangement.schema_change == "ignore":
            self.taken = [place for place, name in enumerate(names) if name in by_name]
            self._names = [names[place] for place in self.taken]
            return [by_name[name] for name in self._names]
        if missing:
            message = (
                f"table {self.database.table_label} has no column {', '.join(missing)}; it has {', '.join(by_name)}"
            )
            raise self.database.error(NotFoundError, message)
        if len(names) != len(schema):
            raise JobInvalidError([f"column: the reader gives {len(schema)} columns, the writer takes {len(names)}"])
        self._names = names
        return [by_name[name] for name in names]


class RelationalSplitWriter(SplitWriter):
    """Writes one split in one transaction.

    A database says how a range of rows is written, all or none (`attempt`); one that tells the refused rows itself
    takes them all at once (`write_rows`).

    Attributes:
        most_rows: rows per `attempt` at most; None for no limit.
    """

    most_rows: int | None = None

    def __init__(self, writer: RelationalWriter, rules: Sequence[FitRule], split: Split | None = None) -> None:
        self.writer = writer
        self.rules = rules
        self.split = split

    def record(self, report: Mapping[str, Any]) -> None:
        """Insert the split's ledger entry into its transaction."""
        assert self.split is not None, "a writer that keeps a ledger gives its split"
        try:
            self.run_statement(self.writer.ledger().entry(self.split.index, report))
        except RowRefusedError as refusal:
            raise SplitWrittenError(refusal.message) from refusal

    def run_statement(self, statement: str) -> None:
        """Run a statement of ours in the split's transaction; for writers that keep a ledger.

        Raises:
            RowRefusedError: a key is there already.
            DataError: for anything else.
        """
        raise NotImplementedError

    def write(self, batch: pa.RecordBatch) -> WriteResult:
        """Write a batch; rows that do not fit or are refused come back as rejects."""
        names = self.writer.context.field_names
        if len(names) != batch.num_columns:
            names = tuple(batch.schema.names)
        if self.writer.taken is not None:
            batch = batch.select(self.writer.taken)
            names = tuple(names[place] for place in self.writer.taken)
        fitted = fit(batch, self.rules, names)
        rejects = list(fitted.rejects)
        if fitted.rows.num_rows == 0:
            return WriteResult(0, rejects, range(batch.num_rows))
        outcome = self.write_rows(fitted)
        for position, refusal in outcome.refused.items():
            row = json_row(batch, int(fitted.positions[position]), names)
            rejects.append(Reject(row, refusal.category, refusal.message))
        if not rejects:
            return WriteResult(outcome.written)
        written = np.delete(fitted.positions, list(outcome.refused))
        return WriteResult(outcome.written, rejects, np.setdiff1d(np.arange(batch.num_rows), written).tolist())

    def write_rows(self, fitted: Fitted) -> Outcome:
        """Write the rows in bulk; what the database refuses is found by `attempt` with fewer of them."""
        self.stage(fitted)
        return write_isolated(
            fitted.rows.num_rows,
            lambda start, stop: self.attempt(fitted, start, stop),
            largest=1 if self.writer.row_by_row else self.most_rows,
        )

    def stage(self, fitted: Fitted) -> None:
        """Make the rows ready for `attempt`, where that is done once for all of them."""

    def attempt(self, fitted: Fitted, start: int, stop: int) -> None:
        """Write rows start..stop, all or none.

        Raises:
            RowRefusedError: at least one row is refused; none was written.
            DataError: for anything else.
        """
        raise NotImplementedError
