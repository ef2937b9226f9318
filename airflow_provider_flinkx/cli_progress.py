"""Progress of a running job for the `flinkx` command: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, TextIO


class ProgressDisplay(Protocol):
    """Shows what `LocalCluster.run` tells; a context manager."""

    def __enter__(self) -> ProgressDisplay: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def update(self, progress: Mapping[str, Any]) -> None:
        """Show the progress; keys as in `LocalCluster.run`."""

    def line(self, text: str) -> None:
        """Show a line beside the progress."""


def progress_display(stream: TextIO) -> ProgressDisplay:
    """The display that fits the stream."""
    return ProgressBar(stream) if stream.isatty() else ProgressLines(stream)


class ProgressLines:
    """A line whenever something has changed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last = ""

    def __enter__(self) -> ProgressLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held."""

    def update(self, progress: Mapping[str, Any]) -> None:
        """See `ProgressDisplay`."""
        text = f"{progress['state']} {summary(progress)}"
        if text != self._last:
            self._last = text
            self.line(text)

    def line(self, text: str) -> None:
        """See `ProgressDisplay`."""
        self._stream.write(f"{text}\n")
        self._stream.flush()


class ProgressBar:
    """A bar of the splits done, with the counters beside it; gone when the job has ended."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.fields[state]}"),
            BarColumn(),
            TextColumn("{task.fields[summary]}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("job", total=None, state="STARTING", summary="")

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, progress: Mapping[str, Any]) -> None:
        """See `ProgressDisplay`."""
        self._bar.update(
            self._task,
            completed=progress["splitsDone"],
            total=progress["splits"] or None,
            state=progress["state"],
            summary=summary(progress),
        )

    def line(self, text: str) -> None:
        """See `ProgressDisplay`."""
        self._console.print(text)


def summary(counters: Mapping[str, Any]) -> str:
    """One line of a progress or a report."""
    return (
        f"{counters['numRead']:,} rows read, {counters['numWrite']:,} written, {counters['nErrors']:,} rejected, "
        f"{counters['rowsPerSecond']:,} rows/s, {counters['splitsDone']} of {counters['splits']} splits"
    )
