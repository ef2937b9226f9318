"""Job text to a plain value, as leniently as FlinkX reads it (job.md §1).

The parser is the standard library's. Before it, a pass over the tokens turns FlinkX's spellings into
strict JSON and leaves everything else as it is, so that a place in the result can be told in the source.
"""

from __future__ import annotations

import json
import logging
import os
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from airflow_provider_flinkx.exceptions import JobTextError
from airflow_provider_flinkx.jobs.references import mask_text

# Each form can match in one way only: inside a lookahead a comment must not end early or late.
_COMMENT = r"(?://|\#)[^\r\n]*(?=[\r\n]|\Z)|/\*(?:(?!\*/).)*\*/"
_TOKEN = re.compile(
    rf"""
      (?P<double>"(?:[^"\\]|\\.)*")
    | (?P<single>'(?:[^'\\]|\\.)*')
    | (?P<open>["'])
    | (?P<comment>{_COMMENT})
    | (?P<last_comma>[,;](?=(?:\s|{_COMMENT})*[}}\]]))
    | (?P<comma>;)
    | (?P<colon>=>?)
    | (?P<name>[^\s{{}}\[\]:,;=/\\\#"']+(?=\s*[:=]))
    | (?P<word>[^\s{{}}\[\]:,;=/\\\#"']+)
    """,
    re.VERBOSE | re.DOTALL,
)
_LITERAL = re.compile(r"true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_PLACEHOLDER = re.compile(r"\$\{([^{}]+)\}")
_AROUND = 30

Warn = Callable[[str], None]
_log = logging.getLogger(__name__)


def read_job(source: Mapping[str, Any] | str | os.PathLike[str], *, warn: Warn = _log.warning) -> Mapping[str, Any]:
    """The job as a plain value.

    Args:
        source: a dict; JSON text; or the path of a file. A `str` is a path if it is one line that
            ends with `.json`.
        warn: gets a line for each key that is given twice.

    Raises:
        JobTextError: the file or its text is not readable.
    """
    if isinstance(source, Mapping):
        return source
    if isinstance(source, str) and not _is_path(source):
        return parse_job(source, warn=warn)
    return parse_job(read_text(source), where=os.fspath(source), warn=warn)


def _is_path(text: str) -> bool:
    stripped = text.strip()
    return stripped.endswith(".json") and "\n" not in stripped and not stripped.startswith("{")


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a job file, which is UTF-8.

    Raises:
        JobTextError: the file is not there, may not be read, or is not UTF-8.
    """
    try:
        return Path(path).read_text("utf-8-sig")
    except OSError as error:
        raise JobTextError(f"{os.fspath(path)}: cannot read the job file: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise JobTextError(
            f"{os.fspath(path)}: not UTF-8: byte {error.start} is {error.object[error.start]:#04x}"
        ) from error


def replace_placeholders(text: str, values: Mapping[str, str], *, warn: Warn = _log.warning) -> str:
    """Replace `${name}` everywhere in a job text (cli.md, `-p`); names without a value stay as they are.

    Args:
        text: the job text, before it is parsed.
        values: name to text, put in as it is.
        warn: gets a line for each name that is not in the text.
    """
    for name in values.keys() - set(_PLACEHOLDER.findall(text)):
        warn(f"-p {name}: the job has no ${{{name}}}")
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def parse_job(text: str, *, where: str = "job", warn: Warn = _log.warning) -> Mapping[str, Any]:
    """Parse a job text.

    Args:
        text: JSON, or what FlinkX takes for it: comments, single quotes, names and words without quotes,
            `;` for `,`, `=` or `=>` for `:`, control characters in strings, a comma after the last element.
        where: name of the text for messages.
        warn: gets a line for each key that is given twice; the last one counts.

    Raises:
        JobTextError: with line, column and the text around.
    """
    strict, places = _strict(text, where)

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(items)
        if len(value) < len(items):
            names = [name for name, _ in items]
            for name in value:
                if names.count(name) > 1:
                    warn(f"{where}: key {name!r} is given {names.count(name)} times in one object, the last counts")
        return value

    try:
        job = json.loads(strict, strict=False, object_pairs_hook=pairs, parse_float=_exact_float)
    except json.JSONDecodeError as error:
        raise _unreadable(text, places.source(error.pos), error.msg, where) from error
    except _InexactNumberError as error:
        raise _unreadable(
            text, text.find(str(error)), f"{error} has too many digits, put it in quotes", where
        ) from error
    except RecursionError as error:
        raise JobTextError(f"{where}: nested too deeply") from error
    if not isinstance(job, dict):
        raise _unreadable(text, 0, 'a job is an object: {"job": …}', where)
    return job


class _InexactNumberError(ValueError):
    """A number that a double cannot hold; the text is the number."""


def _exact_float(literal: str) -> float:
    value = float(literal)
    # repr is the shortest text of the double: if it is another number, digits would be lost silently.
    if Decimal(literal) != Decimal(repr(value)):
        raise _InexactNumberError(literal)
    return value


class _Places:
    """Where each token of the strict text stood in the source."""

    def __init__(self) -> None:
        self._strict: list[int] = [0]
        self._source: list[int] = [0]

    def add(self, strict: int, source: int) -> None:
        self._strict.append(strict)
        self._source.append(source)

    def source(self, strict: int) -> int:
        token = bisect_right(self._strict, strict) - 1
        return self._source[token] + strict - self._strict[token]


def _strict(text: str, where: str) -> tuple[str, _Places]:
    parts: list[str] = []
    places = _Places()
    length = end = 0
    for match in _TOKEN.finditer(text):
        if match.lastgroup == "open":
            raise _unreadable(text, match.start(), "this quote is not closed", where)
        between = text[end : match.start()]
        token = _strict_token(match)
        parts += (between, token)
        length += len(between)
        places.add(length, match.start())
        length += len(token)
        end = match.end()
        places.add(length, end)
    parts.append(text[end:])
    return "".join(parts), places


def _strict_token(match: re.Match[str]) -> str:
    kind, token = match.lastgroup, match[0]
    if kind in ("comment", "last_comma"):
        return " "
    if kind == "comma":
        return ","
    if kind == "colon":
        return ":"
    if kind == "single":
        return '"' + re.sub(r"\\.|\"", _strict_escape, token[1:-1], flags=re.DOTALL) + '"'
    if kind == "double":
        return re.sub(r"\\.", _strict_escape, token, flags=re.DOTALL)
    if kind == "word" and _LITERAL.fullmatch(token):
        return token
    return json.dumps(token)


def _strict_escape(match: re.Match[str]) -> str:
    return {"\\'": "'", '"': '\\"'}.get(match[0], match[0])


def _unreadable(text: str, position: int, message: str, where: str) -> JobTextError:
    position = max(0, min(position, len(text)))
    line = text.count("\n", 0, position) + 1
    line_start = text.rfind("\n", 0, position) + 1
    column = position - line_start + 1
    masked = mask_text(text)
    around = " ".join(masked[max(0, position - _AROUND) : position + _AROUND].split())
    return JobTextError(f"{where}: line {line}, column {column}: {message}; near {around!r}")
