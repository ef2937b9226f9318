"""How a source's connection type is declared: one value beside each plugin, which imports no Airflow.

From it are made the provider metadata, the connection forms of every Airflow version, the job parameters that a
`connectionId` stands for, and the table in the documentation. A new source writes one file:
`plugins/<name>/connection.py` with `CONNECTION = ConnectionType(...)`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_provider_flinkx.exceptions import JobFileError
from airflow_provider_flinkx.plugins.registry import Plugin, Side, load, plugins

FieldKind = Literal["string", "integer", "boolean", "json"]

#: Names of the standard fields of an Airflow connection.
StandardField = Literal["host", "port", "login", "password", "schema", "extra"]


@dataclass(frozen=True)
class Field:
    """An input of the connection form, kept under `name` in the connection's extra.

    The main secret of a source belongs in the standard `password` field: some Airflow versions show
    a secret extra in clear text.

    Args:
        name: key in the extra; letters, digits and single `_`.
        label: what the form shows.
        kind: `json` is an object, written as JSON text in a large input.
        description: help under the input, one sentence.
        default: value of an empty form.
        choices: the only values allowed; `string` fields only.
        secret: shown as a password box where Airflow can.
    """

    name: str
    label: str
    kind: FieldKind = "string"
    description: str = ""
    default: str | int | bool | None = None
    choices: tuple[str, ...] = ()
    secret: bool = False


@dataclass(frozen=True)
class ConnectionValues:
    """What a stored connection holds; empty inputs are None, whatever the Airflow version stored."""

    connection_id: str
    conn_type: str
    host: str | None = None
    port: int | None = None
    login: str | None = None
    password: str | None = None
    schema: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def required(self, name: Literal["host", "login", "schema"], label: str) -> str:
        """The value of a standard field that the source cannot do without.

        Raises:
            JobFileError: when it is empty; `label` says what it is called in the form.
        """
        value: str | None = getattr(self, name)
        if not value:
            raise JobFileError(f"connection {self.connection_id!r}: {label} is empty")
        return value

    def json_object(self, name: str) -> Mapping[str, Any]:
        """The object of a `json` field, which one form stores as an object and another as text.

        Raises:
            JobFileError: when it is neither an object nor the JSON text of one.
        """
        value = self.extra.get(name) or {}
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as error:
                raise JobFileError(f"connection {self.connection_id!r}: {name} is not JSON: {error}") from None
        if not isinstance(value, Mapping):
            raise JobFileError(f"connection {self.connection_id!r}: {name} must be a JSON object")
        return value


#: Turns a stored connection into parameters of a reader or writer.
ToParameters = Callable[[Side, ConnectionValues], Mapping[str, Any]]


@dataclass(frozen=True)
class ConnectionType:
    """Declaration of one connection type.

    Args:
        conn_type: Airflow's key; lower case, single `_`: `-` and `__` do not survive its URIs and forms.
        name: what the drop-down shows.
        hook_class: dotted path of the hook.
        fields: inputs beyond the standard ones.
        hidden: standard fields that mean nothing here.
        relabel: standard field -> label.
        placeholders: field -> grey example text.
        accepts: connection types of other providers that a `connectionId` may name as well.
        to_parameters: connection -> parameters that a `connectionId` stands for; None for types that are no source.
    """

    conn_type: str
    name: str
    hook_class: str
    fields: tuple[Field, ...] = ()
    hidden: tuple[StandardField, ...] = ()
    relabel: Mapping[StandardField, str] = field(default_factory=dict)
    placeholders: Mapping[str, str] = field(default_factory=dict)
    accepts: tuple[str, ...] = ()
    to_parameters: ToParameters | None = None

    def parameters(self, side: Side, values: ConnectionValues) -> Mapping[str, Any]:
        """Parameters of a job's reader or writer that this connection fills in.

        Raises:
            JobFileError: when the connection is of another type, or lacks what the source needs.
        """
        allowed = (self.conn_type, *self.accepts)
        if values.conn_type not in allowed or self.to_parameters is None:
            raise JobFileError(
                f"connection {values.connection_id!r} is of type {values.conn_type!r}; "
                f"allowed here: {', '.join(allowed)}"
            )
        return self.to_parameters(side, values)

    def provider_info(self) -> dict[str, Any]:
        """The entry of `connection-types` in the provider metadata; Airflow 3.2+ makes the form from it."""
        return {
            "connection-type": self.conn_type,
            "hook-class-name": self.hook_class,
            "hook-name": self.name,
            "ui-field-behaviour": {
                "hidden-fields": list(self.hidden),
                "relabeling": dict(self.relabel),
                "placeholders": dict(self.placeholders),
            },
            "conn-fields": {field.name: _form_field(field) for field in self.fields},
        }


def _form_field(field: Field) -> dict[str, Any]:
    """A field as Airflow 3.2+ reads it: a label and a JSON Schema."""
    # An object is kept as the text that the user typed: the older forms can store nothing else.
    schema: dict[str, Any] = {"type": ["string" if field.kind == "json" else field.kind, "null"]}
    if field.kind == "json":
        schema["format"] = "multiline"
    if field.secret:
        schema["format"] = "password"
    if field.choices:
        schema["enum"] = list(field.choices)
    if field.default is not None:
        schema["default"] = field.default
    form_field: dict[str, Any] = {"label": field.label, "schema": schema}
    if field.description:
        form_field["description"] = field.description
    return form_field


def connection_type(plugin: Plugin) -> ConnectionType | None:
    """The connection type that a plugin declares, if any."""
    if plugin.connection is None:
        return None
    declared: ConnectionType = load(plugin.connection, f"the connection of {plugin.name}", plugin.extra)
    return declared


def connection_types() -> tuple[ConnectionType, ...]:
    """The connection types of all installed plugins, sorted by plugin name; plugins may share one."""
    declared = (connection_type(plugin) for plugin in plugins().values())
    return tuple({found.conn_type: found for found in declared if found is not None}.values())
