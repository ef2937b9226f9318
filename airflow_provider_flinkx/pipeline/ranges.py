"""Incremental runs: where this run begins, and by which name the ledger knows the rows that it reads.

A range of rows is planned once. Runs that overlap, and runs that come after one that failed, find the plan in the
target's ledger and share its splits, so each split is written once whoever writes it. Whoever ends the range first
moves the location; the next range begins there.

With `state` `airflow` the location is the operator's: the job that it gives has the bounds of its rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_flinkx.exceptions import JobInvalidError
from airflow_provider_flinkx.jobs.model import Job
from airflow_provider_flinkx.pipeline.steps import Run
from airflow_provider_flinkx.plugins.base import Ledger, Location, Reader, Writer

_PATH = "job.content[0].reader.parameter.incremental"


def settings_of(run: Run) -> Mapping[str, Any] | None:
    """The `incremental` of the job's reader, if it has one."""
    settings: Mapping[str, Any] | None = run.job.content.reader.parameter.get("incremental")
    return settings


def needs_ledger(run: Run, writer: Writer) -> bool:
    """Whether the run is right only with a ledger in the target.

    Raises:
        JobInvalidError: it is, and the job or the target has none.
    """
    settings = settings_of(run)
    if settings is None:
        return False
    if writer.empties_target:
        raise JobInvalidError([f"{_PATH}: adds to the target; leave out saveMode, or use increColumn"])
    if settings["state"] == "airflow":
        _check_target_of_airflow(run, writer)
        return False
    if not writer.keeps_ledger:
        name = run.job.content.writer.name
        raise JobInvalidError([f"{_PATH}: {name} cannot keep a location; use state airflow, or increColumn"])
    if run.job.setting.exactly_once is False:
        raise JobInvalidError([f"{_PATH}: needs the ledger, which job.setting.exactlyOnce switches off"])
    return True


def enter(run: Run, reader: Reader, ledger: Ledger) -> str | None:
    """The name of the range that this run reads, if it is incremental; the reader begins there.

    Args:
        run: the run.
        reader: no splits are made yet.
        ledger: of the run; its table is there.
    """
    settings = settings_of(run)
    if settings is None or settings["state"] == "airflow":
        return None
    source = settings.get("name") or reader.source_identity()
    location = ledger.location(source, str(reader.parameter.get("startLocation") or ""))
    if _has_finished(run, location):
        return location.last_range
    reader.start_at(location.start)
    return location.range


def check_caller(job: Job) -> None:
    """A location that Airflow keeps is known to the operator only.

    Raises:
        JobInvalidError: the job came another way.
    """
    settings = job.content.reader.parameter.get("incremental")
    if settings is not None and settings["state"] == "airflow" and "run" not in settings:
        raise JobInvalidError(
            [f"{_PATH}.state: airflow is for tasks of Airflow; use target, or increColumn with startLocation"]
        )


def _check_target_of_airflow(run: Run, writer: Writer) -> None:
    if writer.keeps_ledger and writer.grows_by_rows:
        name = run.job.content.writer.name
        message = "the rows of a run that failed would be there twice; take target, by which the next run goes on there"
        raise JobInvalidError([f"{_PATH}.state: airflow is not for inserts of {name}: {message}"])


def _has_finished(run: Run, location: Location) -> bool:
    """Whether an earlier try of this run has moved the location, and died before it could tell."""
    return run.context.take_finished and location.last_run == run.context.job_key
