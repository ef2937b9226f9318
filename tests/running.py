"""Runs plan, sync and report as Flink would with one channel, but in this process."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_flinkx.pipeline.report import Counters
from airflow_provider_flinkx.pipeline.rounds import Rounds
from airflow_provider_flinkx.pipeline.steps import Report, Run, Sync
from airflow_provider_flinkx.plugins.base import Split


def run_job(run: Run) -> tuple[dict[str, Any], Counters]:
    """Run a job to its end; messages pass through JSON. Gives the report, and the sum of the live counters."""
    live = Counters()
    sync = Sync(run, live.add)
    report = Report(run)
    rounds = Rounds(run)
    result = None
    try:
        while result is None:
            for message in rounds.messages():
                wire = json.loads(json.dumps(message))
                if wire["kind"] == "split":
                    arguments = {name: wire[name] for name in ("ledger", "context", "table")}
                    wire = sync.split(Split(**wire["split"]), **arguments)
                result = report.add(json.loads(json.dumps(wire))) or result
    finally:
        rounds.close()
        sync.close()
        report.abort()
    return result, live
