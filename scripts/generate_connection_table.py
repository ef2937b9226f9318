"""Write the table of connection types into docs/airflow.md, from their declarations."""

from __future__ import annotations

import re
from pathlib import Path

from airflow_provider_flinkx.hooks.connection import CONNECTION as FLINK
from airflow_provider_flinkx.plugins.connection import ConnectionType, connection_types

PAGE = Path(__file__).parents[1] / "docs" / "airflow.md"
STANDARD_FIELDS = {"host": "Host", "port": "Port", "login": "Login", "password": "Password", "schema": "Schema"}
_TABLE = re.compile(r"(?<=\|---\|---\|---\|---\|---\|\n).*?(?=\n\n)", re.DOTALL)


def row(declared: ConnectionType) -> str:
    """The table row of one type."""
    standard = [
        declared.relabel.get(name, label) for name, label in STANDARD_FIELDS.items() if name not in declared.hidden
    ]
    own = [f"{field.label} (`{field.name}`)" for field in declared.fields]
    use = "where jobs run: `flink_conn_id`" if declared is FLINK else f"`connectionId`; also: {also(declared)}"
    return f"| `{declared.conn_type}` | {declared.name} | {use} | {', '.join(standard) or '–'} | {', '.join(own)} |"


def also(declared: ConnectionType) -> str:
    """The other providers' types that may be named instead."""
    return ", ".join(f"`{name}`" for name in declared.accepts) or "none"


def page() -> str:
    """The page with an up-to-date table."""
    table = "\n".join(row(declared) for declared in (FLINK, *connection_types()))
    return _TABLE.sub(lambda _: table, PAGE.read_text("utf-8"), count=1)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
