"""Writes the tables of docs/job-reference.md anew from the JSON Schema files.

Each stands between `<!-- keys of NAME -->` and `<!-- end -->`; the text around is written by hand.
Run it as `python scripts/generate_job_reference.py` after a schema has changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_flinkx.jobs.types import KNOWN_TYPES
from airflow_provider_flinkx.jobs.validation import job_schema
from airflow_provider_flinkx.plugins.registry import schema_of

PAGE = Path(__file__).parents[1] / "docs" / "job-reference.md"
_BLOCK = re.compile(r"(?P<begin><!-- keys of (?P<name>\w+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)
_TYPE_NAMES = re.compile(r"(?P<begin><!-- type names -->\n).*?(?P<end><!-- end -->)", re.DOTALL)

Schema = Mapping[str, Any]


def with_tables(page: str) -> str:
    """The page with all its tables made anew."""
    page = _BLOCK.sub(lambda match: f"{match['begin']}{table(match['name'])}{match['end']}", page)
    names = ", ".join(f"`{name}`" for name in sorted(KNOWN_TYPES - {"id"}))
    return _TYPE_NAMES.sub(lambda match: f"{match['begin']}{names}\n{match['end']}", page)


def table(name: str) -> str:
    """The table of a plugin's keys, or of the job's for `job`."""
    schema = job_schema() if name == "job" else schema_of(name)
    required = dict(requirements(schema))
    rows = [
        f"| `{path}` | {types(item)} | {required.get(path, '')} | {default(item)} | {meaning(item)} |\n"
        for path, item in keys(schema)
    ]
    return "| key | type | required | default | meaning |\n|---|---|---|---|---|\n" + "".join(rows)


def keys(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every key with its path, a key before those inside it."""
    for key, item in schema.get("properties", {}).items():
        here = f"{path}{key}"
        yield here, item
        yield from keys(item, f"{here}.")
        yield from keys(item.get("items", {}), f"{here}[].")


def requirements(schema: Schema, path: str = "", condition: str = "yes") -> Iterator[tuple[str, str]]:
    """Which keys must be given, and when."""
    for key in schema.get("required", ()):
        yield f"{path}{key}", condition
    for rule in (schema, *schema.get("allOf", ())):
        if "else" in rule:
            other = rule["if"]["required"][0]
            yield from requirements(rule["else"], path, f"without `{other}`")
    for key, item in schema.get("properties", {}).items():
        yield from requirements(item, f"{path}{key}.", condition)
        yield from requirements(item.get("items", {}), f"{path}{key}[].", condition)


def types(schema: Schema) -> str:
    """The type names of a value; for an array those of its elements too."""
    names = schema.get("type", "any")
    texts = [names] if isinstance(names, str) else list(names)
    inner = schema.get("items", {}).get("type")
    if inner:
        elements = inner if isinstance(inner, str) else " or ".join(inner)
        texts = [f"array of {elements}" if text == "array" else text for text in texts]
    return " or ".join(texts)


def default(schema: Schema) -> str:
    """The default as it would be written in a job."""
    value = schema.get("default")
    return "" if value is None else f"`{json.dumps(value)}`".replace("|", "\\|")


def meaning(schema: Schema) -> str:
    """The description, and what else the schema says in words."""
    parts = [schema["description"]]
    if schema.get("deprecated"):
        parts.insert(0, "**No effect here.**")
    if schema.get("enum") and schema.get("type") != "boolean":
        parts.append(f"One of {', '.join(f'`{value}`' for value in schema['enum'])}.")
    if "minimum" in schema:
        parts.append(f"At least {schema['minimum']}.")
    if "examples" in schema:
        parts.append(f"Such as {', '.join(f'`{value}`' for value in schema['examples'])}.")
    for other, values in schema.get("x-only-with", {}).items():
        shown = " or ".join(f"`{json.dumps(value)}`" for value in values)
        parts.append(f"Only with `{other}`{': ' if shown else ''}{shown}.")
    if "x-aliases" in schema:
        parts.append(f"Also written {', '.join(f'`{alias}`' for alias in schema['x-aliases'])}.")
    return " ".join(parts).replace("|", "\\|")


def main() -> None:
    """Write the page."""
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
