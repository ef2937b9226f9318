"""mysqldreader: tables of one shape on many MySQL servers; each is read as mysqlreader reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_flinkx.jobs.model import Column, SourceTable
from airflow_provider_flinkx.plugins.base import RunContext
from airflow_provider_flinkx.plugins.mysql.reader import MySQLReader


class MySQLDReader(MySQLReader):
    """Reads one table of the first connection, and names those of all connections (mysql.md)."""

    def __init__(self, parameter: Mapping[str, Any], columns: Sequence[Column], context: RunContext) -> None:
        super().__init__(_with_own_login(parameter), columns, context)

    def tables(self) -> Sequence[SourceTable]:
        """The tables of all connections; where they are several, messages name the server too."""
        connections = self.parameter["connection"]
        found = []
        for place, connection in enumerate(connections):
            reader = MySQLReader(
                _with_own_login({**self.parameter, "connection": [connection]}), self.columns, self.context
            )
            server = f"{reader.database.address} " if len(connections) > 1 else ""
            found += [
                replace(table, connection=place, label=f"{server}{table.label}") for table in MySQLReader.tables(reader)
            ]
        return found

    def remarks(self) -> Sequence[str]:
        """That servers share no snapshot."""
        if not self.parameter.get("consistent") or len(self.parameter["connection"]) == 1:
            return super().remarks()
        return (*super().remarks(), "consistent: the tables of one server are of one moment, each server of its own")


def _with_own_login(parameter: Mapping[str, Any]) -> Mapping[str, Any]:
    """User and password of the first connection in place of those of the reader."""
    connection = parameter["connection"][0]
    own = {key: connection[key] for key in ("username", "password") if connection.get(key) is not None}
    return {**parameter, **own}
