"""Jobs whose reader names many tables: which jobs these are, and what the job of one of their tables looks like.

The reader's `connection[].table` may hold several names, and patterns. `{table}` in the writer's `table`, or in the
`path` or `fileName` of files, stands for the name of the source's table, without its schema; so it does in `preSql` and
`postSql`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_flinkx.jobs.model import Content, SourceTable

TABLE = "{table}"
_QUOTED = re.compile(r'"(?:[^"]|"")*"|`(?:[^`]|``)*`')
_WILD = re.compile(r"[*?\[]")
_PLAIN = re.compile(r"[^.\"`]+")
#: A table's name behind that of its schema, each in quotes or not.
_LAST_PART = re.compile(r'(?P<schema>.*\.)?(?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|[^."`]*)', re.DOTALL)


def is_pattern(name: str) -> bool:
    """Whether a name has `*`, `?` or `[` outside of quotes."""
    return _WILD.search(_QUOTED.sub("", name)) is not None


def reads_many(content: Content) -> bool:
    """Whether the tables that are read are known only once the source was asked, or are more than one."""
    names = source_names(content)
    return len(names) > 1 or any(map(is_pattern, names)) or (bool(names) and has_own_targets(content))


def source_names(content: Content) -> list[str]:
    """The names and patterns in the reader's connections; none where no table is read."""
    parameter = content.reader.parameter
    connections = parameter.get("connection")
    if (parameter.get("customSql") or "").strip() or not isinstance(connections, list):
        return []
    tables = [connection.get("table") or () for connection in connections if isinstance(connection, Mapping)]
    return [name for names in tables for name in ([names] if isinstance(names, str) else names)]


def has_own_targets(content: Content) -> bool:
    """Whether each table of the source goes to a table of its own."""
    return TABLE in target_of(content)


def writes_tables(content: Content) -> bool:
    """Whether the target is a table, not files."""
    return isinstance(content.writer.parameter.get("connection"), list)


def target_of(content: Content) -> str:
    """The table or directory that is written, as it stands in the job; the plugin's name where there is none."""
    parameter = content.writer.parameter
    connections = parameter.get("connection")
    if isinstance(connections, list) and connections and isinstance(connections[0], Mapping):
        names = connections[0].get("table")
        if names:
            return str(names if isinstance(names, str) else names[0])
    if "path" in parameter:
        return posixpath.join(str(parameter["path"]), str(parameter.get("fileName") or "")).rstrip("/") or "/"
    return content.writer.name


def key_of_target(content: Content) -> str:
    """The key of the writer that `{table}` stands in, or may stand in."""
    if writes_tables(content):
        return "connection[0].table"
    return "path" if TABLE in str(content.writer.parameter.get("path")) else "fileName"


def target_of_table(content: Content, table: SourceTable) -> str:
    """The table or directory that the rows of `table` go to."""
    target = target_of(content)
    return target_name(target, table.name) if writes_tables(content) else target.replace(TABLE, table.name)


def problem_of_target(content: Content) -> str | None:
    """Why `{table}` cannot stand where it does, if so."""
    if writes_tables(content):
        match = _LAST_PART.fullmatch(target_of(content))
        if match is None:
            return "is not a table name"
        if TABLE in (match["schema"] or ""):
            return f"{TABLE} may stand in the name of the table, not in that of its schema"
    if not source_names(content):
        return f"{TABLE} stands for the table that is read, and this reader names none"
    return None


def target_name(template: str, name: str) -> str:
    """The target of a source table: `ods_{table}` and `orders` give `ods_orders`; in quotes where it must be."""
    if _PLAIN.fullmatch(name):
        return template.replace(TABLE, name)
    match = _LAST_PART.fullmatch(template)
    assert match is not None, "see `problem_of_target`"
    last = match["name"]
    if last[:1] in ('"', "`"):
        last = last[1:-1].replace(last[0] * 2, last[0])
    return f'{match["schema"] or ""}"{last.replace(TABLE, name).replace(chr(34), chr(34) * 2)}"'


def content_of(content: Content, table: SourceTable) -> Content:
    """The reader and the writer of one of the tables that `content` reads; writers of files put its name in."""
    reader, writer = content.reader.parameter, content.writer.parameter
    source = {**reader["connection"][table.connection], "table": [table.table]}
    changed = replace(content, reader=replace(content.reader, parameter={**reader, "connection": [source]}))
    if not (writes_tables(content) and has_own_targets(content)):
        return changed
    target = {**writer["connection"][0], "table": [target_name(target_of(content), table.name)]}
    return replace(changed, writer=replace(content.writer, parameter={**writer, "connection": [target]}))


def with_statements(content: Content, tables: Iterable[SourceTable], *, common: bool = True) -> Content:
    """The content with the statements that are due for these tables.

    Args:
        content: of one of the tables; its `preSql` and `postSql` are those of the job.
        tables: a statement with `{table}` is there once for each of their names.
        common: whether statements without `{table}` are due too.
    """
    names = list(dict.fromkeys(table.name for table in tables))
    writer = content.writer
    changed = {
        key: _statements(writer.parameter[key], names, common=common)
        for key in ("preSql", "postSql")
        if writer.parameter.get(key)
    }
    return replace(content, writer=replace(writer, parameter={**writer.parameter, **changed}))


def _statements(given: Sequence[str], names: Sequence[str], *, common: bool) -> list[Any]:
    due: list[str] = []
    for statement in given:
        if TABLE in statement:
            due += [statement.replace(TABLE, name) for name in names]
        elif common:
            due.append(statement)
    return due
