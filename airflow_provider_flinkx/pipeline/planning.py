"""The first step of a job: prepares the target and cuts the source into splits, or goes on where a try stopped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import asdict, replace

import pyarrow as pa

from airflow_provider_flinkx import exceptions
from airflow_provider_flinkx.jobs.references import mask
from airflow_provider_flinkx.pipeline import ranges, table_plans, verification
from airflow_provider_flinkx.pipeline.steps import ATTEMPT, Message, Run, shared_state
from airflow_provider_flinkx.plugins.base import KeptRun, Ledger, Reader, Writer


def plan(run: Run) -> Iterator[Message]:
    """Prepare the target and cut the source into splits, or go on where an earlier try of the run stopped."""
    run = run.within({"execution": uuid.uuid4().hex[:8]})
    try:
        with run.keeping_connections() as run, contextlib.closing(run.reader()) as reader:
            schema = pa.schema([]) if run.reads_many else reader.schema
            with contextlib.closing(run.writer(schema)) as writer:
                messages = list(_planned(run, reader, writer))
    except Exception as error:
        yield {"kind": "failed", "error": exceptions.to_json(error), "context": {"execution": run.context.execution}}
        return
    yield from messages


def _planned(run: Run, reader: Reader, writer: Writer) -> Iterator[Message]:
    verification.check_writer(run, writer)
    ledger, warnings = _ledger(run, writer)
    place = ranges.enter(run, reader, ledger) if ledger is not None else None
    if place is not None:
        writer.context = replace(writer.context, range=place)
        run, ledger = run.within({"range": place}), writer.ledger()
    kept = _kept(run, reader, ledger, writer, warnings) if ledger is not None else None
    if kept is None:
        kept = _begun(run, reader, writer, ledger)
    elif kept.report is None:
        verification.check_kept(run, kept.before)
        if run.reads_many:
            table_plans.resume(run, kept)
        else:
            writer.resume(reader.schema)
        told = f"an earlier try had written {len(kept.done)} of {len(kept.splits)} splits"
        warnings.append(f"{told}; this one went on there")
    if kept.report is not None:
        yield {"kind": "finished", "report": {name: part for name, part in kept.report.items() if name != ATTEMPT}}
        return
    warnings += reader.remarks()
    common = {"ledger": ledger is not None, "context": {"range": place, "execution": run.context.execution}}
    tables = [{"table": asdict(table), "splits": count} for table, count in table_plans.splits_of(kept)]
    plan = {"kind": "plan", "splits": len(kept.splits), "before": list(kept.before), "tables": tables}
    location = kept.splits[-1].spec.get("location", {}) if kept.splits else {}
    yield {**plan, **common, "warnings": warnings, "location": location}
    for split in kept.splits:
        if split.index in kept.done:
            yield {"kind": "done", "report": kept.done[split.index]}
        else:
            table = tables[split.table]["table"] if tables else None
            yield {"kind": "split", "split": asdict(split), "table": table, **common}


def _begun(run: Run, reader: Reader, writer: Writer, ledger: Ledger | None) -> KeptRun:
    """A run whose target is prepared and whose splits are cut, and kept in the ledger."""
    if run.reads_many:
        begun = table_plans.begin(run, reader, _digest(run, reader))
    else:
        writer.prepare_for(reader)
        before = verification.figures(run, reader, writer)
        begun = KeptRun(_digest(run, reader), list(reader.splits()), {}, before=[before] if before else [])
    shared_state(run).hold(reader)
    if ledger is None:
        return begun
    # Entries of a range are never taken away: another run may be at work on it.
    earlier = ledger.read() if run.context.range is None else None
    try:
        ledger.begin(begun, anew=earlier is not None)
    except exceptions.DataError:
        # Another try has planned meanwhile: the two must cut the source at the same places.
        kept = ledger.read()
        is_finished_range = kept is not None and kept.report is not None and run.context.range is not None
        if kept is None or not (is_finished_range or kept.digest == begun.digest):
            raise
        return kept
    return begun


def _ledger(run: Run, writer: Writer) -> tuple[Ledger | None, list[str]]:
    """The target's ledger if the job has one, and what the report must say about it."""
    setting, name = run.job.setting, run.job.content.writer.name
    wanted = ranges.needs_ledger(run, writer) or setting.exactly_once
    if wanted is None and setting.restore:
        if not writer.keeps_ledger:
            return None, [f"job.setting.restore: {name} keeps no ledger, a retry begins anew"]
        wanted = True
    if wanted is False or not (writer.keeps_ledger or wanted):
        return None, []
    if not writer.keeps_ledger:
        raise exceptions.JobInvalidError([f"job.setting.exactlyOnce: {name} keeps no ledger; leave the key out"])
    ledger = writer.ledger()
    try:
        ledger.read()
    except exceptions.ConnectionFailedError:
        raise
    except exceptions.DataError as error:
        if wanted:
            raise
        return None, [f"without a ledger a retry writes rows again (setting.exactlyOnce): {error}"]
    return ledger, []


def _kept(run: Run, reader: Reader, ledger: Ledger, writer: Writer, warnings: list[str]) -> KeptRun | None:
    """What earlier tries left that this one must take up."""
    kept = ledger.read()
    if kept is None:
        return None
    if kept.report is not None:
        # A JobManager that takes over from a dead one runs its jobs again, also one that had just finished.
        is_ours = kept.report.get(ATTEMPT) == run.context.attempt
        return kept if is_ours or run.context.take_finished or run.context.range is not None else None
    begins_anew = bool(writer.empties_target or writer.parameter.get("preSql"))
    is_torn = _is_torn(kept)
    if kept.done and reader.snapshots_last and not begins_anew:
        is_torn = False  # the snapshot may be too old one day, which a job that can begin anew need not find out
    if kept.digest == _digest(run, reader) and not is_torn:
        return kept
    if run.context.range is not None:
        raise exceptions.JobInvalidError(
            [
                f"another job has begun with the rows of this incremental run and has written {len(kept.done)} of "
                f"{len(kept.splits)} splits of another source: end it first, or give incremental.name"
            ]
        )
    why = "from a snapshot that is gone" if is_torn else "with another job"
    told = f"an earlier try of this run, {why}, has written {len(kept.done)} of {len(kept.splits)} splits"
    if kept.done and not begins_anew:
        raise exceptions.JobInvalidError(
            [
                f"{told}, whose rows would stay beside the new ones: remove them by a preSql or saveMode truncate, "
                "or run under another key"
            ]
        )
    means = "saveMode" if writer.empties_target else "preSql"
    warnings.append(f"{told}; this one begins anew, with its {means}")
    return None


def _is_torn(kept: KeptRun) -> bool:
    """Whether splits are left of a snapshot, which ended with the try that began it."""
    left = [split for split in kept.splits if split.index not in kept.done]
    return any("snapshot" in split.spec.get("location", {}) for split in left)


def _digest(run: Run, reader: Reader) -> str:
    """Tells whether two tries have the same job; logins and settings may change between them.

    Of incremental runs only the source counts: one of them goes on in the splits of another.
    """
    if run.context.range is not None:
        return hashlib.sha256(reader.source_identity().encode()).hexdigest()
    content = mask(run.job.document.get("job", {}).get("content"))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
