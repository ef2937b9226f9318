"""Coroutines run by code that is not asynchronous, and which signals interrupt."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest

from airflow_provider_flinkx.clusters.rest import run_coroutine


class TimedOutError(BaseException):
    """What a signal handler raises, as Airflow's do."""


def test_the_outcome_is_given():
    async def answer():
        return 42

    async def fail():
        raise ValueError("wrong")

    assert run_coroutine(answer()) == 42
    with pytest.raises(ValueError, match="wrong"):
        run_coroutine(fail())


def test_what_a_signal_handler_raises_ends_the_waiting_and_the_coroutine():
    waits, ended = threading.Event(), threading.Event()

    async def wait():
        try:
            waits.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    def handler(_number, _frame):
        raise TimedOutError

    def alarm():
        waits.wait()
        signal.pthread_kill(main, signal.SIGUSR1)

    main = threading.get_ident()
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        threading.Thread(target=alarm).start()
        with pytest.raises(TimedOutError):
            run_coroutine(wait())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ended.wait(10)


def test_a_signal_handler_may_run_one_too():
    waits, may_end, answers = threading.Event(), threading.Event(), []

    async def wait():
        waits.set()
        while not may_end.is_set():
            await asyncio.sleep(0.01)
        return "ended"

    async def answer():
        return "answered"

    def handler(_number, _frame):
        answers.append(run_coroutine(answer()))
        may_end.set()

    def alarm():
        waits.wait()
        signal.pthread_kill(main, signal.SIGUSR1)

    main = threading.get_ident()
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        threading.Thread(target=alarm).start()
        assert run_coroutine(wait()) == "ended"
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert answers == ["answered"]
