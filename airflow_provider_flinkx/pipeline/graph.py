"""The Flink graph of a job: plan (parallelism 1) -> sync (parallelism = channels) -> report (parallelism 1).

Only messages of `steps.py` cross between the operators, as JSON text; rows stay inside sync.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from pyflink.common import Types, WatermarkStrategy
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.datastream.connectors.number_seq import NumberSequenceSource
from pyflink.datastream.functions import FlatMapFunction, RuntimeContext

from airflow_provider_flinkx.exceptions import FlinkXError
from airflow_provider_flinkx.pipeline import failure, marks
from airflow_provider_flinkx.pipeline.report import Counters
from airflow_provider_flinkx.pipeline.rounds import Rounds, last_round
from airflow_provider_flinkx.pipeline.steps import Report, Run, Sync
from airflow_provider_flinkx.plugins.base import Split

SYNC_OPERATOR = "sync"
REPORT_OPERATOR = "report"
COUNTERS = tuple(counter.name for counter in fields(Counters))


class PlanFunction(FlatMapFunction):  # type: ignore[misc]
    """Numbers of rounds in, the plan and all splits out."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._rounds: Rounds | None = None

    def open(self, _runtime_context: RuntimeContext) -> None:
        """Begin with the first round."""
        self._rounds = Rounds(self.run)

    def flat_map(self, _number: int) -> Iterator[str]:
        """Plan the next round."""
        assert self._rounds is not None
        for message in self._rounds.messages():
            yield json.dumps(message)

    def close(self) -> None:
        """Release connections."""
        if self._rounds is not None:
            self._rounds.close()


class SyncFunction(FlatMapFunction):  # type: ignore[misc]
    """Splits in, what became of them out; other messages pass."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._sync: Sync | None = None
        self._counters: dict[str, Any] = {}
        self._splits_done: Any = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Register FlinkX's counters as Flink metrics."""
        metrics = runtime_context.get_metrics_group()
        self._counters = {name: metrics.counter(name) for name in COUNTERS}
        self._splits_done = metrics.counter("splitsDone")
        self._sync = Sync(self.run, self._count)

    def flat_map(self, value: str) -> Iterator[str]:
        """Move one split."""
        message = json.loads(value)
        if message["kind"] == "split":
            assert self._sync is not None
            arguments = {name: message[name] for name in ("ledger", "context", "table")}
            message = self._sync.split(Split(**message["split"]), **arguments)
            if message["kind"] == "done":
                self._splits_done.inc()
            yield json.dumps(message)
        else:
            yield value

    def close(self) -> None:
        """Release connections."""
        if self._sync is not None:
            self._sync.close()

    def _count(self, added: Counters) -> None:
        for name, counter in self._counters.items():
            amount = getattr(added, name)
            if amount:
                counter.inc(amount)


class ReportFunction(FlatMapFunction):  # type: ignore[misc]
    """Answers in, one job report out, or the failure of the Flink job."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._report: Report | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Start the sum, and the list of splits in the metrics."""
        self._report = Report(self.run)
        self._splits = runtime_context.get_metrics_group().counter("splits")

    def flat_map(self, value: str) -> Iterator[str]:
        """Add an answer."""
        assert self._report is not None
        message = json.loads(value)
        planned = self._report.sum.splits
        try:
            report = self._report.add(message)
        except FlinkXError as error:
            # Flink keeps only the text of a Python error, so the text carries type and report.
            raise RuntimeError(failure.encode(error)) from None
        self._splits.inc(self._report.sum.splits - planned)
        if report is not None:
            yield marks.enclose("report", report)

    def close(self) -> None:
        """Clean up after a job that did not finish, cancelled ones too."""
        if self._report is not None:
            self._report.abort()


def build(environment: StreamExecutionEnvironment, run: Run) -> DataStream:
    """Put the three steps into `environment`; the stream's only element is the job report between marks."""
    numbers = NumberSequenceSource(0, last_round(run))
    plans = (
        environment.from_source(numbers, WatermarkStrategy.no_watermarks(), "rounds", Types.LONG())
        .set_parallelism(1)
        .flat_map(PlanFunction(run), output_type=Types.STRING())
        .name("plan")
        .set_parallelism(1)
    )
    answers = (
        plans.rebalance()
        .flat_map(SyncFunction(run), output_type=Types.STRING())
        .name(SYNC_OPERATOR)
        .set_parallelism(run.context.channels)
    )
    # Without the shuffle one channel's sync and report would be fused, and their metrics with them.
    return (
        answers.rebalance()
        .flat_map(ReportFunction(run), output_type=Types.STRING())
        .name(REPORT_OPERATOR)
        .set_parallelism(1)
    )
