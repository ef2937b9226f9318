"""FlinkXSyncTrigger around a cluster of the test's own: what it keeps, fires and cancels."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from types import SimpleNamespace

import pytest

from airflow_provider_flinkx.exceptions import JobLostError, from_json
from airflow_provider_flinkx.triggers import sync
from airflow_provider_flinkx.triggers.sync import FlinkXSyncTrigger


class Cluster:
    """A cluster whose job ends as the test says: at once, with an error, or never."""

    def __init__(self, ending=None):
        self.ending = ending
        self.cancelled = []

    async def follow(self, job_id, on_progress, interval):
        if isinstance(self.ending, Exception):
            raise self.ending
        if self.ending == "never":
            await asyncio.Event().wait()

    async def cancel_job(self, job_id):
        self.cancelled.append(job_id)


def trigger_on(cluster, monkeypatch, deferred=True):
    """A trigger; whether its task is still deferred is the test's word too."""

    async def waits_for(instance, trigger_id):
        return deferred

    monkeypatch.setattr(sync, "waits_for", waits_for)
    trigger = FlinkXSyncTrigger("f", None, "j", interval=0)
    if cluster is not None:

        async def connect():
            return cluster

        trigger._connect = connect
    return trigger


async def events_of(trigger):
    return [event.payload async for event in trigger.run()]


async def stopped(trigger):
    """Stop a waiting trigger as the triggerer does."""
    task = asyncio.create_task(events_of(trigger))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await trigger.cleanup()


def test_it_is_made_again_from_what_it_keeps():
    path, kept = FlinkXSyncTrigger("f", "yarn", "j", 12.5, "application_1_2").serialize()
    assert path == f"{FlinkXSyncTrigger.__module__}.FlinkXSyncTrigger"
    again = FlinkXSyncTrigger(**json.loads(json.dumps(kept)))
    assert again.serialize() == (path, kept)


def test_the_end_of_the_job_is_one_event(monkeypatch):
    assert asyncio.run(events_of(trigger_on(Cluster(), monkeypatch))) == [
        {"job_id": "j", "application_id": None, "error": None}
    ]


def test_a_failure_is_an_event_that_can_be_raised_again(monkeypatch):
    (event,) = asyncio.run(events_of(trigger_on(Cluster(JobLostError("gone")), monkeypatch)))
    error = from_json(json.loads(json.dumps(event))["error"])
    assert (type(error), str(error)) == (JobLostError, "gone")


def test_a_connection_that_is_gone_is_an_event_too(monkeypatch):
    monkeypatch.setattr(sync, "FlinkClusterHook", lambda *_: SimpleNamespace(cluster=lambda: 1 / 0))
    trigger = trigger_on(None, monkeypatch)
    (event,) = asyncio.run(events_of(trigger))
    assert "ZeroDivisionError" in event["error"]["message"]


@pytest.mark.parametrize("has_on_kill", [False, True])
def test_a_restart_of_the_triggerer_cancels_nothing(monkeypatch, has_on_kill):
    monkeypatch.setattr(sync, "HAS_ON_KILL", has_on_kill)
    cluster = Cluster("never")
    asyncio.run(stopped(trigger_on(cluster, monkeypatch, deferred=True)))
    assert cluster.cancelled == []


def test_before_on_kill_the_state_of_the_task_tells_that_a_user_ended_it(monkeypatch):
    monkeypatch.setattr(sync, "HAS_ON_KILL", False)
    cluster = Cluster("never")
    asyncio.run(stopped(trigger_on(cluster, monkeypatch, deferred=False)))
    assert cluster.cancelled == ["j"]


def test_the_word_that_a_user_ended_the_task_is_never_lost(monkeypatch):
    trigger = trigger_on(None, monkeypatch)
    begun = threading.Event()

    def connect():
        begun.set()
        time.sleep(0.2)

    monkeypatch.setattr(sync, "FlinkClusterHook", lambda *_: SimpleNamespace(cluster=connect))

    async def as_airflow_runs_it():
        with pytest.raises(asyncio.CancelledError, match="user action"):
            await events_of(trigger)

    async def cancelled():
        task = asyncio.create_task(as_airflow_runs_it())
        while not begun.is_set():
            await asyncio.sleep(0.01)
        task.cancel("user action")
        await task

    asyncio.run(cancelled())


def test_on_kill_cancels(monkeypatch):
    cluster = Cluster("never")
    asyncio.run(trigger_on(cluster, monkeypatch).on_kill())
    assert cluster.cancelled == ["j"]


def test_on_kill_cancels_although_it_is_cancelled_itself(monkeypatch):
    cluster = Cluster("never")
    trigger = trigger_on(cluster, monkeypatch)

    async def cancelled():
        ending = asyncio.create_task(trigger.on_kill())
        await asyncio.sleep(0)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        while not cluster.cancelled:
            await asyncio.sleep(0)

    asyncio.run(cancelled())


def test_what_has_fired_cancels_nothing(monkeypatch):
    monkeypatch.setattr(sync, "HAS_ON_KILL", False)
    cluster = Cluster()
    trigger = trigger_on(cluster, monkeypatch, deferred=False)

    async def fired_and_stopped():
        await events_of(trigger)
        await trigger.cleanup()
        await trigger.on_kill()

    asyncio.run(fired_and_stopped())
    assert cluster.cancelled == []
