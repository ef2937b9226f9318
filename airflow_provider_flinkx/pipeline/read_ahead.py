"""Reads the next batches of a split in a thread of its own while the writer writes.

Drivers and Arrow work in native code outside Python's lock, so reading and writing overlap. At most
`DEPTH` batches wait, so memory stays bounded by the batch size.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

from airflow_provider_flinkx.plugins.base import Batch

DEPTH = 2
_END = object()


class ReadAhead:
    """Iterates over `batches`, pulled by a thread; `close` stops it wherever it is.

    Attributes:
        milliseconds: time spent in the source so far.
    """

    def __init__(self, batches: Iterator[Batch]) -> None:
        self.milliseconds = 0.0
        self._batches = batches
        self._queue: queue.Queue[object] = queue.Queue(maxsize=DEPTH)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._pull, name="read-ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Batch]:
        while True:
            item = self._queue.get()
            if item is _END:
                return
            if isinstance(item, BaseException):
                raise item
            assert isinstance(item, Batch)
            yield item

    def close(self) -> None:
        """Stop reading and wait for the thread."""
        self._stopped.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue

    def _pull(self) -> None:
        outcome: object = _END
        try:
            while not self._stopped.is_set():
                started = time.monotonic()
                batch = next(self._batches, None)
                self.milliseconds += (time.monotonic() - started) * 1000
                if batch is None:
                    break
                self._queue.put(batch)
            close = getattr(self._batches, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            outcome = error
        self._queue.put(outcome)
