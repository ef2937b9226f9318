"""Reads the JSON Schema files that say which keys a job may have.

The files are JSON Schema 2020-12 with these additions, all annotations to other tools:

`$ref`: `package.name/file.json`, a file inside a Python package, so that other distributions can build
on it too. The keys beside it narrow what it refers to.
`deprecated`: the key is accepted for the sake of existing jobs and has no effect here.
`x-aliases`: other spellings of a key (job.md §15.9).
`x-only-with`: `{other key: [its values]}`; with any other value the key is not looked at.
`x-first-of-array`: an array is taken for its first element (job.md §2).
`x-first-only`: only the first element of the array is used.
`x-unknown-type`: in the schema of `column`, whether an unknown type name is an `error` or a `warning`.
`format`: one of `jobs.formats`, which are checked; others (`password`, `delimiter`) say how a text is treated.
`x-publishes-at-end`: of a writer, whether nothing of it is to be seen before the job ends.
`x-message`: what to say when this schema is not met.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any


@cache
def load(package: str, name: str) -> Mapping[str, Any]:
    """The schema in the file `name` of `package`, with every `$ref` replaced by what it refers to.

    The result is shared: do not change it.
    """
    text = resources.files(package).joinpath(name).read_text("utf-8")
    schema: Mapping[str, Any] = _resolved(json.loads(text))
    return schema


def _resolved(node: Any) -> Any:
    if isinstance(node, list):
        return [_resolved(item) for item in node]
    if not isinstance(node, dict):
        return node
    own = {key: _resolved(value) for key, value in node.items() if key != "$ref"}
    if "$ref" not in node:
        return own
    package, _, name = node["$ref"].partition("/")
    return _merged(load(package, name), own)


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merged(merged[key], value)
        else:
            merged[key] = value
    return merged
