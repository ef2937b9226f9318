"""Progress of a running job for the `flinkx` command: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class ProgressDisplay:
    """Shows what `LocalCluster.run` tells; a context manager.

    Args:
        stream: where to show it; standard error, so that standard output holds results only.
    """

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.fields[state]}"),
            BarColumn(),
            TextColumn("{task.fields[summary]}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("job", total=None, state="STARTING", summary="")
        self._last = ""

    def __enter__(self) -> ProgressDisplay:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, progress: Mapping[str, Any]) -> None:
        """Show the progress; keys as in `LocalCluster.run`."""
        state = str(progress.get("state", ""))
        text = summary(progress)
        if self._console.is_terminal:
            total = progress.get("splits") or None
            self._bar.update(
                self._task, completed=progress.get("splitsDone", 0), total=total, state=state, summary=text
            )
        elif (line := f"{state} {text}") != self._last:
            self._last = line
            self.line(line)

    def line(self, text: str) -> None:
        """Show a line above the bar."""
        self._console.print(text)


def summary(counters: Mapping[str, Any]) -> str:
    """One line of a progress or a report."""
    read, written, rejected, rate, done, splits = (
        counters.get(key, 0) for key in ("numRead", "numWrite", "nErrors", "rowsPerSecond", "splitsDone", "splits")
    )
    return f"{read:,} rows read, {written:,} written, {rejected:,} rejected, {rate:,} rows/s, {done} of {splits} splits"
