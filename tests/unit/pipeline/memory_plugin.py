"""A reader and a writer over lists in memory: the smallest plugin that keeps the contract of plugins.base."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from airflow_provider_flinkx.exceptions import ConnectionFailedError
from airflow_provider_flinkx.jobs.model import (
    Content,
    Dirty,
    Endpoint,
    ErrorLimit,
    Job,
    Setting,
    SourceTable,
    Speed,
)
from airflow_provider_flinkx.pipeline.steps import Run
from airflow_provider_flinkx.plugins.base import (
    Batch,
    Category,
    KeptRun,
    Ledger,
    Reader,
    Reject,
    RunContext,
    Split,
    SplitWriter,
    SplitWrittenError,
    Writer,
    WriteResult,
)

SCHEMA = pa.schema([("id", pa.int64())])
NO_LIMIT = ErrorLimit(None, None)


@dataclass
class Store:
    """What the tests look at, and where they ask for trouble."""

    splits: list[list[int]] = field(default_factory=list)
    bad: set[int] = field(default_factory=set)
    unreadable: set[int] = field(default_factory=set)
    fail_reading_split: int | None = None
    fail_writing_split: int | None = None
    fail_at: str | None = None
    published_by_finish: bool = False
    target: list[int] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    keeps_ledger: bool = False
    empties_target: bool = False
    plan: KeptRun | None = None
    done: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    report: Mapping[str, Any] | None = None
    lose_answer_of_commit: int | None = None
    #: Of jobs that read many tables: splits and schema of each source, rows of each target.
    sources: dict[str, list[list[int]]] = field(default_factory=dict)
    schemas: dict[str, pa.Schema] = field(default_factory=dict)
    targets: dict[str, list[int]] = field(default_factory=dict)
    #: Readers and writers that are in use, and how many there were at once.
    in_use: set[int] = field(default_factory=set)
    most_in_use: int = 0

    def call(self, name: str) -> None:
        self.calls.append(name)
        if self.fail_at == name:
            raise OSError(f"{name} broke")

    def use(self, user: object) -> None:
        self.in_use.add(id(user))
        self.most_in_use = max(self.most_in_use, len(self.in_use))

    def rows_in(self, table: str) -> list[int]:
        return self.targets.setdefault(table, []) if table else self.target


def _names(parameter: Mapping[str, Any]) -> list[str]:
    return [name for connection in parameter.get("connection", ()) for name in connection["table"]]


class MemoryReader(Reader):
    store: Store

    @property
    def table(self) -> str:
        return "".join(_names(self.parameter))

    @property
    def schema(self) -> pa.Schema:
        self.store.use(self)
        self.store.call("schema")
        return self.store.schemas.get(self.table, SCHEMA)

    def tables(self) -> Sequence[SourceTable]:
        return [
            SourceTable(name, name, name)
            for pattern in _names(self.parameter)
            for name in fnmatch.filter(sorted(self.store.sources), pattern)
        ]

    def splits(self) -> Sequence[Split]:
        self.store.use(self)
        splits = self.store.sources[self.table] if self.table else self.store.splits
        return [Split(index, {"n": index}) for index in range(len(splits))]

    def close(self) -> None:
        self.store.in_use.discard(id(self))

    def read(self, split: Split) -> Iterator[Batch]:
        self.store.use(self)
        ids = (self.store.sources[self.table] if self.table else self.store.splits)[split.spec["n"]]
        half = len(ids) // 2
        for part in (ids[:half], ids[half:]):
            good = [value for value in part if value not in self.store.unreadable]
            rejects = [
                Reject({"id": value}, Category.CONVERSION, "unreadable")
                for value in part
                if value in self.store.unreadable
            ]
            yield Batch(pa.record_batch([pa.array(good, pa.int64())], SCHEMA), rejects)
            if split.index == self.store.fail_reading_split:
                raise OSError("source broke")


class MemorySplitWriter(SplitWriter):
    def __init__(self, store: Store, split: Split, table: str) -> None:
        self.store = store
        self.split = split
        self.table = table
        self.rows: list[int] = []

    def write(self, batch: pa.RecordBatch) -> WriteResult:
        if self.split.index == self.store.fail_writing_split:
            raise OSError("target broke")
        ids = batch.column(0).to_pylist()
        self.rows += [value for value in ids if value not in self.store.bad]
        rejects = [Reject({"id": value}, Category.DUPLICATE, "bad") for value in ids if value in self.store.bad]
        return WriteResult(len(ids) - len(rejects), rejects)

    def record(self, report: Mapping[str, Any]) -> None:
        if self.split.index in self.store.done:
            raise SplitWrittenError
        self.report: Mapping[str, Any] = report

    def commit(self) -> None:
        self.store.rows_in(self.table).extend(self.rows)
        if self.store.keeps_ledger:
            self.store.done[self.split.index] = self.report
        self.store.call("commit")
        if self.split.index == self.store.lose_answer_of_commit:
            raise ConnectionFailedError("the answer is lost")

    def rollback(self) -> None:
        self.store.calls.append("rollback")
        self.rows = []


class MemoryLedger(Ledger):
    def __init__(self, store: Store) -> None:
        self.store = store

    def read(self) -> KeptRun | None:
        if self.store.report is not None:
            return KeptRun("", (), {}, self.store.report)
        return replace(self.store.plan, done=self.store.done) if self.store.plan else None

    def begin(self, begun: KeptRun, *, anew: bool) -> None:
        assert anew or not self.store.plan
        self.store.plan, self.store.done, self.store.report = begun, {}, None

    def written(self, index: int) -> Mapping[str, Any] | None:
        return self.store.done.get(index)


class MemoryWriter(Writer):
    store: Store

    grows_by_rows = True

    @property
    def table(self) -> str:
        return "".join(_names(self.parameter))

    def prepare(self, schema: pa.Schema) -> None:
        self.store.use(self)
        self._call("prepare", self.parameter.get("preSql", ()))

    def row_count(self) -> int:
        return len(self.store.rows_in(self.table))

    def open(self, split: Split, schema: pa.Schema) -> SplitWriter:
        self.store.use(self)
        return MemorySplitWriter(self.store, split, self.table)

    def finish(self, report: Mapping[str, Any] | None = None) -> None:
        self._call("finish", self.parameter.get("postSql", ()))
        self.store.report = report

    def close(self) -> None:
        self.store.in_use.discard(id(self))

    def _call(self, name: str, statements: Sequence[str]) -> None:
        """Note it, with its table and statements where there are any."""
        self.store.call(" ".join(filter(None, [name, self.table, *statements])))

    def abort(self) -> None:
        self.store.call("abort")


class FileLikeWriter(MemoryWriter):
    published_by_finish = True
    grows_by_rows = False


class LedgerWriter(MemoryWriter):
    keeps_ledger = True

    def ledger(self) -> Ledger:
        return MemoryLedger(self.store)

    def resume(self, schema: pa.Schema) -> None:
        self._call("resume", ())


@dataclass(frozen=True)
class MemoryRun(Run):
    """A run between lists."""

    store: Store = field(default_factory=Store)

    def reader(self) -> Reader:
        reader = MemoryReader(self.job.content.reader.parameter, (), self.context)
        reader.store = self.store
        return reader

    def writer(self, schema: pa.Schema) -> Writer:
        writer = self.writer_class()(self.job.content.writer.parameter, (), self.context)
        assert isinstance(writer, MemoryWriter)
        writer.store = self.store
        writer.empties_target = self.store.empties_target
        return writer

    def writer_class(self) -> type[Writer]:
        if self.store.keeps_ledger:
            return LedgerWriter
        return FileLikeWriter if self.store.published_by_finish else MemoryWriter


def memory_run(store: Store, *, attempt: str, limit: ErrorLimit = NO_LIMIT, dirty: str | None = None) -> MemoryRun:
    endpoint = Endpoint("memory", {}, ())
    setting = Setting(speed=Speed(channel=1), error_limit=limit, dirty=Dirty(path=dirty))
    job = Job(Content(endpoint, endpoint), setting, {})
    return MemoryRun(job, RunContext(job_key="test", attempt=attempt), store=store)
