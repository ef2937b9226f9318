"""A worker ends with its TaskManager, also when its own threads would go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import session_members
from tests.servers import await_condition

_WORKER = """
import pathlib, threading
from airflow_provider_flinkx.pipeline.worker_life import end_with_task_manager
end_with_task_manager()
end_with_task_manager()
pathlib.Path("ready").touch()
threading.Event().wait()
"""
#: Starts the worker through a shell, as Flink does, and prints nothing.
_TASK_MANAGER = "import subprocess, sys; subprocess.run(['bash', '-c', f'{sys.executable} worker.py | tee log'])"


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_a_worker_ends_with_its_task_manager(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(_WORKER)
    folder = tmp_path / "python-dist"
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "BOOT_LOG_DIR": str(folder)}
    task_manager = subprocess.Popen(
        [sys.executable, "-c", _TASK_MANAGER], cwd=tmp_path, env=environment, start_new_session=True
    )
    try:
        await_condition((tmp_path / "ready").exists, 30, "the worker works")
        members = session_members(task_manager.pid)
        assert len(members) >= 3
        assert folder.exists()
        task_manager.kill()
        task_manager.wait()
        await_condition(lambda: not session_members(task_manager.pid), 30, "the worker has ended")
        assert not folder.exists()
    finally:
        if session_members(task_manager.pid):
            os.killpg(task_manager.pid, signal.SIGKILL)
