"""Where the next incremental run of a task begins, kept in an Airflow Variable: `incremental.state` `airflow`.

The Variable holds `{"location": ..., "ranges": [{"run": ..., "start": ..., "end": ...}, ...]}`: where the next run
begins, and the rows that the latest runs have read, the last one first. It changes only when a job has ended well, by
the bounds that its report gives, so each range begins where the one before has ended:

- A try that fails changes nothing: the next try, or the next run, begins at the same location.
- A run that is in `ranges` reads these rows again, and leaves the location where it is.
- A run that ends and finds that its rows do not begin at the location has read what another run had read meanwhile.
  It fails and leaves the location, so rows may be in the target twice, but none is left out. Two runs that end at the
  very same moment may both find their location: either one's end may stay, and no row before it is unread.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_flinkx.compat import Variable
from airflow_provider_flinkx.exceptions import JobInvalidError, LocationMovedError
from airflow_provider_flinkx.jobs.references import mask

#: Runs whose range is remembered; a Variable's value has 64 kB in some databases.
KEPT_RANGES = 100
_READABLE_LENGTH = 200
_HASH_LENGTH = 12


@dataclass(frozen=True)
class KeptLocation:
    """The location of one task and source, as one run of the task sees it.

    Args:
        variable: key of the Variable.
        run: id of the DAG run.
    """

    variable: str
    run: str

    def begin(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """The job with the rows that this run reads: from the location on, or those that it has read before.

        Raises:
            JobInvalidError: the Variable was changed to something else than a location.
        """
        parameter = _parameter(document)
        bounds: dict[str, Any] = {"incremental": {**parameter["incremental"], "run": self.run}}
        kept = self._read()
        if kept is not None:
            bounds |= self._own_bounds(kept) or {"startLocation": kept["location"]}
        return _with_parameter(document, {**parameter, **bounds})

    def move(self, report: Mapping[str, Any]) -> None:
        """Let the next run begin where this one has ended.

        Args:
            report: of the job that has ended well.

        Raises:
            LocationMovedError: another run has moved it since this one has begun.
        """
        if "endLocation" not in report:
            raise JobInvalidError(["job.content[0].reader.parameter.incremental: this reader has no location"])
        ours = {"run": self.run, "start": report["startLocation"], "end": report["endLocation"]}
        kept = self._read()
        ranges = kept["ranges"] if kept is not None else []
        if ours in ranges:
            return
        if kept is not None and kept["location"] != ours["start"]:
            who = f"run {ranges[0]['run']}" if ranges else "somebody"
            raise LocationMovedError(
                f"this run has read from {ours['start']!r} to {ours['end']!r}, but {who} has moved the location to "
                f"{kept['location']!r} meanwhile (Variable {self.variable}): rows may be in the target twice; the next "
                "run begins at the moved location. Let runs follow each other: max_active_runs=1"
            )
        moved = {"location": ours["end"], "ranges": [ours, *ranges][:KEPT_RANGES]}
        Variable.set(self.variable, json.dumps(moved))

    def _own_bounds(self, kept: Mapping[str, Any]) -> dict[str, Any] | None:
        for known in kept["ranges"]:
            if known["run"] == self.run:
                return {"startLocation": known["start"], "endLocation": known["end"]}
        return None

    def _read(self) -> dict[str, Any] | None:
        text = Variable.get(self.variable, None)
        if text is None:
            return None
        try:
            kept = json.loads(text)
            return {"location": str(kept["location"]), "ranges": list(kept["ranges"])}
        except (ValueError, KeyError, TypeError):
            raise JobInvalidError(
                [f'Variable {self.variable} must be {{"location": "...", "ranges": []}}: mend or delete it']
            ) from None


def kept_location(document: Mapping[str, Any], instance: Any) -> KeptLocation | None:
    """The location of a job whose reader has `incremental.state` `airflow`.

    It belongs to dag, task, map index, and `incremental.name` or else server, table or query, condition and column.

    Args:
        document: the job, templates filled in; it may still be wrong.
        instance: the task instance.
    """
    parameter = _parameter(document)
    incremental = parameter.get("incremental")
    if not isinstance(incremental, Mapping) or str(incremental.get("state")).strip().lower() != "airflow":
        return None
    parts = [instance.dag_id, instance.task_id, *([str(instance.map_index)] if instance.map_index >= 0 else [])]
    identity = json.dumps([parts, incremental.get("name") or _source(parameter)], sort_keys=True)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:_HASH_LENGTH]
    readable = re.sub(r"[^A-Za-z0-9._-]", "-", ".".join(["flinkx_incremental", *parts]))[:_READABLE_LENGTH]
    return KeptLocation(f"{readable}-{digest}", instance.run_id)


def _source(parameter: Mapping[str, Any]) -> Any:
    keys = ("connectionId", "connection", "customSql", "where")
    return [mask({key: parameter.get(key) for key in keys}), parameter["incremental"].get("column")]


def _parameter(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The reader's parameter; empty where the job is not as it must be, which validation tells."""
    try:
        parameter = document["job"]["content"][0]["reader"]["parameter"]
    except (KeyError, IndexError, TypeError):
        return {}
    return parameter if isinstance(parameter, Mapping) else {}


def _with_parameter(document: Mapping[str, Any], parameter: Mapping[str, Any]) -> Mapping[str, Any]:
    job = document["job"]
    first, *others = job["content"]
    first = {**first, "reader": {**first["reader"], "parameter": parameter}}
    return {**document, "job": {**job, "content": [first, *others]}}
