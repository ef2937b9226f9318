"""`flinkx pack`: an archive with the Python packages that a cluster's nodes need for some plugins.

Layout: `lib/` with the packages, `bin/python` that starts a Python of the node with them. The packages are copied from
the driver's environment, so client and nodes have the same versions, and no package index is asked. Not among them are
this package, which travels with each job (`pipeline/shipping.py`), and what runs on the client only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, entry_points, metadata, requires
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from airflow_provider_flinkx.exceptions import FlinkXError, JobFileError, MissingDriverError
from airflow_provider_flinkx.jobs.problems import did_you_mean
from airflow_provider_flinkx.plugins.registry import BUILT_IN, ENTRY_POINT_GROUP, plugins, split_name

OURS = "airflow-provider-flinkx"
#: What Flink tells an archive's format from; a .zip would lose links and rights.
SUFFIXES = (".tgz", ".tar.gz")

#: Of this package's own requirements, those of what travels to the nodes; the others are the client's.
ON_NODES = ("jsonschema",)
#: Never imported on a node: Flink's Java side, and pandas, which is refused there (`pipeline/left_out`).
_NEVER_THERE = (OURS, "apache-flink-libraries", "pandas")
_AIRFLOW = "apache-airflow"
#: Tests, what compilers and type checkers need, and compiled files, which are made anew.
_NOT_FOR_RUNNING = re.compile(
    r"(^|/)(tests|include|__pycache__)/|_test\.py$|\.(pyc|pth|pyi|pyx|pxd|pxi|h|hpp|c|cc|cpp)$"
)
_GZIP_LEVEL = 6
_PROBE = (
    "import json, os, sys; "
    "print(json.dumps([sys.path, '%d.%d.%d' % sys.version_info[:3], os.path.dirname(sys._base_executable)]))"
)
_LAUNCHER = """\
#!/bin/sh
# Starts a Python {version} of this machine with the packages of ../lib; what PYTHONPATH holds already goes first.
here=$(cd "$(dirname "$0")/.." && pwd) || exit 1
for python in {base}/python{version} python{version}; do
  if command -v "$python" >/dev/null; then
    PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}$here/lib" PYTHONNOUSERSITE=1 exec "$python" "$@"
  fi
done
echo "flinkx: this node has no python{version}, neither on its PATH ($PATH) nor in {base}" >&2
exit 127
"""


class PackingError(FlinkXError):
    """The archive cannot be made."""


@dataclass(frozen=True)
class Packed:
    """An archive that was made.

    Args:
        archive: its file.
        megabytes: its size.
        seconds: what it took.
        python: minor version, such as 3.11, that the nodes need.
        packages: name -> version.
    """

    archive: str
    megabytes: float
    seconds: float
    python: str
    packages: Mapping[str, str]


def pack(archive: Path, names: Collection[str], python: str | None = None) -> Packed:
    """Make the archive for some plugins.

    Args:
        archive: the file to write; one that is there is replaced when the new one is complete.
        names: plugins, see `plugin_names`.
        python: interpreter that has apache-flink and the plugins' drivers; None means this one.

    Raises:
        JobFileError: the archive's name ends in none of `SUFFIXES`, or its folder is not there.
        MissingDriverError: a package is not installed, or cannot be copied.
        PackingError: the interpreter does not start, or the archive cannot be written.
    """
    if not archive.name.endswith(SUFFIXES):
        raise JobFileError(f"{archive}: the archive's name must end in {' or '.join(SUFFIXES)}")
    if not archive.absolute().parent.is_dir():
        raise JobFileError(f"{archive}: there is no folder {archive.parent}")
    began = time.monotonic()
    environment = Environment.of(python or sys.executable)
    packages = environment.closure(requirements(names))
    try:
        with tempfile.TemporaryDirectory(prefix="flinkx-pack-") as folder:
            _lay_out(Path(folder), environment, packages.values())
            _write(archive, Path(folder))
    except OSError as error:
        raise PackingError(f"{error.filename or archive}: {error.strerror or error}") from error
    return Packed(
        str(archive),
        round(archive.stat().st_size / 1e6, 1),
        round(time.monotonic() - began, 1),
        environment.minor_version,
        {name: package.version for name, package in sorted(packages.items())},
    )


def plugin_names(words: Iterable[str]) -> list[str]:
    """Plugins by what jobs and people call them: `mysql`, `mysqlreader`.

    Raises:
        JobFileError: when there is no such plugin.
    """
    return sorted({_plugin_name(word) for word in words})


def _plugin_name(word: str) -> str:
    name = word.lower()
    if name in plugins():
        return name
    parts = split_name(name)
    if parts is not None and parts[0] in plugins():
        return parts[0]
    raise JobFileError(f"unknown plugin {word!r}{did_you_mean(name, list(plugins()))}")


def requirements(names: Collection[str]) -> list[Requirement]:
    """What the nodes need for some plugins, beside this package: its own metadata says it.

    Args:
        names: plugins; one of another distribution needs that distribution.

    Raises:
        MissingDriverError: this package has no metadata, because it was not installed, or that of another version.
    """
    known = {plugin.name: plugin for plugin in plugins().values()}
    extras = {"flink", *filter(None, (known[name].extra for name in names if name in BUILT_IN))}
    try:
        ours = [Requirement(text) for text in requires(OURS) or ()]
        declared = set(metadata(OURS).get_all("Provides-Extra") or ())
    except PackageNotFoundError:
        raise MissingDriverError(f"{OURS} is not installed here: pip install it, its files alone do not do") from None
    if not extras <= declared:
        missing = ", ".join(sorted(extras - declared))
        raise MissingDriverError(f"{OURS} was installed before it had the extras {missing}: install it again")
    base = [one for one in ours if _applies(one, ()) and canonicalize_name(one.name) in ON_NODES]
    of_extras = [one for one in ours if not _applies(one, ()) and _applies(one, extras)]
    return [*base, *of_extras, *_others(names)]


def _others(names: Iterable[str]) -> Iterator[Requirement]:
    """The distributions that the plugins of others come from."""
    entries: Mapping[str, EntryPoint] = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    for name in names:
        if name not in BUILT_IN:
            dist = entries[name].dist
            assert dist is not None, "entry points that were looked up have one"
            yield Requirement(dist.metadata["Name"])


def _applies(requirement: Requirement, extras: Iterable[str], environment: Mapping[str, str] | None = None) -> bool:
    """Whether a requirement is one of a package that is installed with these extras."""
    values = dict(environment or {})
    return requirement.marker is None or any(
        requirement.marker.evaluate({**values, "extra": extra}) for extra in ("", *extras)
    )


@dataclass(frozen=True)
class Environment:
    """The packages of an interpreter.

    Args:
        python: the interpreter.
        path: where it looks for packages.
        version: such as 3.11.7.
        base: folder of the Python that it was made from.
    """

    python: str
    path: tuple[str, ...]
    version: str
    base: str

    @classmethod
    def of(cls, python: str) -> Environment:
        """Ask an interpreter.

        Raises:
            PackingError: when it does not start.
        """
        try:
            done = subprocess.run(  # noqa: S603 - the interpreter is the caller's own choice
                [python, "-c", _PROBE], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise PackingError(f"Python to pack for, {python}, does not start: {_reason(error)}") from None
        path, version, base = json.loads(done.stdout)
        return cls(python, tuple(filter(None, path)), version, base)

    @property
    def minor_version(self) -> str:
        """Such as 3.11."""
        return self.version.rpartition(".")[0]

    def closure(self, wanted: Iterable[Requirement]) -> dict[str, Distribution]:
        """The packages that are wanted, and all that they require in turn, by name.

        Raises:
            MissingDriverError: when one is not installed.
        """
        markers = {
            **{key: str(value) for key, value in default_environment().items()},
            "python_version": self.minor_version,
            "python_full_version": self.version,
        }
        found: dict[str, Distribution] = {}
        open_ones = list(wanted)
        done: set[tuple[str, frozenset[str]]] = set()
        while open_ones:
            requirement = open_ones.pop()
            name = canonicalize_name(requirement.name)
            key = (name, frozenset(requirement.extras))
            if name in _NEVER_THERE or name.startswith(_AIRFLOW) or key in done:
                continue
            done.add(key)
            found[name] = package = self._package(requirement)
            needs = map(Requirement, package.requires or ())
            open_ones += [one for one in needs if _applies(one, requirement.extras, markers)]
        return found

    def _package(self, requirement: Requirement) -> Distribution:
        found = next(iter(Distribution.discover(name=requirement.name, path=list(self.path))), None)
        if found is None:
            raise MissingDriverError(
                f"{requirement.name} is not installed for {self.python}: "
                f"pip install '{requirement.name}{requirement.specifier}' there"
            )
        return found


def _lay_out(folder: Path, environment: Environment, packages: Iterable[Distribution]) -> None:
    """Write the archive's files below `folder`."""
    launcher = folder / "bin" / "python"
    launcher.parent.mkdir()
    launcher.write_text(_LAUNCHER.format(version=environment.minor_version, base=environment.base))
    launcher.chmod(0o755)
    library = folder / "lib"
    library.mkdir()
    for package in packages:
        _copy(package, library)
    # An archive is unpacked anew for each job: without this, so would be the compilation.
    compilation = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "lib"]
    subprocess.run(  # noqa: S603 - the interpreter is the caller's own choice
        # Packages may hold files for other versions of Python, which do not compile and are never imported.
        [environment.python, *compilation],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        check=False,
    )


def _copy(package: Distribution, library: Path) -> None:
    """Copy the files of a package as its installer has listed them."""
    files = package.files
    if files is None or _is_editable(package):
        raise MissingDriverError(
            f"{package.metadata['Name']} cannot be copied, because its installer has not listed its files: "
            "install it with pip, not from the system's packages and not editable"
        )
    for file in files:
        source = Path(str(file.locate()))
        # Scripts lie outside the library. What somebody removed after the installation, the client does without too.
        if ".." in file.parts or file.is_absolute() or _NOT_FOR_RUNNING.search(str(file)) or not source.exists():
            continue
        target = library / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def _is_editable(package: Distribution) -> bool:
    origin = json.loads(package.read_text("direct_url.json") or "{}")
    return bool(origin.get("dir_info", {}).get("editable"))


def _write(archive: Path, folder: Path) -> None:
    """Pack what lies in `folder`; the archive appears when it is complete."""
    unfinished = archive.with_name(f".{archive.name}.{os.getpid()}")
    try:
        with tarfile.open(unfinished, "w:gz", compresslevel=_GZIP_LEVEL) as tar:
            for name in ("bin", "lib"):
                tar.add(folder / name, name, filter=_anonymous)
        unfinished.replace(archive)
    finally:
        unfinished.unlink(missing_ok=True)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Whose files they were on the client means nothing on a node."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _reason(error: OSError | subprocess.CalledProcessError) -> str:
    """The last thing that a program said, or why it said nothing."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    lines: list[str] = error.stderr.strip().splitlines()
    return lines[-1] if lines else f"it ends with code {error.returncode}"
