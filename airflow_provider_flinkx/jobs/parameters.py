"""Fits a value of a job to a JSON Schema: FlinkX's coercions, then the check, then the defaults.

Values never stand in messages, because any of them may be a secret.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema

from airflow_provider_flinkx.jobs.formats import FORMATS
from airflow_provider_flinkx.jobs.problems import Problems, child, did_you_mean

Schema = Mapping[str, Any]


def fit(value: Any, schema: Schema, path: str, problems: Problems) -> Any:
    """The value with the coercions of job.md §1 applied, checked against the schema.

    - Numbers in text become numbers ("3", not "3.0", for an integer), 3.0 becomes 3.
    - Values of an `enum` get its spelling whatever their letter case.
    - null, and a blank string where there is a default, count as not given.
    - A second spelling of a key becomes the first.
    - A single text in place of an array of texts becomes that array; of an array in place of a text
      the first element is taken where the schema says so.

    Args:
        value: a plain JSON value.
        schema: as `jobs.schemas.load` gives it.
        path: path of the value in the job.
        problems: gets everything that does not fit, and warnings for unknown keys and keys without effect.
    """
    fitted = _coerced(value, schema, path, problems)
    for error in jsonschema.Draft202012Validator(schema, format_checker=FORMATS).iter_errors(fitted):
        _report(error, path, problems)
    return fitted


def with_defaults(value: Any, schema: Schema) -> Any:
    """The fitted value with the schema's defaults for keys that are not given."""
    if isinstance(value, Mapping):
        properties: Mapping[str, Schema] = schema.get("properties", {})
        # Copies: the schema is shared, and what is made of a job may be changed by its owner.
        defaults = {key: copy.deepcopy(item["default"]) for key, item in properties.items() if "default" in item}
        given = {key: with_defaults(item, properties.get(key, {})) for key, item in value.items()}
        return {**defaults, **given}
    if isinstance(value, list):
        return [with_defaults(item, schema.get("items", {})) for item in value]
    return value


def _coerced(value: Any, schema: Schema, path: str, problems: Problems) -> Any:
    types = _types(schema)
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, Mapping):
        return _coerced_object(value, schema, path, problems) if "properties" in schema else value
    if isinstance(value, list) and value and schema.get("x-first-of-array"):
        if len(value) > 1:
            problems.warn(path, f"has {len(value)} elements, only the first is used")
        return _coerced(value[0], schema, path, problems)
    if isinstance(value, str) and types == ("array",) and _types(schema.get("items", {})) == ("string",):
        return [value]
    if isinstance(value, list):
        items = schema.get("items", {})
        if schema.get("x-first-only") and len(value) > 1:
            problems.warn(path, f"has {len(value)} elements, only the first is used")
        return [_coerced(item, items, f"{path}[{index}]", problems) for index, item in enumerate(value)]
    return _coerced_scalar(value, schema, types)


def _types(schema: Schema) -> tuple[str, ...]:
    types = schema.get("type", ())
    return (types,) if isinstance(types, str) else tuple(types)


def _coerced_scalar(value: Any, schema: Schema, types: Sequence[str]) -> Any:
    if isinstance(value, str) and "enum" in schema:
        same = [member for member in schema["enum"] if member.lower() == value.strip().lower()]
        return same[0] if same else value
    if isinstance(value, str) and "string" not in types:
        return _number(value.strip(), types, value)
    if isinstance(value, float) and "integer" in types and value.is_integer():
        return int(value)
    return value


def _number(text: str, types: Sequence[str], otherwise: str) -> Any:
    if ("integer" in types or "number" in types) and re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        return int(text)
    if "number" in types and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII):
        number = float(text)
        return number if math.isfinite(number) else otherwise
    return otherwise


def _coerced_object(value: Mapping[str, Any], schema: Schema, path: str, problems: Problems) -> dict[str, Any]:
    properties: Mapping[str, Schema] = schema["properties"]
    canonical = {alias: key for key, item in properties.items() for alias in item.get("x-aliases", ())}
    result: dict[str, Any] = {}
    for key, item in value.items():
        name = canonical.get(key, key)
        if name in result:
            problems.error(child(path, key), f"given twice, {key!r} and another spelling of it; keep one")
        elif name not in properties:
            _warn_unknown(key, [*properties, *canonical], schema, path, problems)
            result[name] = item
        elif not _is_absent(item, properties[name]):
            result[name] = _coerced(item, properties[name], child(path, name), problems)
    _warn_without_effect(result, properties, path, problems)
    return result


def _is_absent(value: Any, schema: Schema) -> bool:
    if value is None:
        return True
    if not isinstance(value, str) or "default" not in schema:
        return False
    # A space or a tab is a delimiter, elsewhere it is nothing.
    return not value if schema.get("format") == "delimiter" else not value.strip()


def _warn_unknown(key: str, known: Sequence[str], schema: Schema, path: str, problems: Problems) -> None:
    if "additionalProperties" not in schema:
        problems.warn(child(path, key), f"unknown key, ignored{did_you_mean(key, known)}")


def _warn_without_effect(
    value: Mapping[str, Any], properties: Mapping[str, Schema], path: str, problems: Problems
) -> None:
    for key, item in value.items():
        schema = properties.get(key, {})
        if "default" in schema and item == schema["default"]:
            continue
        if schema.get("deprecated"):
            problems.warn(child(path, key), "accepted, but has no effect here")
        for other, wanted in schema.get("x-only-with", {}).items():
            if not _holds(value.get(other, properties[other].get("default")), wanted):
                values = " or ".join(_shown(member) for member in wanted)
                problems.warn(child(path, key), f"has no effect without {other}{' ' if values else ''}{values}")


def _holds(value: Any, wanted: Sequence[Any]) -> bool:
    return value in wanted if wanted else value is not None


def _report(error: jsonschema.ValidationError, path: str, problems: Problems) -> None:
    for element in error.absolute_path:
        path = f"{path}[{element}]" if isinstance(element, int) else child(path, str(element))
    if error.validator == "required":
        for key in error.validator_value:
            if key not in error.instance:
                problems.error(child(path, key), "is missing")
    else:
        problems.error(path or "job", _explanation(error))


def _explanation(error: jsonschema.ValidationError) -> str:
    schema, wanted = error.schema, error.validator_value
    if error.validator == "type":
        return f"must be {_any_of(wanted)}, not {_type_of(error.instance)}"
    if "x-message" in schema:
        return str(schema["x-message"])
    if error.validator == "enum":
        return f"must be one of {', '.join(_shown(member) for member in wanted)}"
    if error.validator == "minimum":
        return f"must be {wanted} or more"
    if error.validator in ("minItems", "minLength"):
        return "must not be empty"
    if error.validator == "format":
        return str(error.cause)
    if error.validator == "pattern":
        return f"must look like {' or '.join(schema.get('examples', [wanted]))}"
    return f"does not meet {error.validator!r} of its schema"


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _any_of(types: str | Sequence[str]) -> str:
    names = [types] if isinstance(types, str) else types
    return " or ".join(f"{'an' if name[0] in 'aio' else 'a'} {name}" for name in names)


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, Sequence):
        return "an array"
    return "a number" if isinstance(value, int | float) else f"a Python {type(value).__name__}"
