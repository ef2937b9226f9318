"""The read-ahead thread: order, errors, and stopping in the middle."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest

from airflow_provider_flinkx.exceptions import ConnectionFailedError
from airflow_provider_flinkx.pipeline.read_ahead import DEPTH, ReadAhead
from airflow_provider_flinkx.plugins.base import Batch


def batches(count: int, closed: threading.Event | None = None, fail: bool = False) -> Iterator[Batch]:
    try:
        for number in range(count):
            yield Batch(pa.record_batch({"n": [number]}))
        if fail:
            raise ConnectionFailedError("the source went away")
    finally:
        if closed:
            closed.set()


def numbers(ahead: ReadAhead) -> Iterator[int]:
    for batch in ahead:
        yield batch.rows.column(0)[0].as_py()


def test_everything_in_order() -> None:
    ahead = ReadAhead(batches(100))
    assert list(numbers(ahead)) == list(range(100))
    ahead.close()


def test_an_error_comes_after_the_batches_before_it() -> None:
    ahead = ReadAhead(batches(3, fail=True))
    seen = []
    with pytest.raises(ConnectionFailedError):
        for number in numbers(ahead):
            seen.append(number)
    assert seen == [0, 1, 2]
    ahead.close()


def test_close_in_the_middle_ends_the_thread_and_the_generator() -> None:
    closed = threading.Event()
    ahead = ReadAhead(batches(10**6, closed))
    assert next(numbers(ahead)) == 0
    ahead.close()
    assert closed.is_set()
    assert not ahead._thread.is_alive()


def test_reads_no_further_ahead_than_its_depth() -> None:
    pulled = []
    at_limit = threading.Event()

    def source() -> Iterator[Batch]:
        for number in range(100):
            pulled.append(number)
            if len(pulled) == DEPTH + 1:
                at_limit.set()
            yield Batch(pa.record_batch({"n": [number]}))

    ahead = ReadAhead(source())
    assert at_limit.wait(10)
    assert next(numbers(ahead)) == 0
    assert len(pulled) <= DEPTH + 2
    ahead.close()
