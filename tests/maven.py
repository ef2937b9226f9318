"""Jars for test servers, out of Maven; fetched once, kept in the user's cache folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers import ServerMissingError


def jars(pom: Path, name: str) -> Path:
    """Folder of the jars that `pom` depends on.

    Args:
        pom: names the jars.
        name: of the folder; it changes with the versions in the pom.
    """
    for program, package in (("javac", "default-jdk-headless"), ("mvn", "maven")):
        if not shutil.which(program):
            raise ServerMissingError(f"{program} is not installed: apt-get install {package}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airflow-provider-flinkx" / name
    folder = cache / "lib"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as made:
            target = f"-DoutputDirectory={made}/lib"
            done = subprocess.run(
                ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", target],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                raise ServerMissingError(f"Maven could not fetch {name}: {done.stdout[-500:]}{done.stderr[-500:]}")
            with contextlib.suppress(OSError):  # Another run was faster.
                (Path(made) / "lib").rename(folder)
    return folder
