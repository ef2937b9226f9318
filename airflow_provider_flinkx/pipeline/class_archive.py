"""Archives of the classes that a JVM loads (Java's class data sharing), kept in the user's cache folder.

Loading and checking some ten thousand classes is a third of what the driver's JVM does for a small job; with an
archive of them it is nearly free. The first JVM of a kind writes down which classes it loads. When its job has
ended well, a process of the lowest priority makes the archive from the list, and ends. Every later JVM maps the
archive. Java itself checks that an archive fits, and goes on without it if not; one that Java cannot start with
is removed.

Nothing here may fail a job: whatever goes wrong, Java starts as it does without an archive.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LOG = logging.getLogger(__name__)
_OPTION_VARIABLES = ("JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS")
_LOWEST_PRIORITY = 19
_MAKING_SECONDS = 600.0
_FAILED_SECONDS = 24 * 3600.0
_UNUSED_SECONDS = 30 * 24 * 3600.0


@dataclass(frozen=True)
class Jvm:
    """What an archive must fit.

    Args:
        java: the program.
        class_path: jar files, in the order that Java gets them; no folders, which Java does not archive.
        environment: the JVM's, for the options in it.
        purpose: which of our JVMs it is: each loads other classes.
        folder: the run's own, whose name is in the options and differs each time.
    """

    java: Path
    class_path: tuple[Path, ...]
    environment: Mapping[str, str]
    purpose: str
    folder: Path

    def options_elsewhere(self, folder: Path) -> str:
        """The options, for a JVM that outlives the run's own folder."""
        return self.environment.get("JDK_JAVA_OPTIONS", "").replace(str(self.folder), str(folder))

    def name(self) -> str:
        """A name that only the same JVM with the same jars and options has.

        Raises:
            OSError: when one of the files cannot be looked at.
        """
        facts = [f"{variable}={self.environment.get(variable, '')}" for variable in _OPTION_VARIABLES]
        for file in (self.java.resolve(), *self.class_path):
            status = file.stat()
            facts.append(f"{file} {status.st_size} {status.st_mtime_ns}")
        text = "\n".join(facts).replace(str(self.folder), "")
        return f"{self.purpose}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


class ClassArchive:
    """The archive of one kind of JVM, made or yet to be made.

    Args:
        file: where it is, or will be. An empty file says for a day that Java could not make it.
        jvm: what it is for.
    """

    def __init__(self, file: Path, jvm: Jvm) -> None:
        self.file = file
        self._jvm = jvm
        self._list = jvm.folder / "classes"
        self._wanted = _is_missing(file)

    def options(self) -> list[str]:
        """Options for a JVM: to use the archive, or to write down its classes for it."""
        if self._wanted:
            return [f"-XX:DumpLoadedClassList={self._list}"]
        if not self.file.stat().st_size:
            return []
        os.utime(self.file)
        return ["-Xshare:auto", f"-XX:SharedArchiveFile={self.file}"]

    def discard(self) -> None:
        """Remove the archive, with which Java did not start."""
        if not self._wanted:
            _LOG.warning("Java did not start with the archive of its classes, which is removed: %s", self.file)
            with contextlib.suppress(OSError):
                self.file.unlink()

    def start_making(self) -> None:
        """Start to make the archive, if there is none, from the classes that the JVM has loaded so far.

        A process of its own does it, which neither this process nor its callers wait for: it takes ten seconds of
        one processor when nobody else wants it. Two at once do not hurt each other; the second gives up.
        """
        if not self._wanted:
            return
        try:
            classes = self.file.with_name(f"{self.file.stem}-{os.getpid()}.classes")
            classes.write_text(archivable(self._list.read_text()))
            path = os.pathsep.join(str(jar) for jar in self._jvm.class_path)
            subprocess.Popen(  # noqa: S603 - this interpreter
                [sys.executable, "-m", __name__, str(self._jvm.java), path, str(classes), str(self.file)],
                env={**self._jvm.environment, "JDK_JAVA_OPTIONS": self._jvm.options_elsewhere(self.file.parent)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            _LOG.warning("no archive of Java's classes was made, the next job starts no quicker: %s", error)
        else:
            _LOG.warning("a process makes an archive of Java's classes, later jobs start quicker: %s", self.file)


def find_class_archive(jvm: Jvm) -> ClassArchive | None:
    """The archive for a JVM; None, with a line in the log, where there is no place for one."""
    if any("SharedArchiveFile" in jvm.environment.get(variable, "") for variable in _OPTION_VARIABLES):
        return None
    try:
        folder = cache_folder(jvm.environment)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        archive = ClassArchive(folder / f"{jvm.name()}.jsa", jvm)
        if _is_missing(archive.file) and not os.access(folder, os.W_OK):
            raise PermissionError(f"{folder} cannot be written")
    except (OSError, RuntimeError) as error:
        _LOG.warning("no archive of Java's classes, the job starts without: %s", error)
        return None
    return archive


def cache_folder(environment: Mapping[str, str]) -> Path:
    """The folder of this package in the user's cache folder (XDG Base Directory Specification).

    Raises:
        RuntimeError: when the user has no home.
    """
    base = Path(environment.get("XDG_CACHE_HOME", ""))
    # The specification has relative paths ignored.
    root = base if base.is_absolute() else Path.home() / ".cache"
    return root / "airflow-provider-flinkx"


def archivable(classes: str) -> str:
    """Those lines of Java's list that an archive can take.

    The last line may be cut: the JVM goes on writing. A class with a source comes from a jar that Flink unpacks for
    each run anew.
    """
    lines = classes.splitlines(keepends=True)
    return "".join(line for line in lines if line.endswith("\n") and " source: " not in line)


def _is_missing(file: Path) -> bool:
    try:
        status = file.stat()
    except FileNotFoundError:
        return True
    return status.st_size == 0 and status.st_mtime < time.time() - _FAILED_SECONDS


def make(java: str, class_path: str, classes: Path, file: Path) -> None:
    """Make an archive from a list of classes, which is removed; the archive is there whole, empty or not at all."""
    with contextlib.ExitStack() as cleaning:
        cleaning.callback(classes.unlink, missing_ok=True)
        lock = cleaning.enter_context(file.with_suffix(".lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return  # Another process makes it.
        if not _is_missing(file):
            return
        # An empty folder: Java refuses to archive when an entry of its class path is a folder with files.
        folder = Path(cleaning.enter_context(tempfile.TemporaryDirectory(dir=file.parent)))
        made = folder / file.name
        command = [java, "-Xshare:dump", f"-XX:SharedClassListFile={classes}", f"-XX:SharedArchiveFile={made}"]
        if not _run([*command, "-cp", class_path], folder):
            # Java cannot (an agent in its options, say): the next jobs of this day need not try again.
            made.unlink(missing_ok=True)
            made.touch()
        with made.open("rb") as written:
            os.fsync(written.fileno())
        made.replace(file)
    _remove_unused(file)


def _run(command: Sequence[str], folder: Path) -> bool:
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL)  # noqa: S603 - Java, found by PyFlink
    try:
        return process.wait(_MAKING_SECONDS) == 0
    finally:
        process.kill()
        process.wait()


def _remove_unused(kept: Path) -> None:
    """Remove archives of earlier versions: nobody has used them for a month."""
    oldest = time.time() - _UNUSED_SECONDS
    for file in kept.parent.iterdir():
        with contextlib.suppress(OSError):
            if file != kept and file.stat().st_mtime < oldest:
                shutil.rmtree(file) if file.is_dir() else file.unlink()


def main() -> None:
    """Entry of the process that makes an archive."""
    java, class_path, classes, file = sys.argv[1:]
    os.nice(_LOWEST_PRIORITY)
    make(java, class_path, Path(classes), Path(file))


if __name__ == "__main__":
    main()
