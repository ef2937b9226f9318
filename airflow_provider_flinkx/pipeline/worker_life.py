"""Ends a Python worker of a cluster when its TaskManager has died.

Flink ends its workers when a job ends. A TaskManager that is killed cannot, and a worker that was at work then stays
for ever: Beam's harness waits for its threads. It would go on writing rows of a job that has failed, and its folder
would never be removed. A worker that has no function yet can wait for ever too: for its own log, of which Beam's thread
waits for a lock.
"""

from __future__ import annotations

import functools
import os
import shutil
import threading
import time
from pathlib import Path

_LOOK_SECONDS = 1.0


@functools.cache
def end_with_task_manager() -> None:
    """Begin to watch, once per process, the TaskManager that started this worker; nothing where there is no /proc."""
    if task_manager := _ancestors():
        threading.Thread(target=_watch, args=(task_manager,), name="task-manager", daemon=True).start()


def _watch(ancestors: tuple[int, int]) -> None:
    while _ancestors() == ancestors:
        time.sleep(_LOOK_SECONDS)
    if folder := os.environ.get("BOOT_LOG_DIR"):  # The job's files and virtual folders of all workers of the process.
        shutil.rmtree(folder, ignore_errors=True)
    # At once, and without waiting for other threads: connections that are cut are rolled back by their server.
    os._exit(1)


def _ancestors() -> tuple[int, int] | None:
    """The shell that runs this worker, and the TaskManager that started the shell; None: not to be found."""
    shell = os.getppid()
    try:
        status = Path(f"/proc/{shell}/stat").read_text()
    except OSError:
        return None
    return shell, int(status.rpartition(")")[2].split()[1])
