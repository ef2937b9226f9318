"""Which texts of a job are secrets, so that Airflow hides them in logs and in what it stores of a task."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from airflow_provider_flinkx.jobs.references import is_secret_key, mask_text

#: `password=x` in a JDBC URL, and `//user:x@host` in any other.
_IN_URL = re.compile(r"[?&;]([^=&;\s]+)=([^&;\s]+)|//[^/\s:@]*:([^/\s@]+)@")
#: A guess from unreadable text is hidden only when it is long enough not to spoil every line of the log.
_SHORTEST_GUESS = 5


def secrets_of(value: Any, key: str = "") -> Iterator[str]:
    """The secrets in a JSON value: texts under a key such as `password`, and passwords inside URLs.

    Args:
        value: a JSON value, templates and all.
        key: the name that the value stands under.
    """
    if isinstance(value, dict):
        for name, item in value.items():
            yield from secrets_of(item, str(name))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from secrets_of(item, key)
    elif isinstance(value, str) and is_secret_key(key):
        yield value
    elif isinstance(value, str) and "//" in value:
        yield from _secrets_of_url(value)


def _secrets_of_url(url: str) -> Iterator[str]:
    for name, value, password in _IN_URL.findall(url):
        if password:
            yield password
        elif is_secret_key(name):
            yield value


def secrets_of_text(text: str) -> Iterator[str]:
    """What look like secrets in an unreadable job text: Airflow logs a template that it cannot render."""
    for stars in re.finditer(r"\*+", mask_text(text)):
        found = text[stars.start() : stars.end()].strip("\"'")
        if len(found) >= _SHORTEST_GUESS and found.strip("*"):
            yield found
