"""The lines about a running job in the task log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

PROGRESS_SECONDS = 5.0


class ProgressLog:
    """Writes progress to the log, at most one line in five seconds.

    Args:
        log: where to.
        clock: monotonic seconds.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._next = clock()

    def __call__(self, progress: Mapping[str, Any]) -> None:
        """Log the progress when a line is due; keys as in `LocalCluster.run`."""
        now = self._clock()
        if now >= self._next:
            self._next = now + PROGRESS_SECONDS
            self._log.info("%s", summary(progress))


def summary(counters: Mapping[str, Any]) -> str:
    """One line of a progress or a report."""
    return (
        f"{counters['numRead']:,} rows read, {counters['numWrite']:,} written, {counters['nErrors']:,} rejected, "
        f"{counters['rowsPerSecond']:,} rows/s, {counters['splitsDone']} of {counters['splits']} splits done"
    )
