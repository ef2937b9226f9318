"""The first thing that runs in the driver process: starts Java, and imports the driver's heavy modules meanwhile."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from airflow_provider_flinkx.pipeline import java_process

_LEFT_OUT = Path(__file__).parent / "left_out"


def use_thread_mode() -> None:
    """Set up this interpreter, and the one that Flink embeds in the JVM, to run without Beam and pandas.

    The embedded interpreter knows nothing of this one's virtual environment but PYTHONPATH.
    """
    sys.path.insert(0, str(_LEFT_OUT))
    os.environ["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    # Otherwise PyFlink starts a Beam server for its loopback mode.
    os.environ["_python_worker_execution_mode"] = "process"  # noqa: SIM112 - PyFlink's own spelling


def main() -> None:
    """Entry of the driver process."""
    # Standard output carries events only: whatever Flink, Java or a plugin prints goes to standard error.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.readline())
    use_thread_mode()
    java_process.start(Path(request["folder"]), "client" if request.get("session") else "local")

    from airflow_provider_flinkx.pipeline import driver

    driver.main(request, out)
