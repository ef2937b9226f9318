"""Flink's REST interface: the one client of it. Paths are those of Flink's "REST API" page, version v1."""

from __future__ import annotations

from typing import Any

import httpx

from airflow_provider_flinkx.exceptions import ClusterError

_SYNC_COUNTERS = ("numRead", "numWrite", "nErrors", "byteRead", "byteWrite", "splitsDone")


class FlinkRest:
    """Synchronous client for one JobManager.

    Args:
        address: `http://host:port`.
        timeout: seconds for each request.
    """

    def __init__(self, address: str, timeout: float = 5.0) -> None:
        self.address = address
        # The JobManager is inside the cluster: a proxy for the outside world is never the way to it.
        self._client = httpx.Client(base_url=address, timeout=timeout, trust_env=False)

    def get(self, path: str, **parameters: str) -> Any:
        """JSON of a GET request.

        Raises:
            ClusterError: when Flink does not answer, or answers with an error.
        """
        try:
            response = self._client.get(f"/v1{path}", params=parameters)
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise ClusterError(f"Flink at {self.address} did not answer {path}: {error}") from error
        return response.json()

    def progress(self, job_id: str) -> dict[str, Any]:
        """Counters of a running job, summed over its channels: rows, bytes, splits, and the job's state."""
        job = self.get(f"/jobs/{job_id}")
        progress: dict[str, Any] = {"state": job["state"], "splits": 0}
        progress.update(dict.fromkeys(_SYNC_COUNTERS, 0))
        for vertex in job["vertices"]:
            base = f"/jobs/{job_id}/vertices/{vertex['id']}/subtasks/metrics"
            names = [metric["id"] for metric in self.get(base)]
            wanted = {name: name.rpartition(".")[2] for name in names}
            wanted = {name: short for name, short in wanted.items() if short in progress and short != "state"}
            if wanted:
                for metric in self.get(base, get=",".join(wanted), agg="sum"):
                    progress[wanted[metric["id"]]] += int(metric["sum"])
        return progress
