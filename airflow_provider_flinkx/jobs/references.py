"""Connection references (`connectionId`) of a job, and secrets that must not be shown.

A reference is looked up only when the job runs: what is stored and logged before holds no password.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from airflow_provider_flinkx.exceptions import FlinkXError, JobInvalidError

MASK = "***"

Side = Literal["reader", "writer"]
SIDES: tuple[Side, Side] = ("reader", "writer")

#: (connection id, plugin such as `mysql`, side) -> parameters; a FlinkXError of it is a problem of this reference.
Lookup = Callable[[str, str, Side], Mapping[str, Any]]

_SENSITIVE = r"passw(?:or)?d|passphrase|secret|token|access_?key|api_?key|private_?key|credential"
_SECRET_KEY = re.compile(_SENSITIVE, re.IGNORECASE)
# user:password@ of a URL, and password=… of its query.
_SECRET_IN_URL = re.compile(
    rf"(?P<before>://[^/?\s:@\"']*:)[^@/\s\"']+(?=@)"
    rf"|(?P<key>[?&;][^=&;\s]*(?:{_SENSITIVE})[^=&;\s]*=)[^&;\s\"']+",
    re.IGNORECASE,
)
_SECRET_IN_TEXT = re.compile(
    rf"(?P<key>(?:{_SENSITIVE})\w*[\"']?\s*(?::|=>?)\s*)"
    r"(?P<value>\"(?:[^\"\\\n]|\\.)*\"?|'(?:[^'\\\n]|\\.)*'?|[^\s,;}\"']+)",
    re.IGNORECASE,
)


def resolve(document: Mapping[str, Any], lookup: Lookup) -> dict[str, Any]:
    """A copy of the job in which every `connectionId` is replaced by the parameters it stands for.

    It stands in a reader or writer, or in an element of `connection` of a reader that has a login for each.
    Keys written in the job win over those of the connection, key by key inside objects, and element
    by element inside arrays of objects such as `connection`.

    Args:
        document: a job as `jobs.text.read_job` gives it.
        lookup: gives the parameters.

    Raises:
        JobInvalidError: for references that cannot be looked up, with their paths.
    """
    problems: list[str] = []

    def found(of: Mapping[str, Any], name: Any, side: Side, path: str) -> Mapping[str, Any]:
        """What the reference in a parameter, or in a part of one, stands for."""
        try:
            return lookup(of["connectionId"], str(name or "").lower().removesuffix(side), side)
        except FlinkXError as error:
            problems.append(f"{path}.connectionId: {of['connectionId']!r}: {error}")
            return {}

    def element(value: Any, name: Any, side: Side, path: str) -> Any:
        if not isinstance(value, Mapping) or not value.get("connectionId"):
            return value
        return _with_login(found(value, name, side, path), value)

    def endpoint(value: Any, side: Side, path: str) -> Any:
        parameter = value.get("parameter") if isinstance(value, Mapping) else None
        if not isinstance(parameter, Mapping):
            return value
        changed = dict(parameter)
        if parameter.get("connectionId"):
            own = _without_reference(parameter)
            changed = _merged(found(parameter, value.get("name"), side, f"{path}.parameter"), own)
        connections = changed.get("connection")
        if isinstance(connections, list):
            changed["connection"] = [
                element(one, value.get("name"), side, f"{path}.parameter.connection[{place}]")
                for place, one in enumerate(connections)
            ]
        return {**value, "parameter": changed}

    def content(value: Any, index: int) -> Any:
        if not isinstance(value, Mapping):
            return value
        path = f"job.content[{index}]"
        return {**value, **{side: endpoint(value[side], side, f"{path}.{side}") for side in SIDES if side in value}}

    job = document.get("job")
    if not isinstance(job, Mapping) or not isinstance(job.get("content"), list):
        return dict(document)
    resolved = [content(value, index) for index, value in enumerate(job["content"])]
    if problems:
        raise JobInvalidError(problems)
    return {**document, "job": {**job, "content": resolved}}


def _with_login(found: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """An element of `connection` with address, user and password of the connection that it names."""
    address = (found.get("connection") or [{}])[0]
    login = {key: found[key] for key in ("username", "password") if key in found}
    return {**address, **login, **_without_reference(own)}


def _without_reference(parameter: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in parameter.items() if key != "connectionId"}


def _merged(found: Any, own: Any) -> Any:
    if isinstance(found, Mapping) and isinstance(own, Mapping):
        both = {key: _merged(found[key], own[key]) for key in found.keys() & own.keys()}
        return {**found, **own, **both}
    if _are_objects(found) and _are_objects(own):
        pairs = [_merged(*pair) for pair in zip(found, own, strict=False)]
        return pairs + own[len(pairs) :]
    return own


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)


def is_secret_key(key: str) -> bool:
    """Whether values under a key of this name must not be shown."""
    return _SECRET_KEY.search(key) is not None


def mask(value: Any) -> Any:
    """A copy of a job, or a part of one, that may be shown: secrets are `***`, also those inside URLs."""
    if isinstance(value, Mapping):
        return {key: MASK if is_secret_key(key) and item else mask(item) for key, item in value.items()}
    if isinstance(value, list):
        return [mask(item) for item in value]
    if isinstance(value, str):
        return mask_url(value)
    return value


def mask_url(text: str) -> str:
    """The text with passwords inside URLs replaced by `***`."""
    return _SECRET_IN_URL.sub(lambda match: f"{match['before'] or match['key']}{MASK}", text)


def mask_text(text: str) -> str:
    """A job text of the same length in which every character of a secret is `*`; it need not be valid JSON."""

    def stars(match: re.Match[str]) -> str:
        shown = match["key"] or match.groupdict().get("before") or ""
        return shown + "*" * (len(match[0]) - len(shown))

    return _SECRET_IN_URL.sub(stars, _SECRET_IN_TEXT.sub(stars, text))
