"""The rounds of a job that polls (job.md §8): the first plans all that there is, each later one what has come since.

The graph's source is a sequence of numbers, one for each round; any other job has a single one. New rows are those
beyond the greatest `increColumn` of the last round, so a round needs nothing of what became of the rows before. Its
splits are numbered on, and kept in the target's ledger like those of the first: another try goes on with all of them.

A row that is committed late, with a value below the greatest one, is not seen: give a column that grows in the order of
the commits, or `useMaxFunc`, which leaves the rows with the greatest value to the next round.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from airflow_provider_flinkx import exceptions
from airflow_provider_flinkx.pipeline.planning import plan
from airflow_provider_flinkx.pipeline.steps import Message, Run, shared_state
from airflow_provider_flinkx.plugins.base import Reader, Split

#: Rounds of a job that nobody ends.
_ENDLESS = 1 << 62
#: Seconds within which a pause notices that the job is to end.
_GLANCE = 0.2


@dataclass(frozen=True)
class Polling:
    """How a job polls.

    Args:
        interval: seconds between two questions.
        duration: seconds after which the job asks once more and ends; None: it goes on until it is cancelled.
    """

    interval: float
    duration: float | None

    @classmethod
    def of(cls, run: Run) -> Polling | None:
        """What the job's reader says; None where it reads once."""
        parameter = run.job.content.reader.parameter
        if not parameter.get("polling"):
            return None
        duration = parameter["pollingDuration"]
        return cls(parameter["pollingInterval"] / 1000, duration / 1000 if duration else None)


def last_round(run: Run) -> int:
    """The greatest number that the graph's source must give; a job may have ended before."""
    polling = Polling.of(run)
    if polling is None:
        return 0
    return _ENDLESS if polling.duration is None else math.ceil(polling.duration / polling.interval) + 1


class Rounds:
    """The plan step of one job."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.polling = Polling.of(run)
        self._splits = 0
        self._end = ""
        self._common: Message = {}
        self._reader: Reader | None = None
        self._started = 0.0
        self._is_over = False

    def messages(self) -> Iterator[Message]:
        """Plan the next round; nothing when the job has had its last one."""
        if self._is_over:
            return
        if not self._started:
            self._started = time.monotonic()
            yield from self._first()
            return
        is_last = self._pause()
        try:
            splits = self._new_splits()
        except Exception as error:
            yield {"kind": "failed", "error": exceptions.to_json(error)}
            splits, is_last = (), True
        self._is_over = is_last
        self._splits += len(splits)
        if splits or is_last:
            yield {"kind": "round", "splits": self._splits, "last": is_last}
        for split in splits:
            yield {"kind": "split", "split": asdict(split), **self._common, "table": None}

    def close(self) -> None:
        """Release connections."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _first(self) -> Iterator[Message]:
        self._is_over = True
        for message in plan(self.run):
            if message["kind"] == "plan" and self.polling is not None:
                self._is_over = False
                self._splits = message["splits"]
                self._common = {name: message[name] for name in ("ledger", "context")}
                self._end = message["location"].get("endLocation", "")
            yield message

    def _pause(self) -> bool:
        """Wait for the next round's time; whether it is the last one, because the job is to end."""
        assert self.polling is not None, "a job that reads once has one round"
        now = time.monotonic()
        end = math.inf if self.polling.duration is None else self._started + self.polling.duration
        due = min(now + self.polling.interval, end)
        while (left := due - time.monotonic()) > 0:
            if shared_state(self.run).stopped:
                return True
            time.sleep(min(left, _GLANCE))
        return due == end

    def _new_splits(self) -> Sequence[Split]:
        """The splits of the rows that have come since the last round; another try may have made them before."""
        if shared_state(self.run).stopped:
            return ()
        if self._reader is None:
            self._reader = self.run.reader()
        self._reader.start_at(self._end)
        found = self._reader.splits()
        location = found[0].spec["location"]
        if location["endLocation"] == location["startLocation"]:
            return ()
        splits = [replace(split, index=self._splits + split.index) for split in found]
        if self._common["ledger"]:
            splits = self._kept(splits)
        self._end = splits[-1].spec["location"]["endLocation"]
        return splits

    def _kept(self, splits: list[Split]) -> list[Split]:
        """The splits after they were put into the ledger, or those that are there already."""
        assert self._reader is not None, "it has made them"
        writer = self.run.writer(self._reader.schema)
        try:
            ledger = writer.ledger()
            try:
                ledger.extend(splits)
            except exceptions.DataError:
                kept = ledger.read()
                others = [split for split in kept.splits if split.index >= self._splits] if kept else []
                if not others:
                    raise
                return others
            return splits
        finally:
            writer.close()
