"""The time that a query has until its first rows: `queryTimeOut` (job.md §13).

It is what the statement timeout of FlinkX's drivers comes to when they stream: it ends when the server answers. The
servers' own settings bound the whole statement instead, and that lasts as long as the rows are being written.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from airflow_provider_flinkx.exceptions import DataError, FlinkXError

#: Given seconds, sees to it that a query is cancelled after them; what it returns calls that off.
Watch = Callable[[float], Callable[[], None]]


def timer(cancel: Callable[[], None]) -> Watch:
    """Cancels from a thread of this process."""

    def watch(seconds: float) -> Callable[[], None]:
        thread = threading.Timer(seconds, cancel)
        thread.daemon = True
        thread.start()
        return thread.cancel

    return watch


class FirstRowsDeadline:
    """Has a query cancelled that gives nothing in time, and says that this was the reason."""

    def __init__(self, seconds: float, watch: Watch, error: Callable[[str], DataError]) -> None:
        """`seconds`: 0 for no bound. `error` makes the failure of a message."""
        self._seconds = seconds
        self._watch = watch
        self._error = error
        self._is_met = seconds <= 0
        self._end = 0.0
        self._call_off: Callable[[], None] | None = None

    def __enter__(self) -> FirstRowsDeadline:
        if not self._is_met:
            self._call_off = self._watch(self._seconds)
            self._end = time.monotonic() + self._seconds
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, (FlinkXError, GeneratorExit)):
            self._stop()
            return
        self.met(error)

    def met(self, cause: BaseException | None = None) -> None:
        """The query has given its first rows, or has ended.

        Raises:
            DataError: too late; a server may answer a cancelled query as if it had ended.
        """
        if self._is_met:
            return
        self._stop()
        self._is_met = True
        if time.monotonic() >= self._end:
            raise self._error(f"no rows within {self._seconds} s, which is the queryTimeOut") from cause

    def _stop(self) -> None:
        if self._call_off is not None:
            self._call_off()
            self._call_off = None
