"""`setting.speed.bytes`: a ceiling in bytes per second for the whole job (job.md §5).

A token bucket that starts empty and never holds more than a tenth of a second's bytes, so the ceiling
holds from the first second. Channels in one process share one bucket.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pyarrow as pa

_BURST_SECONDS = 0.1


class Throttle:
    """Shared by the channels of one process; `bytes_per_second` None lets everything pass."""

    def __init__(
        self,
        bytes_per_second: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.bytes_per_second = bytes_per_second
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at = clock()

    def acquire(self, size: int) -> None:
        """Wait until `size` more bytes may pass."""
        if self.bytes_per_second is None:
            return
        with self._lock:
            now = self._clock()
            # Unused time is worth at most one burst: a pause must not be made up for by a rush.
            self._free_at = max(self._free_at, now - _BURST_SECONDS) + size / self.bytes_per_second
            wait = self._free_at - now
        if wait > 0:
            self._sleep(wait)

    def pieces(self, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Cut a batch so that a piece is about a tenth of a second's bytes, at least one row."""
        if self.bytes_per_second is None or rows.num_rows == 0:
            yield rows
            return
        bytes_per_row = max(1.0, rows.nbytes / rows.num_rows)
        length = max(1, int(self.bytes_per_second * _BURST_SECONDS / bytes_per_row))
        for start in range(0, rows.num_rows, length):
            yield rows.slice(start, length)
