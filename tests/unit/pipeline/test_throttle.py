"""setting.speed.bytes as a token bucket, on a clock that the test moves."""

from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_provider_flinkx.pipeline.throttle import Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def throttle(rate: float | None) -> tuple[Throttle, Clock]:
    clock = Clock()
    return Throttle(rate, clock=clock, sleep=clock.sleep), clock


@pytest.mark.parametrize("size", [1, 100, 1000, 5000])
def test_holds_from_the_first_second(size: int) -> None:
    bucket, clock = throttle(1000)
    passed = 0
    while clock.now < 101.0:
        bucket.acquire(size)
        if clock.now <= 101.0:
            passed += size
    assert passed <= 1000


def test_reaches_the_rate() -> None:
    bucket, clock = throttle(1000)
    for _ in range(100):
        bucket.acquire(100)
    assert clock.now == pytest.approx(110.0)


def test_a_pause_is_worth_one_burst_at_most() -> None:
    bucket, clock = throttle(1000)
    bucket.acquire(1000)
    clock.now += 60
    start = clock.now
    for _ in range(10):
        bucket.acquire(100)
    assert clock.now - start == pytest.approx(0.9)


def test_without_a_ceiling_nothing_waits() -> None:
    bucket, clock = throttle(None)
    bucket.acquire(10**12)
    assert clock.now == 100.0


@pytest.mark.parametrize("rate", [None, 1, 50, 1000, 10**9])
@pytest.mark.parametrize("rows", [0, 1, 7, 1000])
def test_pieces_are_the_batch(rate: float | None, rows: int) -> None:
    bucket, _ = throttle(rate)
    batch = pa.record_batch({"n": pa.array(range(rows), pa.int64())})
    pieces = list(bucket.pieces(batch))
    assert pa.Table.from_batches(pieces).combine_chunks() == pa.Table.from_batches([batch]).combine_chunks()
    if rate == 50 and rows:
        assert all(piece.num_rows == 1 for piece in pieces)
