"""The first step of a job: prepares the target and cuts the source into splits, or goes on where a try stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict

from airflow_provider_flinkx import exceptions
from airflow_provider_flinkx.jobs.references import mask
from airflow_provider_flinkx.pipeline.steps import Message, Run
from airflow_provider_flinkx.plugins.base import KeptRun, Ledger, Reader, Writer


def plan(run: Run) -> Iterator[Message]:
    """Prepare the target and cut the source into splits, or go on where an earlier try of the run stopped."""
    try:
        reader = run.reader()
        try:
            writer = run.writer(reader.schema)
            try:
                messages = list(_planned(run, reader, writer))
            finally:
                writer.close()
        finally:
            reader.close()
    except Exception as error:
        yield {"kind": "failed", "error": exceptions.to_json(error)}
        return
    yield from messages


def _planned(run: Run, reader: Reader, writer: Writer) -> Iterator[Message]:
    ledger, warnings = _ledger(run, writer)
    kept = _kept(run, ledger, writer, warnings) if ledger is not None else None
    if kept is not None and kept.report is not None:
        yield {"kind": "finished", "report": kept.report}
        return
    if kept is None:
        kept = _begun(run, reader, writer, ledger)
    else:
        writer.resume(reader.schema)
        told = f"an earlier try had written {len(kept.done)} of {len(kept.splits)} splits"
        warnings.append(f"{told}; this one went on there")
    yield {"kind": "plan", "splits": len(kept.splits), "ledger": ledger is not None, "warnings": warnings}
    for split in kept.splits:
        if split.index in kept.done:
            yield {"kind": "done", "report": kept.done[split.index]}
        else:
            yield {"kind": "split", "split": asdict(split), "ledger": ledger is not None}


def _begun(run: Run, reader: Reader, writer: Writer, ledger: Ledger | None) -> KeptRun:
    """A run whose target is prepared and whose splits are cut, and kept in the ledger."""
    writer.prepare(reader.schema)
    begun = KeptRun(_digest(run), list(reader.splits()), {})
    if ledger is None:
        return begun
    before = ledger.read()
    try:
        ledger.begin(begun.digest, begun.splits, anew=before is not None)
    except exceptions.DataError:
        # Another try has planned meanwhile: the two must cut the source at the same places.
        kept = ledger.read()
        if kept is None or kept.digest != begun.digest:
            raise
        return kept
    return begun


def _ledger(run: Run, writer: Writer) -> tuple[Ledger | None, list[str]]:
    """The target's ledger if the job has one, and what the report must say about it."""
    wanted = run.job.setting.exactly_once
    if wanted is False or not (writer.keeps_ledger or wanted):
        return None, []
    if not writer.keeps_ledger:
        name = run.job.content.writer.name
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


def _kept(run: Run, ledger: Ledger, writer: Writer, warnings: list[str]) -> KeptRun | None:
    """What earlier tries left that this one must take up."""
    kept = ledger.read()
    if kept is None:
        return None
    if kept.report is not None:
        return kept if run.context.take_finished else None
    if kept.digest == _digest(run):
        return kept
    told = f"an earlier try of this run, with another job, has written {len(kept.done)} of {len(kept.splits)} splits"
    if kept.done and not writer.parameter.get("preSql"):
        raise exceptions.JobInvalidError(
            [f"{told}, whose rows would stay beside the new ones: remove them by a preSql, or run under another key"]
        )
    warnings.append(f"{told}; this one begins anew, with its preSql")
    return None


def _digest(run: Run) -> str:
    """Tells whether two tries have the same job; logins and settings may change between them."""
    content = mask(run.job.document.get("job", {}).get("content"))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
