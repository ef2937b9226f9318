from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from airflow_provider_flinkx.pipeline.shipping import ship

HEAVY = ("pandas", "google.cloud", "azure", "hdfs", "pymongo", "httplib2", "apache_beam.io.gcp.bigquery")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> str:
    (path,) = ship(tmp_path_factory.mktemp("shipped"))
    return path


def in_worker(path: str, code: str, *options: str) -> str:
    """What `code` prints in a Python that has `path` first on its path, as Flink's workers have."""
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_worker_imports_no_clients_of_stores_that_it_does_not_use(shipped: str) -> None:
    out = in_worker(
        shipped,
        "import json, sys\n"
        "import pyflink.fn_execution.beam.beam_sdk_worker_main\n"
        "print(json.dumps([pyflink.fn_execution.PYFLINK_CYTHON_ENABLED, list(sys.modules)]))",
    )
    fast_coders, modules = json.loads(out)
    assert fast_coders, "PyFlink takes a failing import for missing coders and goes on slowly"
    assert [name for name in HEAVY if name in modules] == []
    assert "apache_beam.runners.worker.sdk_worker" in modules


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_a_worker_watches_its_task_manager_before_it_has_a_function(shipped: str) -> None:
    out = in_worker(
        shipped,
        "import threading\nimport apache_beam.portability.api\n"
        "print([thread.name for thread in threading.enumerate() if thread.daemon])",
    )
    assert out == "['task-manager']\n"


def test_whatever_else_is_asked_of_beam_is_there(shipped: str) -> None:
    out = in_worker(
        shipped,
        """
import apache_beam.runners.worker.sdk_worker_main
import apache_beam as beam
from apache_beam.io import *
from apache_beam.runners import *
from apache_beam.runners import runner
from apache_beam.transforms import *
from apache_beam.transforms import core
import apache_beam.io.hadoopfilesystem
assert beam.io.ReadFromText is ReadFromText
assert beam.ParDo is ParDo is core.ParDo
assert beam.runners.PipelineRunner is PipelineRunner is runner.PipelineRunner
assert beam.runners.portability.stager.Stager
assert not hasattr(beam, "no_such_name")
with beam.Pipeline(runner="DirectRunner") as pipeline:
    numbers = pipeline | beam.Create([1, 2, 3])
    numbers | beam.CombineGlobally(sum) | beam.Map(lambda total: print("sum", total))
""",
    )
    assert out == "sum 6\n"


def test_an_unknown_version_of_beam_is_imported_as_it_is(shipped: str, tmp_path: Path) -> None:
    real = tmp_path / "apache_beam"
    (real / "io").mkdir(parents=True)
    (real / "version.py").write_text("__version__ = '2.99.0'")
    (real / "__init__.py").write_text("from apache_beam import io\nname = 'real'")
    (real / "io" / "__init__.py").write_text("name = 'real io'")
    out = in_worker(
        os.pathsep.join([shipped, str(tmp_path)]),
        "import apache_beam; print(apache_beam.__file__, apache_beam.name, apache_beam.io.name, type(apache_beam))",
    )
    assert out == f"{real}/__init__.py real real io <class 'module'>\n"


def test_without_beam_the_import_fails_as_usual(shipped: str) -> None:
    out = in_worker(
        shipped,
        "import sys\nsys.path = [entry for entry in sys.path if 'site-packages' not in entry]\n"
        "try:\n    import apache_beam\nexcept ModuleNotFoundError as error:\n    print(error)",
    )
    assert out == "No module named 'apache_beam'\n"


def test_plugins_are_found_where_this_distribution_is_not_installed(shipped: str, tmp_path: Path) -> None:
    """Only the drivers' packages are there, not what an installer writes about this one."""
    installed = Path(sysconfig.get_path("platlib"))
    for entry in installed.iterdir():
        if not entry.name.endswith(".pth") and "flinkx" not in entry.name:
            (tmp_path / entry.name).symlink_to(entry)
    out = in_worker(
        os.pathsep.join([shipped, str(tmp_path)]),
        """
from importlib import metadata
from airflow_provider_flinkx.plugins import registry
print(registry.__file__)
try:
    metadata.distribution("airflow-provider-flinkx")
except metadata.PackageNotFoundError:
    print("not installed")
for name, plugin in registry.plugins().items():
    for side in ("reader", "writer"):
        if getattr(plugin, side):
            plugin.schema(side)
            print(name, side)
""",
        "-S",
    )
    file, installed_here, *found = out.splitlines()
    assert file.startswith(shipped)
    assert installed_here == "not installed"
    assert {"postgresql reader", "stream writer"} <= set(found)


def test_what_only_the_client_runs_stays_there(shipped: str) -> None:
    files = {path.relative_to(shipped).as_posix() for path in Path(shipped).rglob("*") if path.is_file()}
    assert "airflow_provider_flinkx/plugins/mysql/reader.schema.json" in files
    assert "airflow_provider_flinkx/pipeline/graph.py" in files
    assert [
        file for file in files if "/operators/" in file or "/hooks/" in file or file.endswith(("hook.py", ".pyc"))
    ] == []
