"""Base of every hook whose connection form is generated from its `ConnectionType`.

Airflow 2.11, 3.0 and 3.1 ask the hook class for the form (newer ones read the provider metadata, which is made from
the same declaration).
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

from airflow_provider_flinkx.compat import BaseHook, Connection
from airflow_provider_flinkx.exceptions import FlinkXError
from airflow_provider_flinkx.plugins.connection import ConnectionType, ConnectionValues, Field


class DeclaredHook(BaseHook):  # type: ignore[misc]
    """A hook that is declared by a connection type: `class MyHook(DeclaredHook, connection=CONNECTION)`."""

    declared: ClassVar[ConnectionType]
    conn_name_attr: ClassVar[str] = "conn_id"

    def __init_subclass__(cls, *, connection: ConnectionType | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if connection is None:  # a base of such hooks
            return
        cls.declared = connection
        cls.conn_type = connection.conn_type
        cls.hook_name = connection.name
        cls.default_conn_name = f"{connection.conn_type}_default"
        # Airflow looks for these two in the class itself; inherited ones do not count.
        cls.get_connection_form_widgets = staticmethod(lambda: form_widgets(connection))
        cls.get_ui_field_behaviour = staticmethod(lambda: field_behaviour(connection))

    def __init__(self, conn_id: str | None = None) -> None:
        super().__init__()
        self.conn_id: str = conn_id or self.default_conn_name

    def values(self) -> ConnectionValues:
        """The stored connection.

        Raises:
            AirflowNotFoundException: when there is none of this id.
        """
        return connection_values(self.get_connection(self.conn_id))

    def parameters(self) -> Mapping[str, Any]:
        """The parameters of a reader that the connection fills in.

        Raises:
            JobFileError: when it lacks something.
        """
        return self.declared.parameters("reader", self.values())

    def test_connection(self) -> tuple[bool, str]:
        """Airflow's test button: whether `check` went well, and one line for the user."""
        try:
            return True, self.check()
        except FlinkXError as error:
            return False, str(error)

    @abc.abstractmethod
    def check(self) -> str:
        """Log in as a job would, and say in one line what answered.

        Raises:
            FlinkXError: when it does not answer, refuses the login, or the connection lacks something.
        """


def connection_values(connection: Connection) -> ConnectionValues:
    """A stored connection as plain values: one Airflow stores an empty input as "", another as null."""
    return ConnectionValues(
        connection_id=connection.conn_id,
        conn_type=connection.conn_type,
        host=connection.host or None,
        port=int(connection.port) if connection.port else None,
        login=connection.login or None,
        password=connection.password or None,
        schema=connection.schema or None,
        extra={name: value for name, value in connection.extra_dejson.items() if value not in (None, "")},
    )


def field_behaviour(connection: ConnectionType) -> dict[str, Any]:
    """Hidden and renamed standard fields, and grey example texts, as the hook class gives them."""
    return {
        "hidden_fields": list(connection.hidden),
        "relabeling": dict(connection.relabel),
        "placeholders": dict(connection.placeholders),
    }


def form_widgets(connection: ConnectionType) -> dict[str, Any]:
    """The extra inputs of the form, as the hook class gives them; field name -> form field."""
    return {field.name: _widget(field) for field in connection.fields}


def _widget(field: Field) -> Any:
    # Here, because a worker of Airflow 3 has none of these packages.
    from wtforms import BooleanField, IntegerField, PasswordField, StringField
    from wtforms.validators import Optional, any_of

    if field.kind == "boolean":
        return BooleanField(field.label, description=field.description, default=bool(field.default))
    # Airflow 2 knows no other kinds of field, only other widgets.
    kind = IntegerField if field.kind == "integer" else PasswordField if field.secret else StringField
    validators = [Optional(), any_of(field.choices)] if field.choices else [Optional()]
    return kind(
        field.label,
        validators=validators,
        description=_description(field),
        default=field.default,
        **_look(field),
    )


def _look(field: Field) -> dict[str, Any]:
    """The widget that makes an input look like the standard ones; Airflow 3.0 may be without it."""
    try:
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextAreaFieldWidget, BS3TextFieldWidget
    except ImportError:
        return {}
    if field.secret:
        return {"widget": BS3PasswordFieldWidget()}
    return {"widget": BS3TextAreaFieldWidget() if field.kind == "json" else BS3TextFieldWidget()}


def _description(field: Field) -> str:
    """The help text; this form has no list to choose from, so the choices are in it."""
    return f"{field.description} One of: {', '.join(field.choices)}." if field.choices else field.description
