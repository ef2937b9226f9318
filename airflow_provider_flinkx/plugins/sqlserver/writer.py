"""sqlserverwriter: bulk load into a temporary table, and from there INSERT or MERGE into the target.

A bulk load straight into the target would leave out its constraints and triggers, and names no bad row. All is done by
one connection in one transaction per split, under savepoints. Values are looked at before they are sent: SQL Server
rounds, pads and replaces without an error, and some failed conversions end the whole transaction.
"""

# ruff: noqa: S608 -- SQL is made here of quoted names
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from airflow_provider_flinkx.exceptions import DataError, JobInvalidError, NotFoundError
from airflow_provider_flinkx.plugins.base import Category, Split
from airflow_provider_flinkx.plugins.relational.fitting import FitRule, Fitted
from airflow_provider_flinkx.plugins.relational.isolation import RowRefusedError
from airflow_provider_flinkx.plugins.relational.merge import Merge
from airflow_provider_flinkx.plugins.relational.writer import RelationalSplitWriter, RelationalWriter
from airflow_provider_flinkx.plugins.sqlserver.database import RowConnection, SQLServer
from airflow_provider_flinkx.plugins.sqlserver.driver import mssql_py_core
from airflow_provider_flinkx.plugins.sqlserver.fitting import fit_column
from airflow_provider_flinkx.plugins.sqlserver.types import TargetColumn

_COLUMNS = """
SELECT c.name, t.name, c.max_length, c.precision, c.scale, COLLATIONPROPERTY(c.collation_name, 'CodePage'),
       c.is_nullable, c.is_identity
FROM {sys}.columns c
JOIN {sys}.types t ON t.user_type_id = CASE WHEN c.system_type_id = 240 THEN c.user_type_id ELSE c.system_type_id END
WHERE c.object_id = OBJECT_ID({table}) AND c.is_computed = 0 AND c.generated_always_type = 0 AND t.name <> 'timestamp'
ORDER BY c.column_id
"""
_UNIQUE_KEYS = """
SELECT i.index_id, c.name FROM {sys}.indexes i
JOIN {sys}.index_columns ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id AND ic.key_ordinal > 0
JOIN {sys}.columns c ON c.object_id = ic.object_id AND c.column_id = ic.column_id
WHERE i.object_id = OBJECT_ID({table}) AND i.is_unique = 1 AND i.has_filter = 0 AND i.is_disabled = 0
ORDER BY i.index_id, ic.key_ordinal
"""
_INSTEAD_TRIGGERS = """
SELECT COUNT(*) FROM {sys}.triggers
WHERE parent_id = OBJECT_ID({table}) AND is_instead_of_trigger = 1 AND is_disabled = 0
"""
_NUMBER = "flinkx_row"
_ERRORS = (mssql_py_core.Error, RuntimeError, OSError)


class SQLServerWriter(RelationalWriter):
    """Writes a table of SQL Server (sqlserver.md)."""

    database_class = SQLServer
    keeps_ledger = True
    database: SQLServer
    _columns: Sequence[TargetColumn] = ()
    _merge: Merge | None = None

    def check(self, cursor: Any, schema: pa.Schema) -> None:
        """Find the columns that are written and, for `update` and `replace`, the keys."""
        cursor.execute(self._about_table(_COLUMNS))
        rows = cursor.fetchall()
        if not rows:
            raise self.database.error(NotFoundError, f"table {self.database.table_label} does not exist")
        cursor.execute(self._about_table(_INSTEAD_TRIGGERS))
        filled = bool(cursor.fetchone()[0])
        available = [_target(row, may_be_filled=filled) for row in rows]
        # An identity column is counted up by the server unless the job names it, or the source has one of its name.
        by_name = self.columns or self.arrangement.schema_change is not None
        writable = [column for column in available if column.is_writable and not column.is_identity]
        self._columns = self.chosen(available if by_name else writable, schema)
        unwritable = next((column.name for column in self._columns if not column.is_writable), None)
        if unwritable:
            raise JobInvalidError([f"column {unwritable} is a sql_variant, whose rows have types of their own"])
        self._merge = self._merge_of(cursor, available) if self.mode != "insert" else None

    def open(self, split: Split, schema: pa.Schema) -> SQLServerSplitWriter:
        """Begin a transaction for a split."""
        if not self._columns:
            with self.database.asking(f"look at table {self.database.table_label}") as cursor:
                self.check(cursor, schema)
        return SQLServerSplitWriter(self, split, self.rows_connection(), self._columns, self._merge)

    def close(self) -> None:
        """Leave the connection to the next table, unless its session takes identities of this one."""
        if self._takes_identities:
            self.give_up()
        super().close()

    @property
    def _takes_identities(self) -> bool:
        return any(column.is_identity for column in self._columns)

    def connect_rows(self) -> RowConnection:
        """A connection that takes identities, where these are written."""
        rows = self.database.connect_rows()
        if self._takes_identities:
            try:
                rows.execute(f"SET IDENTITY_INSERT {self.database.table} ON")
            except _ERRORS as error:
                raise self.database.failure(error, f"write table {self.database.table_label}") from error
        return rows

    def _about_table(self, query: str) -> str:
        return query.format(sys=self.database.catalog, table=self.database.literal(self.database.table))

    def _merge_of(self, cursor: Any, available: Sequence[TargetColumn]) -> Merge | None:
        """How rows are merged; None when there is no key, and rows are inserted (job.md §14)."""
        written = [column.name for column in self._columns]
        keys = self._keys(cursor, written)
        if not keys:
            return None
        identities = {column.name for column in self._columns if column.is_identity}
        if any(not identities.issubset(key) for key in keys):
            message = f"identity column {min(identities)} cannot be updated: leave it out, or make it part of updateKey"
            raise JobInvalidError([message])
        cleared = [
            column.name for column in available
            if column.name not in written and column.nullable and self.mode == "replace"
        ]  # fmt: skip
        quote = self.database.quote
        return Merge(
            # HOLDLOCK: nobody can insert a key between the look at it and the insert.
            f"{self.database.table} WITH (HOLDLOCK) AS",
            [quote(name) for name in written],
            [[quote(name) for name in key] for key in keys],
            [quote(name) for name in cleared],
            {quote(name) for name in identities},
        )

    def _keys(self, cursor: Any, written: Sequence[str]) -> Sequence[Sequence[str]]:
        if self.update_keys:
            missing = sorted({name for key in self.update_keys for name in key} - set(written))
            if missing:
                raise JobInvalidError([f"updateKey: column {missing[0]} is not among the columns that are written"])
            return self.update_keys
        cursor.execute(self._about_table(_UNIQUE_KEYS))
        found: dict[int, list[str]] = {}
        for index, name in cursor.fetchall():
            found.setdefault(index, []).append(name)
        return [key for key in found.values() if set(key).issubset(written)]


class SQLServerSplitWriter(RelationalSplitWriter):
    """Writes one split in one transaction."""

    def __init__(
        self,
        writer: SQLServerWriter,
        split: Split,
        rows: RowConnection,
        columns: Sequence[TargetColumn],
        merge: Merge | None,
    ) -> None:
        zone = writer.context.timezone
        rules = [FitRule(column.name, column.needs_value, partial(fit_column, column, zone)) for column in columns]
        super().__init__(writer, rules, split)
        self.database = writer.database
        self.rows = rows
        self.columns = columns
        self.merge = merge
        self._stage = ""
        self._stages: dict[frozenset[str], str] = {}
        self._repeats = True
        self._run(lambda: rows.execute("BEGIN TRANSACTION"))

    def stage(self, fitted: Fitted) -> None:
        """Load the rows into a temporary table, one for each set of columns that go as text."""
        if fitted.as_text in self._stages:
            self._run(lambda: self.rows.execute(f"TRUNCATE TABLE {self._stages[fitted.as_text]}"))
        else:
            self._stages[fitted.as_text] = self._create_stage(fitted.as_text)
        self._stage = self._stages[fitted.as_text]
        numbers = pa.array(np.arange(fitted.rows.num_rows, dtype=np.int32))
        names = [_NUMBER, *(f"c{place}" for place in range(len(self.columns)))]
        rows = pa.RecordBatch.from_arrays([numbers, *fitted.rows.columns], names=names)
        self._run(lambda: self.rows.load(self._stage, rows))
        self._repeats = self.merge is not None and self._has_repeats()

    def attempt(self, fitted: Fitted, start: int, stop: int) -> None:
        """Write rows start..stop under a savepoint."""
        self._run(lambda: self.rows.execute("SAVE TRANSACTION flinkx"))
        self._refuse_unconvertible(start, stop)
        try:
            for statement in self._statements(fitted, start, stop):
                self.rows.execute(statement)
        except _ERRORS as error:
            refusal = self.database.refusal(error)
            if refusal is None:
                raise self._failure(error) from error
            self._take_back(refusal)
            raise refusal from error

    def run_statement(self, statement: str) -> None:
        """Run a statement in the transaction."""
        try:
            self.rows.execute(statement)
        except _ERRORS as error:
            raise self.database.refusal(error) or self._failure(error) from error

    def commit(self) -> None:
        """Commit the transaction."""
        for stage in self._stages.values():
            self._run(partial(self.rows.execute, f"DROP TABLE {stage}"))
        self._run(lambda: self.rows.execute("COMMIT TRANSACTION"))

    def rollback(self) -> None:
        """Take the transaction back; a connection that cannot do that is given up."""
        try:
            self.rows.execute("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
        except _ERRORS:
            self.writer.give_up()

    def _create_stage(self, as_text: frozenset[str]) -> str:
        name = f"#flinkx_{len(self._stages)}"
        kinds = ["nvarchar(40)" if column.name in as_text else column.stage_type for column in self.columns]
        columns = ", ".join(
            f"c{place} {kind}{' COLLATE DATABASE_DEFAULT' if kind.startswith('nvarchar') else ''} NULL"
            for place, kind in enumerate(kinds)
        )
        self._run(lambda: self.rows.execute(f"CREATE TABLE {name} ({_NUMBER} int NOT NULL PRIMARY KEY, {columns})"))
        return name

    def _refuse_unconvertible(self, start: int, stop: int) -> None:
        """Refuse the first text that is no xml: the failing conversion would end the transaction."""
        for place, column in enumerate(self.columns):
            if column.type_name != "xml":
                continue
            found = self._query(
                f"SELECT MIN({_NUMBER}) FROM {self._stage} WHERE {_NUMBER} >= {start} AND {_NUMBER} < {stop} "
                f"AND c{place} IS NOT NULL AND TRY_CONVERT(xml, c{place}, 1) IS NULL"
            )
            if found[0][0] is not None:
                raise RowRefusedError(Category.CONVERSION, f"column {column.name}: not xml", int(found[0][0]) - start)

    def _has_repeats(self) -> bool:
        """Whether rows of the batch share a key: one MERGE cannot take them."""
        return any(
            self._query(
                f"SELECT TOP 1 1 FROM {self._stage} GROUP BY {key} HAVING COUNT(*) > 1"
            ) for key in self._staged_keys()
        )  # fmt: skip

    def _staged_keys(self) -> list[str]:
        assert self.merge is not None
        return [", ".join(f"c{self.merge.columns.index(name)}" for name in key) for key in self.merge.keys]

    def _statements(self, fitted: Fitted, start: int, stop: int) -> Sequence[str]:
        quoted = [self.database.quote(column.name) for column in self.columns]
        values = [
            column.staged(f"c{place}", as_text=column.name in fitted.as_text)
            for place, column in enumerate(self.columns)
        ]
        chosen = f"{_NUMBER} >= {start} AND {_NUMBER} < {stop}"
        named = ", ".join(f"{value} AS {name}" for value, name in zip(values, quoted, strict=True))
        if self.merge is None:
            source = f"SELECT {', '.join(values)} FROM {self._stage} WHERE {chosen} ORDER BY {_NUMBER}"
            return [f"INSERT INTO {self.database.table} ({', '.join(quoted)}) {source}"]
        if not self._repeats or stop - start == 1:
            return [f"{self.merge.text(f'(SELECT {named} FROM {self._stage} WHERE {chosen}) AS T2')};"]
        return self._turns(named, chosen)

    def _turns(self, named: str, chosen: str) -> list[str]:
        """One MERGE cannot touch a row twice: rows with the same key go one after the other, the last one wins."""
        assert self.merge is not None
        keys = self._staged_keys()
        # Rows that share one of several keys are in no one partition: each has a turn of its own.
        partition = f"PARTITION BY {keys[0]} " if len(keys) == 1 else ""
        numbered = (
            f"SELECT *, ROW_NUMBER() OVER ({partition}ORDER BY {_NUMBER}) AS turn FROM {self._stage} WHERE {chosen}"
        )
        found = self._query(f"SELECT MAX(turn) FROM ({numbered}) numbered")
        return [
            f"{self.merge.text(f'(SELECT {named} FROM ({numbered}) numbered WHERE turn = {turn}) AS T2')};"
            for turn in range(1, int(found[0][0]) + 1)
        ]

    def _take_back(self, refusal: RowRefusedError) -> None:
        """Go back to the savepoint; a transaction that the error has ended cannot be saved."""
        if not self._query("SELECT @@TRANCOUNT")[0][0]:
            message = f"write table {self.database.table_label}: {refusal.message} (a trigger or a setting of the "
            message += "server ended the transaction, so the bad row could not be left out)"
            raise self.database.error(DataError, message)
        self._run(lambda: self.rows.execute("ROLLBACK TRANSACTION flinkx"))

    def _query(self, statement: str) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        self._run(lambda: found.extend(self.rows.query(statement)))
        return found

    def _run(self, action: Callable[[], None]) -> None:
        try:
            action()
        except _ERRORS as error:
            raise self._failure(error) from error

    def _failure(self, error: BaseException) -> Exception:
        return self.database.failure(error, f"write table {self.database.table_label}")


def _target(row: Sequence[Any], *, may_be_filled: bool) -> TargetColumn:
    name, kind, length, precision, scale, code_page, nullable, identity = row
    wide = kind in ("nchar", "nvarchar", "ntext", "xml")
    return TargetColumn(
        str(name),
        "decimal" if kind == "numeric" else str(kind),
        int(length),
        int(precision),
        int(scale),
        int(code_page) if code_page is not None and not wide else None,
        needs_value=not nullable and not may_be_filled,
        nullable=bool(nullable),
        is_identity=bool(identity),
    )
