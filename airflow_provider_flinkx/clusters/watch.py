"""What is seen of a running job: its rate, how long it is out of sight or without slots. Asks nothing itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_flinkx.clusters.settings import RECONNECT_SECONDS, SLOT_SECONDS
from airflow_provider_flinkx.exceptions import ClusterError, JobLostError, SlotTimeoutError

#: A JobManager that has just taken over knows a job only a moment later.
LOST_SECONDS = 30.0


class JobWatch:
    """Judges what is seen of one job.

    Args:
        reconnect_timeout: seconds for which the cluster may be unreachable.
        slot_timeout: seconds for which the job may wait for slots.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        reconnect_timeout: float = RECONNECT_SECONDS,
        slot_timeout: float = SLOT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reconnect_timeout = reconnect_timeout
        self._slot_timeout = slot_timeout
        self._clock = clock
        self._began = self._seen = self._had_slots = clock()
        self.is_out_of_sight = False

    def seen(self, *, has_slots: bool) -> None:
        """The cluster answered for the job.

        Raises:
            SlotTimeoutError: when it has waited for slots too long.
        """
        now = self._seen = self._clock()
        self.is_out_of_sight = False
        if has_slots:
            self._had_slots = now
        elif now - self._had_slots > self._slot_timeout:
            raise SlotTimeoutError(
                f"the cluster had no free slots for the job in {self._slot_timeout:g} s, so it was cancelled: "
                "add TaskManagers or slots, lower speed.channel, or raise the slot timeout"
            )

    def missed(self, error: ClusterError | JobLostError) -> None:
        """The cluster, or its job, was not there.

        Raises:
            ClusterError: `error`, when this has lasted too long.
            JobLostError: the same.
        """
        self.is_out_of_sight = True
        # The time without a JobManager is no time of waiting for slots.
        away = self._clock() - self._seen
        limit = self._reconnect_timeout
        if isinstance(error, JobLostError):
            limit = min(limit, LOST_SECONDS)
        if away > limit:
            raise error

    def rated(self, progress: Mapping[str, int]) -> dict[str, Any]:
        """Progress of a running job, with rows per second since this began to watch."""
        elapsed = max(self._clock() - self._began, 1.0)
        return {"state": "RUNNING", **progress, "rowsPerSecond": round(progress["numWrite"] / elapsed)}
