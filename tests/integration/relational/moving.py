"""Moves rows from a reader to a writer in this process, as a task of the pipeline does, without Flink."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_flinkx.jobs.model import Column
from airflow_provider_flinkx.plugins.base import Reader, Reject, RunContext, Way, Writer
from airflow_provider_flinkx.plugins.registry import plugins
from tests.servers import Database

#: Fixtures of the databases that a test is for. Oracle has no stand-in: its double is in the unit tests.
DATABASES = ["postgres", "mariadb", "sqlserver", "db2", *(["oracle"] if "FLINKX_TEST_ORACLE_URL" in os.environ else [])]


@dataclass
class Moved:
    """What was read, written and rejected."""

    written: int = 0
    splits: int = 0
    rejects: list[Reject] = field(default_factory=list)
    location: Mapping[str, str] = field(default_factory=dict)


def parameter(database: Database, table: str | None, **others: Any) -> dict[str, Any]:
    """A parameter as it comes out of validation."""
    connection: dict[str, Any] = {"jdbcUrl": database.jdbc_url}
    if table is not None:
        connection["table"] = [table]
    return {
        "username": database.user,
        "password": database.password,
        "connection": [connection],
        "queryTimeOut": 1000,
        **others,
    }


def columns(names: Sequence[str | Column]) -> tuple[Column, ...]:
    """Columns by name."""
    return tuple(name if isinstance(name, Column) else Column(name=name) for name in names)


def reader(
    database: Database, table: str | None, *, names: Sequence[str | Column] = (), channels: int = 1,
    timezone: str = "UTC", **others: Any,
) -> Reader:  # fmt: skip
    """A reader of the database."""
    kind = plugins()[database.jdbc_scheme].load("reader")
    context = RunContext("key", "attempt", channels=channels, timezone=timezone)
    made: Reader = kind(parameter(database, table, **others), columns(names), context)
    return made


def writer(
    database: Database, table: str, *, names: Sequence[str | Column] = (), fields: Sequence[str] = (),
    timezone: str = "UTC", **others: Any,
) -> Writer:  # fmt: skip
    """A writer of the database."""
    kind = plugins()[database.jdbc_scheme].load("writer")
    context = RunContext("key", "attempt", timezone=timezone, field_names=tuple(fields))
    made: Writer = kind(parameter(database, table, **others), columns(names), context)
    return made


def move(source: Reader, target: Writer, way: Way | None = None) -> Moved:
    """Prepare, move all splits, finish; the ordinary way, or on a shortcut."""
    moved = Moved()
    way = way or Way(source.read, lambda split: target.open(split, source.schema))
    try:
        target.context = replace(target.context, field_names=tuple(source.schema.names))
        target.prepare_for(source)
        splits = source.splits()
        moved.splits = len(splits)
        for split in splits:
            part = way.open(split)
            try:
                for batch in way.read(split):
                    result = part.write(batch.rows)
                    moved.written += result.written
                    moved.rejects += [*batch.rejects, *result.rejects]
                part.commit()
            except BaseException:
                part.rollback()
                raise
            moved.location = source.location()
        target.finish()
    finally:
        source.close()
        target.close()
    return moved
