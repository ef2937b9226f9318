"""What travels to the Python workers of a Flink cluster with a job.

The workers need no installation of this distribution: the parts of it that run there go along, so a cluster
always runs the code of the client. Flink packs the folder, sends it through its blob server and unpacks it once
per job and TaskManager.
"""

from __future__ import annotations

import shutil
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_RUNS_THERE = ("__init__.py", "exceptions.py", "jobs", "pipeline", "plugins")
_STAYS_HERE = shutil.ignore_patterns("__pycache__", "hook.py", "left_out", "worker_path")
_STANDS_BEFORE = (_PACKAGE / "pipeline/worker_path/apache_beam.py", _PACKAGE / "pipeline/left_out/pandas.py")


def ship(folder: Path) -> list[str]:
    """Lay out in `folder` what travels to the workers with a job.

    Args:
        folder: an empty folder that exists until the job is submitted.

    Returns:
        The values of `python.files`; the workers have them on their path, before installed packages.
    """
    # One entry: Flink refuses two folders of one name, and the name says in a worker's traces whose files these are.
    path = folder / "flinkx"
    package = path / _PACKAGE.name
    package.mkdir(parents=True)
    for name in _RUNS_THERE:
        source = _PACKAGE / name
        if source.is_dir():
            shutil.copytree(source, package / name, ignore=_STAYS_HERE)
        else:
            shutil.copyfile(source, package / name)
    for file in _STANDS_BEFORE:
        shutil.copyfile(file, path / file.name)
    return [str(path)]
