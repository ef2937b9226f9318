"""The `column` list of a reader or writer (job.md §10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_flinkx.jobs.model import Column
from airflow_provider_flinkx.jobs.problems import Problems, did_you_mean
from airflow_provider_flinkx.jobs.types import KNOWN_TYPES, MOST_DIGITS, TypeName, parse_type


def parse_columns(
    value: Sequence[Any], path: str, problems: Problems, *, unknown_type: str | None = None
) -> tuple[Column, ...]:
    """Parse a column list whose elements fit the plugin's schema.

    Args:
        value: `["*"]`, names, or objects.
        path: path of the list in the job, for messages.
        problems: gets what is wrong with it.
        unknown_type: "error" or "warning" for type names that are not known, None to accept them.

    Returns:
        The columns; empty for `["*"]`.
    """
    if list(value) == ["*"]:
        return ()
    _check_spelling(value, path, problems)
    return tuple(_column(item, f"{path}[{index}]", problems, unknown_type) for index, item in enumerate(value))


def _check_spelling(value: Sequence[Any], path: str, problems: Problems) -> None:
    if not value:
        return
    first_is_name = isinstance(value[0], str)
    for index, item in enumerate(value):
        if item == "*":
            problems.error(f"{path}[{index}]", '"*" means all columns and must stand alone')
        elif isinstance(item, Mapping if first_is_name else str):
            problems.error(f"{path}[{index}]", "names and objects must not be mixed in one column list")


def _column(item: Any, path: str, problems: Problems, unknown_type: str | None) -> Column:
    if isinstance(item, str):
        if not item.strip():
            problems.error(path, "the name is empty")
        return Column(name=item)
    if not isinstance(item, Mapping):
        return Column()  # The plugin's schema has said that it is neither a name nor an object.
    type_name = parse_type(item["type"]) if isinstance(item.get("type"), str) else None
    if type_name is not None:
        _check_type(type_name, f"{path}.type", problems, unknown_type)
    return Column(
        name=item.get("name"),
        index=item.get("index"),
        type=type_name.name if type_name else None,
        type_arguments=type_name.arguments if type_name else (),
        value=_text(item.get("value"), f"{path}.value", problems),
        format=item.get("format"),
        splitter=item.get("splitter"),
        is_part=item.get("isPart", False),
    )


def _check_type(type_name: TypeName, path: str, problems: Problems, unknown_type: str | None) -> None:
    name = type_name.name
    if name in ("decimal", "number") and type_name.arguments:
        precision, scale = (*type_name.arguments, 0)[:2]
        if not (1 <= precision <= MOST_DIGITS and scale <= precision):
            problems.error(path, f"a {name} has 1 to {MOST_DIGITS} digits, and not more of them after the point")
    elif not type_name.known and unknown_type == "error":
        problems.error(path, f"unknown type {name!r}{did_you_mean(name, KNOWN_TYPES)}")
    elif not type_name.known and unknown_type == "warning":
        problems.warn(path, f"unknown type {name!r}, values are not converted{did_you_mean(name, KNOWN_TYPES)}")


def _text(value: Any, path: str, problems: Problems) -> str | None:
    """A constant as text, as the user wrote it: 26 is "26", true is "true"."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    problems.error(path, "must be a string, a number or a boolean")
    return None
