"""FlinkXSyncTrigger: waits in the triggerer for the end of a Flink job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_flinkx.clusters.session import SessionCluster
from airflow_provider_flinkx.exceptions import to_json
from airflow_provider_flinkx.hooks.flink import FlinkClusterHook
from airflow_provider_flinkx.hooks.progress import ProgressLog
from airflow_provider_flinkx.triggers.deferral import HAS_ON_KILL, waits_for

#: Airflow fails a task whose trigger fires within some five seconds of the deferral: its scheduler then takes the end
#: of the deferring process for the end of the task. So a trigger rests before it looks for the first time.
POLL_SECONDS = 10.0
#: Held here until they are done: the event loop alone would let them go.
_CANCELLING: set[asyncio.Future[None]] = set()


class FlinkXSyncTrigger(BaseTrigger):  # type: ignore[misc]
    """Waits until a Flink job has ended, then fires once; also when it cannot wait any longer.

    The event is `{"job_id": ..., "application_id": ..., "error": None or exceptions.to_json}`. A job that ended
    without success is no error here: who takes the event asks for the result.

    The Flink job is cancelled when a user ended the task (marked or cleared it), not when the triggerer restarts.

    Args:
        flink_conn_id: connection of type `flink`.
        mode: overrides the connection's mode.
        job_id: Flink's id.
        interval: seconds between two looks, and before the first.
        application_id: the YARN application that the job is in, where the connection leaves several to choose from.
    """

    def __init__(
        self,
        flink_conn_id: str,
        mode: str | None,
        job_id: str,
        interval: float = POLL_SECONDS,
        application_id: str | None = None,
    ) -> None:
        super().__init__()
        self.flink_conn_id = flink_conn_id
        self.mode = mode
        self.job_id = job_id
        self.interval = interval
        self.application_id = application_id
        self._connecting: asyncio.Future[SessionCluster] | None = None
        self._has_fired = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What Airflow keeps of the trigger; nothing in it is secret."""
        kept = ("flink_conn_id", "mode", "job_id", "interval", "application_id")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in kept}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the end of the job."""
        # Airflow tells a user's action by the message of the cancellation. Much of what can be awaited loses it.
        waiting = asyncio.ensure_future(self._wait())
        try:
            error = await asyncio.shield(waiting)
        finally:
            waiting.cancel()
        self._has_fired = True
        yield TriggerEvent({"job_id": self.job_id, "application_id": self.application_id, "error": error})

    async def _wait(self) -> dict[str, Any] | None:
        """Wait until the job has ended; what kept from waiting, if anything did."""
        try:
            await asyncio.sleep(self.interval)
            cluster = await self._connected()
            await cluster.follow(self.job_id, ProgressLog(self.log), self.interval)
        except Exception as problem:  # as an event, which the task can raise again; else only its text would be left
            return to_json(problem)
        return None

    async def on_kill(self) -> None:
        """Cancel the job: a user ended the task. Airflow calls this since 3.3."""
        if not self._has_fired:
            # Airflow cancels this too, when it looks again a second later and the trigger is still there.
            cancelling = asyncio.ensure_future(self._cancel_job())
            _CANCELLING.add(cancelling)
            cancelling.add_done_callback(_CANCELLING.discard)
            await asyncio.shield(cancelling)

    async def _cancel_job(self) -> None:
        cluster = await self._connected()
        self.log.info("The task was ended: cancelling the Flink job %s.", self.job_id)
        await cluster.cancel_job(self.job_id)

    async def cleanup(self) -> None:
        """The same in Airflow before 3.3, where this is called at a restart of the triggerer too."""
        if not (HAS_ON_KILL or self._has_fired or await waits_for(self.task_instance, self.trigger_id)):
            await self.on_kill()

    async def _connected(self) -> SessionCluster:
        # Asking Airflow for a connection must not be given up halfway: who asks next would not get an answer.
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> SessionCluster:
        hook = FlinkClusterHook(self.flink_conn_id, self.mode, self.application_id)
        # Airflow 3 refuses to give a connection to the triggerer's event loop itself.
        cluster = await sync_to_async(hook.cluster)()
        assert isinstance(cluster, SessionCluster), "only jobs on such clusters are deferred"
        return cluster
