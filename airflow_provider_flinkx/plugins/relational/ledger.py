"""The split ledger of a relational target: a table beside the target, `flinkx_ledger` unless the job names another.

    job_key   the run, or the rows of an incremental run, which several runs may share
    split     index of a split that is in the target; PLAN and FINISHED stand for the run itself, LOCATION for where
              the next incremental run begins; FIRST_LATER and below: what a job that polls has planned later
    written   seconds since 1970
    entry     JSON: the split's report, the plan, the job report

A split's entry is inserted in the transaction of its rows, so both are there or neither. Two tries that write the same
split meet at the primary key: the second one is refused. That is why entries outlive their run by `KEPT_SECONDS`: a
worker that was cut off may still be at work when another try has finished. Its report is there for a try that was
started because the first one died before it could tell.

The location of an incremental read moves in the transaction that finishes a range of its rows, and of several runs of
one range only one can finish it. Entries of a range that is not finished stay for as long as it takes: the next run
goes on with them.
"""

# ruff: noqa: S608 -- SQL is made here of quoted names and quoted texts
from __future__ import annotations

import contextlib
import hashlib
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from airflow_provider_flinkx.exceptions import DataError, NotFoundError
from airflow_provider_flinkx.jobs.model import SourceTable
from airflow_provider_flinkx.plugins.base import KeptRun, Ledger, Location, RunContext, Split
from airflow_provider_flinkx.plugins.relational.database import Database
from airflow_provider_flinkx.plugins.relational.names import split_table_name

TABLE = "flinkx_ledger"
PLAN = -1
FINISHED = -2
LOCATION = -3
FIRST_LATER = -10
KEPT_SECONDS = 30 * 24 * 3600
#: How names of ranges begin.
RANGE_PREFIX = "incremental-"


class RelationalLedger(Ledger):
    """The ledger of one run.

    Args:
        database: login to the target.
        table: name of the ledger table; None: `flinkx_ledger` in the schema of the target table.
        context: of the run.
    """

    def __init__(self, database: Database, table: str | None, context: RunContext) -> None:
        self._database = database
        parts = (*database.table_name[:-1], database.stored_name(TABLE))
        if table:
            parts = split_table_name(table, stored=database.stored_name)
        self._table = ".".join(database.quote(part) for part in parts)
        self._label = ".".join(parts)
        self._context = context
        self._key = database.literal(context.ledger_key)

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
        later = [entries.pop(index)["splits"] for index in sorted(entries, reverse=True) if index <= FIRST_LATER]
        splits = [Split(**split) for part in (plan["splits"], *later) for split in part]
        tables = tuple(SourceTable(**table) for table in plan.get("tables", ()))
        return KeptRun(plan["digest"], splits, entries, before=plan.get("before") or (), tables=tables)

    def begin(self, begun: KeptRun, *, anew: bool) -> None:
        """Keep the plan of a run."""
        splits = [asdict(split) for split in begun.splits]
        tables = [asdict(table) for table in begun.tables]
        plan = {"digest": begun.digest, "splits": splits, "before": list(begun.before), "tables": tables}
        with self._database.planning(f"keep the plan in {self._label}") as cursor:
            if anew:
                cursor.execute(f"DELETE FROM {self._table} WHERE job_key = {self._key}")
            cursor.execute(self.entry(PLAN, plan))

    def extend(self, splits: Sequence[Split]) -> None:
        """Keep more splits; two tries that have got as far meet at the primary key."""
        place = FIRST_LATER - splits[0].index
        with self._database.planning(f"keep the plan in {self._label}") as cursor:
            cursor.execute(self.entry(place, {"splits": [asdict(split) for split in splits]}))

    def written(self, index: int) -> Mapping[str, Any] | None:
        """The report of a split that is in the target."""
        return self._entries().get(index)

    def entry(self, index: int, value: Mapping[str, Any]) -> str:
        """The statement that inserts an entry."""
        return self._insert(self._context.ledger_key, index, value)

    def finish(self, cursor: Any, report: Mapping[str, Any]) -> None:
        """Keep the job report; an error when another try has finished."""
        cursor.execute(self.entry(FINISHED, report))
        if self._context.range is not None:
            stream, series, number = self._context.range.split(".")
            self._move_on(cursor, stream, {"series": series, "number": int(number)}, report)

    def forget_old(self) -> None:
        """Remove entries that are a month old; what cannot be removed now is left to another run.

        Not in the transaction that finishes the run: two jobs that finish at one moment would each wait for what the
        other one has locked. For the same reason the keys are looked up first: a DELETE without a key locks all rows.
        """
        old = f"written < {round(time.time() - KEPT_SECONDS)}"
        finished = f"job_key NOT LIKE '{RANGE_PREFIX}%'"
        if self._context.range is not None:
            # The ranges before this one are finished; no other is known to be.
            series, _, _ = self._context.range.rpartition(".")
            finished = f"({finished} OR (job_key LIKE '{series}.%' AND job_key <> {self._key}))"
        with contextlib.suppress(DataError):
            with self._database.planning(f"look for old entries in {self._label}") as cursor:
                cursor.execute(f"SELECT DISTINCT job_key FROM {self._table} WHERE {old} AND {finished}")
                keys = sorted(str(key) for (key,) in cursor.fetchall())
            if not keys:
                return
            with self._database.planning(f"remove old entries from {self._label}") as cursor:
                for key in keys:
                    cursor.execute(f"DELETE FROM {self._table} WHERE job_key = {self._database.literal(key)} AND {old}")

    def location(self, source: str, first: str) -> Location:
        """The location kept for a source, and this target; the first run leaves it here before it reads."""
        identity = f"{source}\n{self._database.table_label}"
        stream = RANGE_PREFIX + hashlib.sha256(identity.encode()).hexdigest()[:16]
        with self._database.planning(f"read {self._label}") as cursor:
            kept = self._kept_location(cursor, stream)
        if kept is not None:
            return _location(stream, kept)
        begun = {"series": uuid.uuid4().hex[:8], "number": 0, "location": first}
        try:
            with self._database.planning(f"keep the location in {self._label}") as cursor:
                cursor.execute(self._insert(stream, LOCATION, begun))
        except DataError:
            # Another run may have been faster.
            with self._database.planning(f"read {self._label}") as cursor:
                kept = self._kept_location(cursor, stream)
            if kept is None:
                raise
        return _location(stream, kept or begun)

    def _move_on(self, cursor: Any, stream: str, finished: Mapping[str, Any], report: Mapping[str, Any]) -> None:
        """Let the next run begin where this range ends, unless the location is kept elsewhere or was removed."""
        kept = self._kept_location(cursor, stream)
        if kept is None or any(kept[name] != value for name, value in finished.items()):
            return
        moved = {
            **finished,
            "number": finished["number"] + 1,
            "location": report["endLocation"],
            "lastRun": self._context.job_key,
        }
        text = self._database.long_literal(json.dumps(moved))
        cursor.execute(
            f"UPDATE {self._table} SET entry = {text}, written = {round(time.time())} "
            f"WHERE job_key = '{stream}' AND split = {LOCATION}"
        )

    def _kept_location(self, cursor: Any, stream: str) -> dict[str, Any] | None:
        cursor.execute(f"SELECT entry FROM {self._table} WHERE job_key = '{stream}' AND split = {LOCATION}")
        found = cursor.fetchall()  # its fetchone cannot take a CLOB from DB2's stand-in
        return json.loads(self._database.long_value(found[0][0])) if found else None

    def _insert(self, key: str, index: int, value: Mapping[str, Any]) -> str:
        key, text = self._database.literal(key), self._database.long_literal(json.dumps(value))
        return (
            f"INSERT INTO {self._table} (job_key, split, written, entry) "
            f"VALUES ({key}, {index}, {round(time.time())}, {text})"
        )

    def _entries(self) -> dict[int, dict[str, Any]]:
        with self._database.planning(f"read {self._label}") as cursor:
            cursor.execute(f"SELECT split, entry FROM {self._table} WHERE job_key = {self._key}")
            rows = cursor.fetchall()
            return {int(split): json.loads(self._database.long_value(entry)) for split, entry in rows}

    def _create(self) -> None:
        statement = (
            f"CREATE TABLE {self._table} (job_key {self._database.exact_text} NOT NULL, split integer NOT NULL, "
            f"written {self._database.long_integer} NOT NULL, entry {self._database.long_text} NOT NULL, "
            f"PRIMARY KEY (job_key, split))"
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


def _location(stream: str, kept: Mapping[str, Any]) -> Location:
    series, number = kept["series"], kept["number"]
    last = f"{stream}.{series}.{number - 1}" if number else ""
    return Location(f"{stream}.{series}.{number}", kept["location"], kept.get("lastRun", ""), last)
