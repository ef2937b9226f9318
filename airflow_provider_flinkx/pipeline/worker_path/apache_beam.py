"""Stands before Apache Beam in a Python worker of a Flink cluster, and imports only what the worker needs.

Flink's process mode runs Python in Beam's worker harness. Importing it runs the `__init__` of `apache_beam` and of
some of its packages, which import every source and runner that Beam has, with the clients of Google, Azure, HDFS and
MongoDB: seconds of processor time in each worker of each job, for nothing that PyFlink uses.

So this module puts in its own place the real package with those `__init__` put off: all modules below are Beam's
own, and a name that only the `__init__` knows runs it. It does so for the versions in `KNOWN`, whose order of
imports is tested; any other version is imported as it is.

Beam's FileSystems knows no remote file system here until somebody imports that file system's module.

Nothing of ours is imported earlier in a worker, so here it also begins to watch its TaskManager.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any

from airflow_provider_flinkx.pipeline.worker_life import end_with_task_manager

#: apache-flink 2.0 to 2.3 allow 2.54 to 2.61, of which an installer takes the last.
KNOWN = ("2.61.0",)

#: What is put off, and where the worker's modules find the names that they ask of it.
PUT_OFF: dict[str, dict[str, str]] = {
    "apache_beam.io": {},
    "apache_beam.runners": {
        "PipelineRunner": "apache_beam.runners.runner",
        "PipelineState": "apache_beam.runners.runner",
        "create_runner": "apache_beam.runners.runner",
    },
    "apache_beam.runners.portability.stager": {},
    "apache_beam.transforms": {
        "DoFn": "apache_beam.transforms.core",
        "Impulse": "apache_beam.transforms.core",
        "PTransform": "apache_beam.transforms.ptransform",
        "ParDo": "apache_beam.transforms.core",
        "TimeDomain": "apache_beam.transforms.timeutil",
    },
}

#: Imported by `apache_beam.io.filesystems` if they can be.
REMOTE_FILE_SYSTEMS = (
    "apache_beam.io.hadoopfilesystem",
    "apache_beam.io.gcp.gcsfilesystem",
    "apache_beam.io.aws.s3filesystem",
    "apache_beam.io.azure.blobstoragefilesystem",
)


class PutOff(ModuleType):
    """A module whose code runs when it is asked for a name that is not there."""

    _lock: RLock
    _running: bool
    _homes: dict[str, str]

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if name in vars(self):  # Another thread was quicker.
                return vars(self)[name]
            if name in self._homes:
                value = getattr(importlib.import_module(self._homes[name]), name)
                setattr(self, name, value)
                return value
            if self._running or (name.startswith("__") and name != "__all__"):
                raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
            if self._has_submodule(name):
                return importlib.import_module(f"{self.__name__}.{name}")
            self._run()
            return getattr(self, name)

    def _has_submodule(self, name: str) -> bool:
        path = vars(self).get("__path__")
        return path is not None and PathFinder.find_spec(f"{self.__name__}.{name}", path) is not None

    def _run(self) -> None:
        self._running = True
        spec: Any = self.__spec__
        try:
            spec.loader.exec_module(self)
            self.__class__ = ModuleType  # type: ignore[assignment]
        finally:
            self._running = False


def put_off(name: str, path: list[str], homes: dict[str, str]) -> Any:
    """Find the module `name` on `path` and let it stand in `sys.modules` without running it."""
    spec = PathFinder.find_spec(name, path)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    module: Any = module_from_spec(spec)
    module.__class__ = PutOff
    module._lock, module._running, module._homes = RLock(), False, homes
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    return module


def import_worker() -> None:
    """Import what the worker needs, in an order in which Beam's circular imports work out."""
    for name, homes in PUT_OFF.items():
        parent = importlib.import_module(name.rpartition(".")[0])
        put_off(name, list(parent.__path__), homes)
    for name in REMOTE_FILE_SYSTEMS:
        sys.modules[name] = None  # type: ignore[assignment]  # makes an import of it fail
    try:
        importlib.import_module("apache_beam.coders")
        importlib.import_module("apache_beam.transforms.core")
        importlib.import_module("apache_beam.runners.common")
        importlib.import_module("apache_beam.io.filesystems")
    finally:
        for name in REMOTE_FILE_SYSTEMS:
            del sys.modules[name]


# A TaskManager may be killed before the worker has got its first function, and Beam's harness may then wait for ever.
end_with_task_manager()
_here = Path(__file__).resolve().parent
_beam = put_off("apache_beam", [entry for entry in sys.path if Path(entry).resolve() != _here], {})
_version = importlib.import_module("apache_beam.version").__version__
if _version in KNOWN:
    _beam.__version__ = _version
    import_worker()
else:
    _beam._run()
