"""Collects what is wrong with a job, so that everything is said at once."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from airflow_provider_flinkx.exceptions import JobInvalidError


class Problems:
    """Errors and warnings, each a line `path: what is wrong`, in the order in which they were found."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def error(self, path: str, message: str) -> None:
        """Add something that keeps the job from running."""
        _add(self.errors, f"{path}: {message}")

    def warn(self, path: str, message: str) -> None:
        """Add something that the user may not have meant."""
        _add(self.warnings, f"{path}: {message}")

    def raise_errors(self, *, strict: bool) -> None:
        """End the validation if something is wrong.

        Beside errors the warnings are listed too: a misspelt key is often why another one is missing.

        Args:
            strict: warnings alone are reason enough.

        Raises:
            JobInvalidError: with all problems.
        """
        if self.errors or (strict and self.warnings):
            warnings = self.warnings if strict else [f"{line} (warning)" for line in self.warnings]
            raise JobInvalidError(self.errors + warnings)


def _add(lines: list[str], line: str) -> None:
    if line not in lines:
        lines.append(line)


def child(path: str, key: str) -> str:
    """Path of a key inside the object at `path`; the document itself has the empty path."""
    return f"{path}.{key}" if path else key


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known word that is nearest to `word`, or nothing."""
    by_lowered = {candidate.lower(): candidate for candidate in known}
    nearest = get_close_matches(word.lower(), by_lowered, n=1, cutoff=0.7)
    return f"; did you mean {by_lowered[nearest[0]]!r}?" if nearest else ""
