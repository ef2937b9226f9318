"""How files of a job appear: written in a hidden directory, moved to their place when all are complete.

The hidden directory `.flinkx-<job key>~<attempt>~<execution>` lies in the target directory, so that moving is renaming;
where each table of a job has a directory of its own, in the one that they are all below. A split is written in
`<hidden>/new/<directory>/<split>.part` and committed by renaming that to `.../<split>`. Publication notes in
`<hidden>/publication.json` what it is going to do, then moves replaced files into the hidden directory and new ones
out of it, one directory after the other. Between the first and the last rename a reader may see a part of them: no
file system renames many files in one step. One rename of the note ends it, for all directories. A publication that was
broken off is undone by `abort`, or by the next attempt of the same job.

Flink may run a submission again by itself while tasks of its first run still write. The second run removes the hidden
directory of the first, which can write no more then; and files that the first has published are replaced by its own.
So are, when a run is tried again, the files of a try that had published and could not tell any more.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import posixpath
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import pyarrow.fs as pafs

from airflow_provider_flinkx.exceptions import DataError
from airflow_provider_flinkx.plugins.base import RunContext
from airflow_provider_flinkx.plugins.files.filesystem import Location, errors

_HIDDEN_PREFIX: Final = ".flinkx-"
#: Between job key and attempt; in no job key, so no key is the beginning of another's directory.
_SEPARATOR: Final = "~"
_NOTE: Final = "publication.json"
_DONE_NOTE: Final = "published.json"
_NEW: Final = "new"
_REPLACED: Final = "replaced"
#: File names end at 255 bytes; the rest is for attempt, split and ending.
_LONGEST_KEY: Final = 150


class _Moves(NamedTuple):
    """What publication does in one of the target directories: names of the files that come and go."""

    directory: str
    new: Sequence[str]
    old: Sequence[str]


class Publication:
    """The files of one run of a job on their way to their directories.

    Args:
        location: file system, and the directory that all target directories are, or are below.
        directories: the target directories of all that is prepared, written or published here, as paths below it.
        context: job key, attempt and execution.
    """

    def __init__(self, location: Location, directories: Sequence[str], context: RunContext) -> None:
        self._filesystem = location.filesystem
        self._url = location.url
        self.target = location.path
        self._directories = directories
        key = _short(context.job_key)
        self._file_prefix = f"flinkx-{key}-{context.attempt}-"
        attempt = "[^-]+" if context.take_finished else re.escape(context.attempt)
        self._replaced_names = re.compile(rf"flinkx-{re.escape(key)}-{attempt}-\d{{5,}}-\d{{3,}}\..*")
        self._of_key = f"{_HIDDEN_PREFIX}{key}{_SEPARATOR}"
        self._of_run = f"{self._of_key}{context.attempt}{_SEPARATOR}{context.execution}"
        self._hidden = posixpath.join(self.target, self._of_run)

    def prepare(self) -> None:
        """Make the directories; remove what other runs of this job left, and nothing of other jobs.

        Raises:
            DataError: a target is a file, or cannot be written.
        """
        for directory in self._directories:
            self._make(self._target_of(directory))
        with errors(self._url, self.target):
            self._remove_all(self._of_key)
            for directory in self._directories:
                self._filesystem.create_dir(self._new(directory), recursive=True)

    def _make(self, target: str) -> None:
        with errors(self._url, target):
            (info,) = self._filesystem.get_file_info([target])
            if info.is_file:
                raise DataError(f"{self._url}{target}: is a file; path must be a directory")
            self._filesystem.create_dir(target, recursive=True)

    def file_name(self, split: int, number: int, ending: str) -> str:
        """The name of file `number` of a split, such as `flinkx-<job key>-<attempt>-00002-000.parquet`."""
        return f"{self._file_prefix}{split:05d}-{number:03d}{ending}"

    def begin_split(self, split: int) -> str:
        """An empty directory for the files of a split; what an earlier try of it wrote is removed.

        Raises:
            DataError: another run of the job has begun.
        """
        directory = self._part(split)
        with errors(self._url, directory):
            self._check_is_ours()
            self._delete(directory)
            self._filesystem.create_dir(directory, recursive=False)
        return directory

    def commit_split(self, split: int) -> None:
        """The files of a split are complete."""
        with errors(self._url, self._part(split)):
            self._check_is_ours()
            self._delete(self._committed(split))
            self._filesystem.move(self._part(split), self._committed(split))

    def rollback_split(self, split: int) -> None:
        """Remove the files of a split that is not committed."""
        with errors(self._url, self._part(split)):
            self._delete(self._part(split))

    def publish(self, *, overwrite: bool) -> None:
        """Move the files of all committed splits into the target directories.

        Args:
            overwrite: whether everything else there whose name does not begin with `.` is removed; else only what
                another run of the same submission has published, or, in another try of a run, an earlier one that died
                before it could tell.

        Raises:
            DataError: it failed; nothing of it is to be seen then, unless undoing fails as well.
        """
        with errors(self._url, self.target):
            self._check_is_ours()
            new = {directory: self._committed_files(directory) for directory in self._directories}
            old = {directory: self._replaced_files(directory, overwrite=overwrite) for directory in self._directories}
            note = [_Moves(directory, _names(new[directory]), _names(old[directory])) for directory in new]
            self._write_note(json.dumps(note))
            try:
                for directory in self._directories:
                    self._move_all(old[directory], posixpath.join(self._hidden, _REPLACED, directory))
                    self._move_all(new[directory], self._target_of(directory))
                self._filesystem.move(self._in_hidden(_NOTE), self._in_hidden(_DONE_NOTE))
            except Exception:
                self._undo(self._hidden)
                raise
            self._delete(self._hidden)

    def abort(self) -> None:
        """Remove everything that is not published; undo a publication that was broken off."""
        with errors(self._url, self.target):
            self._remove_all(self._of_run)

    def _check_is_ours(self) -> None:
        """Only the run that has begun last has a hidden directory."""
        if not self._exists(self._hidden):
            raise DataError(f"{self._url}{self._hidden}: is gone: another run of this job has begun meanwhile")

    def _committed_files(self, directory: str) -> list[pafs.FileInfo]:
        committed = [entry for entry in self._list(self._new(directory)) if entry.base_name.isdigit()]
        return [file for split in committed for file in self._list(split.path)]

    def _replaced_files(self, directory: str, *, overwrite: bool) -> list[pafs.FileInfo]:
        visible = [entry for entry in self._list(self._target_of(directory)) if not entry.base_name.startswith(".")]
        return [entry for entry in visible if overwrite or self._replaced_names.fullmatch(entry.base_name)]

    def _move_all(self, entries: list[pafs.FileInfo], directory: str) -> None:
        if entries:
            self._filesystem.create_dir(directory, recursive=True)
        for entry in entries:
            self._filesystem.move(entry.path, posixpath.join(directory, entry.base_name))

    def _remove_all(self, prefix: str) -> None:
        """Remove hidden directories, by what their names begin with."""
        for entry in self._list(self.target):
            if entry.base_name.startswith(prefix):
                self._undo(entry.path)
                self._delete(entry.path)

    def _undo(self, hidden: str) -> None:
        note = self._read_note(posixpath.join(hidden, _NOTE))
        if note is None:
            return
        for moves in itertools.starmap(_Moves, note):
            target = self._target_of(moves.directory)
            for name in moves.new:
                self._delete(posixpath.join(target, name))
            for name in moves.old:
                replaced = posixpath.join(hidden, _REPLACED, moves.directory, name)
                if self._exists(replaced):
                    self._filesystem.move(replaced, posixpath.join(target, name))
        self._filesystem.delete_file(posixpath.join(hidden, _NOTE))

    def _write_note(self, text: str) -> None:
        """Written beside and renamed, so that a note is never half there."""
        with self._filesystem.open_output_stream(self._in_hidden(_NOTE + ".part")) as stream:
            stream.write(text.encode())
        self._filesystem.move(self._in_hidden(_NOTE + ".part"), self._in_hidden(_NOTE))

    def _read_note(self, path: str) -> Any:
        if not self._exists(path):
            return None
        with self._filesystem.open_input_stream(path) as stream:
            return json.loads(stream.readall())

    def _in_hidden(self, name: str) -> str:
        return posixpath.join(self._hidden, name)

    def _target_of(self, directory: str) -> str:
        return posixpath.join(self.target, directory).rstrip("/")

    def _new(self, directory: str) -> str:
        return posixpath.join(self._hidden, _NEW, directory).rstrip("/")

    def _committed(self, split: int) -> str:
        (directory,) = self._directories
        return posixpath.join(self._new(directory), f"{split:05d}")

    def _part(self, split: int) -> str:
        return self._committed(split) + ".part"

    def _list(self, directory: str) -> list[pafs.FileInfo]:
        found: list[pafs.FileInfo] = self._filesystem.get_file_info(pafs.FileSelector(directory))
        return sorted(found, key=lambda info: info.path)

    def _exists(self, path: str) -> bool:
        (info,) = self._filesystem.get_file_info([path])
        return bool(info.type != pafs.FileType.NotFound)

    def _delete(self, path: str) -> None:
        (info,) = self._filesystem.get_file_info([path])
        if info.type == pafs.FileType.NotFound:
            return
        with contextlib.suppress(FileNotFoundError):
            delete = self._filesystem.delete_file if info.is_file else self._filesystem.delete_dir
            delete(path)


def _names(files: Sequence[pafs.FileInfo]) -> list[str]:
    return [file.base_name for file in files]


def _short(key: str) -> str:
    """The job key, with a hash in place of the end of a long one."""
    if len(key) <= _LONGEST_KEY:
        return key
    return f"{key[:_LONGEST_KEY]}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
