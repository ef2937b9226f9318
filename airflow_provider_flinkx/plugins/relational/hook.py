"""Base of the databases' hooks: they log in the way the readers and writers do."""

from __future__ import annotations

from contextlib import closing
from typing import Any, ClassVar

from airflow_provider_flinkx.plugins.hook import DeclaredHook
from airflow_provider_flinkx.plugins.registry import load


class DatabaseHook(DeclaredHook):
    """A database that a job reads or writes.

    Attributes:
        database: `module:Class` of the Database; imported when it is used, because it imports drivers.
        extra: the extra of this distribution that brings the drivers.
    """

    database: ClassVar[str]
    extra: ClassVar[str]

    def get_conn(self) -> Any:
        """A new DB-API connection.

        Raises:
            FlinkXError: when a driver is missing, or the server cannot be reached or refuses the login.
        """
        database = load(self.database, self.hook_name, self.extra)
        return database(self.parameters(), "UTC").connect()

    def check(self) -> str:
        """Log in and ask the server's version."""
        with closing(self.get_conn()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute("SELECT version()")
            return f"logged in: {cursor.fetchone()[0]}"
