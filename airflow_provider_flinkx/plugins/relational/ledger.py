"""The split ledger of a relational target: a table beside the target, `flinkx_ledger` unless the job names another.

    job_key   the run
    split     index of a split that is in the target; PLAN and FINISHED stand for the run itself
    written   seconds since 1970
    entry     JSON: the split's report, the plan, the job report

A split's entry is inserted in the transaction of its rows, so both are there or neither. Two tries that write the same
split meet at the primary key: the second one is refused. That is why entries outlive their run by `KEPT_SECONDS`: a
worker that was cut off may still be at work when another try has finished. Its report is there for a try that was
started because the first one died before it could tell.
"""

# ruff: noqa: S608 -- SQL is made here of quoted names and quoted texts
from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from airflow_provider_flinkx.exceptions import DataError, NotFoundError
from airflow_provider_flinkx.plugins.base import KeptRun, Ledger, Split
from airflow_provider_flinkx.plugins.relational.database import Database
from airflow_provider_flinkx.plugins.relational.names import split_table_name

TABLE = "flinkx_ledger"
PLAN = -1
FINISHED = -2
KEPT_SECONDS = 30 * 24 * 3600


class RelationalLedger(Ledger):
    """The ledger of one run.

    Args:
        database: login to the target.
        table: name of the ledger table; None: `flinkx_ledger` in the schema of the target table.
        job_key: the run.
    """

    def __init__(self, database: Database, table: str | None, job_key: str) -> None:
        self._database = database
        parts = split_table_name(table) if table else (*database.table_name[:-1], database.stored_name(TABLE))
        self._table = ".".join(database.quote(part) for part in parts)
        self._label = ".".join(parts)
        self._key = database.literal(job_key)

    def read(self) -> KeptRun | None:
        """What earlier tries left."""
        try:
            entries = self._entries()
        except NotFoundError:
            self._create()
            return None
        if FINISHED in entries:
            return KeptRun("", (), {}, report=entries[FINISHED])
        plan = entries.pop(PLAN, None)
        if plan is None:
            return None
        return KeptRun(plan["digest"], [Split(**split) for split in plan["splits"]], entries)

    def begin(self, digest: str, splits: Sequence[Split], *, anew: bool) -> None:
        """Keep the plan of a run."""
        plan = {"digest": digest, "splits": [asdict(split) for split in splits]}
        with self._database.planning(f"keep the plan in {self._label}") as cursor:
            if anew:
                cursor.execute(f"DELETE FROM {self._table} WHERE job_key = {self._key}")
            cursor.execute(self.entry(PLAN, plan))

    def written(self, index: int) -> Mapping[str, Any] | None:
        """The report of a split that is in the target."""
        return self._entries().get(index)

    def entry(self, index: int, value: Mapping[str, Any]) -> str:
        """The statement that inserts an entry."""
        text = self._database.literal(json.dumps(value))
        return (
            f"INSERT INTO {self._table} (job_key, split, written, entry) "
            f"VALUES ({self._key}, {index}, {round(time.time())}, {text})"
        )

    def finish(self, cursor: Any, report: Mapping[str, Any]) -> None:
        """Keep the job report, and forget what is a month old; an error when another try has finished."""
        cursor.execute(self.entry(FINISHED, report))
        cursor.execute(f"DELETE FROM {self._table} WHERE written < {round(time.time() - KEPT_SECONDS)}")

    def _entries(self) -> dict[int, dict[str, Any]]:
        with self._database.planning(f"read {self._label}") as cursor:
            cursor.execute(f"SELECT split, entry FROM {self._table} WHERE job_key = {self._key}")
            return {int(split): json.loads(entry) for split, entry in cursor.fetchall()}

    def _create(self) -> None:
        statement = (
            f"CREATE TABLE {self._table} (job_key {self._database.exact_text} NOT NULL, split integer NOT NULL, "
            f"written bigint NOT NULL, entry {self._database.long_text} NOT NULL, PRIMARY KEY (job_key, split))"
            f"{self._database.table_options}"
        )
        try:
            with self._database.planning(f"make table {self._label}") as cursor:
                cursor.execute(statement)
        except DataError:
            # Two jobs may find it missing at the same moment.
            try:
                self._entries()
            except NotFoundError:
                pass
            else:
                return
            raise
