"""The steps of a job without Flink: sync and report; `planning.py` is the first one. `graph.py` puts them into Flink.

Steps talk in messages, plain dicts with a `kind`:

    plan     {splits: total, ledger, context, warnings, plan -> (through sync) -> report; before: what each target held
              before, tables, location}                 before the first split, where the job wants it verified;
                                                        location: of an incremental read;
                                                        tables: [{table, splits: number}] of a job that reads many
    round    {splits: total, last}                      plan -> report; a job that polls has planned more splits; last:
                                                        no other round follows
    split    {split, ledger, context, table}            plan -> sync; ledger: whether the target keeps one; context:
                                                        what the plan adds to `RunContext`, range and execution;
                                                        table: the split's, of many, or null
    done     {report}                                   plan, sync -> report: the split is in the target
    finished {report}                                   plan -> report: an earlier try has finished the run
    stopped  {report, early_end}                        sync -> report: rolled back, or not begun; early_end says
                                                        why the ratio of rejected rows ended the job, or is null
    failed   {report, error}: exceptions.to_json        any -> report; from the plan step context in place of report

A failure is a message, not an exception: so the report step can add up what is in the target before it
fails the Flink job, and the figures of a failed job are right too.
"""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import pyarrow as pa

from airflow_provider_flinkx import exceptions
from airflow_provider_flinkx.jobs import many_tables
from airflow_provider_flinkx.jobs.model import Column, Content, Job, SourceTable
from airflow_provider_flinkx.jobs.parameters import with_defaults
from airflow_provider_flinkx.pipeline.dirty import RejectFile, RejectFiles
from airflow_provider_flinkx.pipeline.read_ahead import ReadAhead
from airflow_provider_flinkx.pipeline.report import (
    Counters,
    JobReport,
    SplitReport,
    TableReport,
    error_limit_outcome,
    reason_to_end_early,
)
from airflow_provider_flinkx.pipeline.throttle import Throttle
from airflow_provider_flinkx.pipeline.verification import (
    Sides,
    WrittenRows,
    check_kept,
    compare_checksums,
    compare_rows,
    figures,
    together,
)
from airflow_provider_flinkx.plugins.base import (
    Reader,
    Reject,
    RunContext,
    ShortcutRefusedError,
    Split,
    SplitWriter,
    SplitWrittenError,
    Way,
    Writer,
)
from airflow_provider_flinkx.plugins.checksum import Checksum
from airflow_provider_flinkx.plugins.kept import KeptConnections
from airflow_provider_flinkx.plugins.registry import plugins, schema_of, split_name

Message = dict[str, Any]
#: In a report that is kept in a ledger: which submission has finished the run.
ATTEMPT = "attempt"


class KeptOfStep(NamedTuple):
    """The connections that one step keeps for the next table."""

    source: KeptConnections
    target: KeptConnections


@dataclass(frozen=True)
class Run:
    """One submission of a job: what every step is made from. Travels to the tasks pickled inside the functions.

    Args:
        job: the validated job, passwords included.
        context: job key, attempt, channels, time zone.
        one_process: all channels run in one process, so limits and throttle are shared exactly.
        warnings: lines for the report.
        kept: connections that the step at hand keeps for the next table.
    """

    job: Job
    context: RunContext
    one_process: bool = True
    warnings: tuple[str, ...] = ()
    kept: KeptOfStep | None = None

    @contextlib.contextmanager
    def keeping_connections(self) -> Iterator[Run]:
        """This run, whose readers and writers leave connections to those of the next table; closed at the end."""
        kept = KeptOfStep(KeptConnections(), KeptConnections())
        with contextlib.closing(kept.source), contextlib.closing(kept.target):
            yield replace(self, kept=kept)

    def reader(self) -> Reader:
        """A new reader; nothing is connected yet."""
        endpoint = self.job.content.reader
        context = replace(self.context, kept=self.kept and self.kept.source)
        reader: Reader = _load(endpoint.name)(endpoint.parameter, endpoint.columns, context)
        return reader

    def writer(self, schema: pa.Schema) -> Writer:
        """A new writer for rows of `schema`; nothing is connected yet."""
        endpoint = self.job.content.writer
        context = replace(self.context, field_names=tuple(schema.names), kept=self.kept and self.kept.target)
        writer: Writer = self.writer_class()(endpoint.parameter, endpoint.columns, context)
        return writer

    def target_reader(self, writer: Writer, columns: Sequence[str]) -> Reader:
        """A reader of these columns of the target; nothing is connected yet."""
        name = self.job.content.writer.name.lower().removesuffix("writer") + "reader"
        schema = schema_of(name)
        shared = schema["properties"].keys() - {"column", "writeMode"}
        parameter = {key: value for key, value in writer.parameter.items() if key in shared}
        context = replace(self.context, channels=1, kept=self.kept and self.kept.target)
        reader: Reader = _load(name)(
            with_defaults(parameter, schema), [Column(name=column) for column in columns], context
        )
        return reader

    @property
    def reads_many(self) -> bool:
        """Whether the job reads many tables; then reader and writer are those of `of_table`."""
        return not self.context.tables and many_tables.reads_many(self.job.content)

    def of_table(self, table: SourceTable | None) -> Run:
        """The run of one of the tables; this one where the job reads one anyway."""
        return self if table is None else self._with(many_tables.content_of(self.job.content, table), [table])

    def of_target(self, tables: Sequence[SourceTable], *, common: bool = True) -> Run:
        """The run of the first of these tables, with the `preSql` and `postSql` of all of them.

        Args:
            tables: those that go to one target, or all.
            common: whether statements that name no table are among them.
        """
        content = many_tables.content_of(self.job.content, tables[0])
        return self._with(many_tables.with_statements(content, tables, common=common), tables)

    def _with(self, content: Content, tables: Sequence[SourceTable]) -> Run:
        context = replace(self.context, tables=tuple(table.name for table in tables))
        return replace(self, job=replace(self.job, content=content), context=context)

    def within(self, context: Mapping[str, Any]) -> Run:
        """This run, with what the plan adds to its context."""
        return replace(self, context=replace(self.context, **context))

    def writer_class(self) -> type[Writer]:
        """The plugin's Writer."""
        return _load(self.job.content.writer.name)


def _load(name: str) -> type[Any]:
    found = split_name(name)
    if found is None or found[0] not in plugins():
        raise exceptions.JobFileError(f"plugin {name} is not installed where the job runs")
    return plugins()[found[0]].load(found[1])


@dataclass
class SharedState:
    """What the channels of one run in one process share.

    Args:
        throttle: the bytes of all of them.
        rejected: rejected rows, as they come.
        judged: rows read and rejected, of whole batches: a ratio in the middle of one would mean nothing.
        stopped: whether all channels must roll back.
        early_end: why their ratio of rejected rows stopped them.
        holds: see `Reader.take_hold`; those that the plan took in this process.
    """

    throttle: Throttle
    lock: threading.Lock = field(default_factory=threading.Lock)
    rejected: int = 0
    judged: Counters = field(default_factory=Counters)
    stopped: bool = False
    early_end: str | None = None
    holds: list[Callable[[], None]] = field(default_factory=list)

    def hold(self, reader: Reader) -> None:
        """Take what must stay open, for as long as this process lives, or until the job has ended."""
        if hold := reader.take_hold():
            self.holds.append(hold)

    def let_go(self) -> None:
        """End what was held for the readers of splits. Never raises."""
        while self.holds:
            with contextlib.suppress(Exception):
                self.holds.pop()()


_shared: dict[str, SharedState] = {}
_shared_lock = threading.Lock()


def shared_state(run: Run) -> SharedState:
    """The state of this run in this process. Without `one_process` each channel has its share of the bytes."""
    with _shared_lock:
        state = _shared.get(run.context.attempt)
        if state is None:
            rate: float | None = run.job.setting.speed.bytes
            if rate is not None and not run.one_process:
                rate = rate / run.context.channels
            state = _shared[run.context.attempt] = SharedState(Throttle(rate))
        return state


class Sync:
    """The sync step of one channel: split in, message out. Keeps its connections between splits, and between tables."""

    def __init__(self, run: Run, on_progress: Callable[[Counters], None]) -> None:
        """`on_progress` gets what was added to the counters after each batch."""
        self._connections = contextlib.ExitStack()
        # One table needs nobody's connections, and would only keep two more open for as long as it is read.
        self.run = self._connections.enter_context(run.keeping_connections()) if run.reads_many else run
        self.state = shared_state(run)
        self.reject_files = RejectFiles(run.job.setting.dirty, run.context.attempt, run.job.setting.timezone)
        self._on_progress = on_progress
        self._table: SourceTable | None = None
        self._reader: Reader | None = None
        self._writer: Writer | None = None
        self._sides: Sides | None = None

    def split(
        self,
        split: Split,
        *,
        ledger: bool = False,
        context: Mapping[str, Any] | None = None,
        table: Mapping[str, Any] | None = None,
    ) -> Message:
        """Move one split, with an entry in the target's ledger if it keeps one, and say what became of it."""
        self.run = self.run.within(context or {})
        self._turn_to(SourceTable(**table) if table else None)
        report = SplitReport(split.index, table=split.table)
        if self.state.stopped:
            return self._stopped(report)
        try:
            try:
                committed = self._move(split, report, ledger=ledger)
            except SplitWrittenError:
                return self._written(split)
        except Exception as error:
            self.state.stopped = True
            report.counters = report.counters.without_writes()
            return {"kind": "failed", "report": report.to_json(), "error": exceptions.to_json(error)}
        return {"kind": "done", "report": report.to_json()} if committed else self._stopped(report)

    def _written(self, split: Split) -> Message:
        """The answer for a split that is in the target already."""
        report = self._parts()[1].ledger().written(split.index)
        assert report is not None, "its entry refused ours"
        ours = split.spec.get("location", {}).get("snapshot")
        if report.get("location", {}).get("snapshot") != ours:
            raise exceptions.DataError(f"another try has written split {split.index} from another snapshot")
        return {"kind": "done", "report": report}

    def _stopped(self, report: SplitReport) -> Message:
        return {"kind": "stopped", "report": report.to_json(), "early_end": self.state.early_end}

    def close(self) -> None:
        """Release connections."""
        self._leave_table()
        self._connections.close()

    def _leave_table(self) -> None:
        for part in (self._reader, self._writer, self._sides):
            if part is not None:
                part.close()
        self._reader = self._writer = self._sides = None

    def _turn_to(self, table: SourceTable | None) -> None:
        """Splits come table by table: the last one is not needed any more."""
        if table != self._table:
            self._leave_table()
            self._table = table

    def _parts(self) -> tuple[Reader, Writer]:
        if self._reader is None:
            self._reader = self.run.of_table(self._table).reader()
        if self._writer is None:
            self._writer = self.run.of_table(self._table).writer(self._reader.schema)
        return self._reader, self._writer

    @property
    def _of_table(self) -> Mapping[str, str]:
        """What tells of a rejected row where it comes from."""
        return {"table": self._table.label} if self._table else {}

    def _move(self, split: Split, report: SplitReport, *, ledger: bool) -> bool:
        reader, writer = self._parts()
        if self._may_cut_short and (shortcut := writer.shortcut(reader)) is not None:
            try:
                return self._move_by(shortcut, split, report, ledger=ledger)
            except ShortcutRefusedError:
                taken_back = {name: -number for name, number in asdict(report.counters).items()}
                self._on_progress(Counters(**taken_back))
                self._judge(Counters(numRead=-report.counters.numRead))
                report.counters = Counters()
        way = Way(reader.read, lambda split: writer.open(split, reader.schema))
        return self._move_by(way, split, report, ledger=ledger)

    @property
    def _may_cut_short(self) -> bool:
        """Whether nothing is asked of single values, or of their size in memory."""
        setting = self.run.job.setting
        return setting.verify != "checksum" and setting.speed.bytes is None

    def _move_by(self, way: Way, split: Split, report: SplitReport, *, ledger: bool) -> bool:
        reader, writer = self._parts()
        reject_file = self.reject_files.open(split.index, self._of_table)
        target = way.open(split)
        try:
            if self.run.job.setting.verify == "checksum":
                self._sides = self._sides or Sides(self.run, writer, reader.schema)
                report.checksum = self._sides.of_nothing().to_json()
            self._copy(ReadAhead(way.read(split)), target, report, reject_file)
            if self.state.stopped:
                target.rollback()
                report.counters = report.counters.without_writes()
                return False
            report.location = dict(reader.location())
            self._commit(target, report, ledger=ledger)
        except (SplitWrittenError, ShortcutRefusedError):
            target.rollback()
            raise
        except BaseException:
            self.state.stopped = True
            target.rollback()
            raise
        return True

    def _copy(self, ahead: ReadAhead, target: SplitWriter, report: SplitReport, reject_file: RejectFile) -> None:
        """Write all batches, or those before the job is stopped."""
        try:
            for batch in ahead:
                before = replace(report.counters)
                self._count(report, reject_file, Counters(numRead=len(batch.rejects)), batch.rejects)
                for rows in self.state.throttle.pieces(batch.rows):
                    if self.state.stopped:
                        return
                    self.state.throttle.acquire(rows.nbytes)
                    self._write(target, rows, report, reject_file)
                if self.state.stopped:
                    return
                read, rejected = (report.counters.numRead - before.numRead, report.counters.nErrors - before.nErrors)
                self._judge(Counters(numRead=read, nErrors=rejected))
        finally:
            ahead.close()
            self._count(report, reject_file, Counters(readDuration=round(ahead.milliseconds)), ())
            reject_file.close()
            report.dirty_file = reject_file.path if report.counters.nErrors else None

    def _commit(self, target: SplitWriter, report: SplitReport, *, ledger: bool) -> None:
        if ledger:
            target.record(report.to_json())
        try:
            target.commit()
        except exceptions.ConnectionFailedError:
            # It may be the answer that was lost, not the commit. What is left of the transaction would lock the entry.
            target.rollback()
            if not ledger or self._parts()[1].ledger().written(report.index) is None:
                raise

    def _write(self, target: SplitWriter, rows: pa.RecordBatch, report: SplitReport, reject_file: RejectFile) -> None:
        started = time.monotonic()
        result = target.write(rows)
        if self._sides is not None:
            report.checksum = self._sides.with_rows(report.checksum, rows, result.rejected_at)
        added = Counters(
            numRead=rows.num_rows,
            numWrite=result.written,
            byteRead=rows.nbytes,
            byteWrite=rows.nbytes * result.written // max(1, rows.num_rows),
            writeDuration=round((time.monotonic() - started) * 1000),
        )
        self._count(report, reject_file, added, result.rejects)

    def _count(self, report: SplitReport, reject_file: RejectFile, added: Counters, rejects: Sequence[Reject]) -> None:
        added.count_rejects(rejects)
        report.counters.add(added)
        if rejects:
            report.add_samples(rejects, self._of_table)
            reject_file.write(rejects)
            self._check_record_limit(len(rejects))
        self._on_progress(added)

    def _check_record_limit(self, rejected: int) -> None:
        limit = self.run.job.setting.error_limit
        with self.state.lock:
            self.state.rejected += rejected
            if error_limit_outcome(replace(limit, percentage=None), self.state.rejected, 0)["exceeded"]:
                self.state.stopped = True

    def _judge(self, added: Counters) -> None:
        """Judge the ratio of the job after a batch. Where the channels run apart, the report step does it."""
        if not (self.run.one_process or self.run.context.channels == 1):
            return
        with self.state.lock:
            self.state.judged.add(added)
            judged = self.state.judged
            reason = reason_to_end_early(self.run.job.setting.error_limit, judged.nErrors, judged.numRead)
            if reason is not None:
                self.state.early_end = self.state.early_end or reason
                self.state.stopped = True


class Report:
    """The report step: adds up messages; when every split is accounted for, finishes the writer or fails the job."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.answers = 0
        self.error: Mapping[str, Any] | None = None
        self.sum = JobReport(run.job, warnings=list(run.warnings))
        self.finished = False
        #: Whether another round of splits follows.
        self.is_open = bool(run.job.content.reader.parameter.get("polling"))
        self._planned = False
        self._ledger = False
        self._before: Sequence[Mapping[str, Any]] = ()
        self._written = WrittenRows()
        self._tables: Sequence[SourceTable] = ()
        self._early: list[Mapping[str, Any]] = []
        self._started = time.monotonic()

    def add(self, message: Mapping[str, Any]) -> dict[str, Any] | None:
        """Take a message; returns the job report when this was the last one and all went well.

        Raises:
            FlinkXError: with the report as `report`, when the job has failed.
        """
        kind = message["kind"]
        if kind == "finished":
            self.finished = True
            return dict(message["report"])
        self.run = self.run.within(message.get("context", {}))
        if kind == "plan":
            self._begin(message)
            for answer in self._early:
                self._add_answer(answer)
        elif kind == "round":
            self._raise_total(message["splits"])
            self.is_open = self.is_open and not message["last"]
        elif not self._planned and "report" in message:
            # The plan comes by way of one channel, and may be overtaken by the answers of another.
            self._early.append(message)
        else:
            self._add_answer(message)
        if self._is_complete():
            return self._end()
        return None

    def _begin(self, plan: Mapping[str, Any]) -> None:
        self._planned = True
        self._raise_total(plan["splits"])
        self._ledger = plan["ledger"]
        self.sum.each_row_once = self._ledger or self.run.writer_class().runs_again
        self._before = plan["before"]
        self._begin_tables(plan["tables"])
        self.sum.warnings += plan["warnings"]

    def _raise_total(self, splits: int) -> None:
        """Rounds may overtake one another on their way through the channels."""
        self.sum.splits = max(self.sum.splits, splits)

    def _begin_tables(self, tables: Sequence[Mapping[str, Any]]) -> None:
        self._tables = [SourceTable(**each["table"]) for each in tables]
        for table, each in zip(self._tables, tables, strict=True):
            target = many_tables.target_of_table(self.run.job.content, table)
            self.sum.tables.append(TableReport(table.label, target, each["splits"]))

    def _add_answer(self, message: Mapping[str, Any]) -> None:
        if message["kind"] == "failed" and self.error is None:
            self.error = message["error"]
        if "report" in message:
            self.answers += 1
            report = SplitReport.from_json(message["report"])
            self.sum.add(report, committed=message["kind"] == "done")
            if message["kind"] == "done":
                self._written.add(report.table, report.checksum)
            if self._tables and message["kind"] == "failed":
                self.sum.tables[report.table].failed = True
            self.sum.ended_early = self.sum.ended_early or message.get("early_end") or self._early_end()

    def _is_complete(self) -> bool:
        planned_nothing = self.error is not None and not self._planned and self.answers == 0
        must_not_wait = not self.run.one_process and (self.error is not None or self._limit_exceeded())
        is_answered = self._planned and not self.is_open and self.answers == self.sum.splits
        return planned_nothing or must_not_wait or is_answered

    def _early_end(self) -> str | None:
        if self.run.one_process:
            return None  # The channels have judged it, batch by batch.
        return reason_to_end_early(
            self.run.job.setting.error_limit, self.sum.counters.nErrors, self.sum.counters.numRead
        )

    def _limit_exceeded(self) -> bool:
        limit = replace(self.run.job.setting.error_limit, percentage=None)
        by_record = error_limit_outcome(limit, self.sum.counters.nErrors, 0)["exceeded"]
        return bool(by_record) or self.sum.ended_early is not None

    def _end(self) -> dict[str, Any]:
        outcome = self.sum.error_limit()
        if self.error is not None:
            raise self._failure(self.error)
        if outcome["exceeded"]:
            raise self._failure(exceptions.to_json(exceptions.ErrorLimitExceededError(outcome["reason"])))
        try:
            if self.run.job.setting.verify:
                with self.run.keeping_connections() as run:
                    self._verify(run)
            report = self._report("FINISHED")
            kept = {**report, ATTEMPT: self.run.context.attempt} if self._ledger else None
            with _parts_of(self._whole) as (_, writer):
                writer.finish(kept)
        except Exception as error:
            raise self._failure(exceptions.to_json(error)) from error
        self.finished = True
        return report

    @property
    def _whole(self) -> Run:
        """The run whose writer does what is done once, for all tables."""
        return self._whole_of(self.run)

    def _whole_of(self, run: Run) -> Run:
        return run.of_target(self._tables) if self._tables else run

    def _verify(self, run: Run) -> None:
        """Compare what was read with what each target has.

        Raises:
            DataError: they differ.
        """
        check_kept(run, self._before)
        if not many_tables.has_own_targets(run.job.content):
            whole, written = self._whole_of(run), self._written.of_all()
            self.sum.verification, problem = self._compared(whole, self.sum.counters, self._before[0], written)
            problems = [problem]
        else:
            problems = []
            for number, (table, part) in enumerate(zip(self._tables, self.sum.tables, strict=True)):
                part_run, written = run.of_table(table), self._written.of_table(number)
                part.verification, problem = self._compared(part_run, part.counters, self._before[number], written)
                part.failed = problem is not None
                problems.append(problem and f"table {part.target}: {problem}")
            self.sum.verification = together([part.verification for part in self.sum.tables if part.verification])
        if found := [problem for problem in problems if problem is not None]:
            name = self.run.job.content.writer.name
            raise exceptions.DataError(f"job.setting.verify: {name}: {'; '.join(found)}")

    def _compared(
        self, run: Run, counters: Counters, before: Mapping[str, Any], written: Checksum | None
    ) -> tuple[dict[str, Any], str | None]:
        """The figures of one target, and what is wrong with them."""
        with _parts_of(run) as (reader, writer):
            now = figures(run, reader, writer)
            assert now is not None, "only jobs that want it are verified"
            if self.run.job.setting.verify == "count":
                return compare_rows(counters.numRead - counters.nErrors, before["rows"], now["rows"])
            return compare_checksums(written, before, now, writer.written_columns(reader.schema))

    def abort(self) -> None:
        """Remove what was not published, unless the job finished. Never raises."""
        shared_state(self.run).let_go()
        if not self.finished:
            try:
                with _parts_of(self._whole) as (_, writer):
                    writer.abort()
            except Exception:
                traceback.print_exc()

    def _failure(self, error: Mapping[str, Any]) -> exceptions.FlinkXError:
        failure = exceptions.from_json(error)
        if self.run.writer_class().published_by_finish:
            self.sum.take_back_writes()
        failure.report = self._report("FAILED")
        return failure

    def _report(self, state: str) -> dict[str, Any]:
        return self.sum.to_json(state=state, seconds=time.monotonic() - self._started)


@contextlib.contextmanager
def _parts_of(run: Run) -> Iterator[tuple[Reader, Writer]]:
    """Reader and writer for what is done once, outside of splits."""
    reader = run.reader()
    try:
        # A job of many tables that ended before they were known has no schema; then there is only to clean up.
        writer = run.writer(pa.schema([]) if run.reads_many else reader.schema)
        try:
            yield reader, writer
        finally:
            writer.close()
    finally:
        reader.close()
