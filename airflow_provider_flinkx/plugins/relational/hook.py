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
        return self._database().connect()

    def check(self) -> str:
        """Log in and ask the server's version."""
        database = self._database()
        with closing(database.connect()) as connection:
            return f"logged in: {database.version(connection)}"

    def _database(self) -> Any:
        return load(self.database, self.hook_name, self.extra)(self.parameters(), "UTC")
