"""What processes a job has: its driver leads a session of its own, and so does each daemon of a cluster."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess


def session_members(leader: int) -> dict[int, str]:
    """Process id and program name of every living process in the session that `leader` leads."""
    listing = subprocess.run(
        ["ps", "-o", "pid=,stat=,comm=", "-g", str(leader)], capture_output=True, text=True, check=False
    )
    rows = [line.split(maxsplit=2) for line in listing.stdout.splitlines()]
    return {int(pid): program for pid, state, program in rows if not state.startswith("Z")}


def java_of(leader: int) -> int:
    """The only JVM of the session."""
    (java,) = [pid for pid, program in session_members(leader).items() if program == "java"]
    return java


def kill(pid: int) -> None:
    """`kill -9`; the process may have ended since it was found."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def python_workers(task_manager: int) -> list[int]:
    """The Python workers that a TaskManager has started, which outlive its death for a moment."""
    return [pid for pid, program in session_members(task_manager).items() if program.startswith("python")]
