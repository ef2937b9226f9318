"""The connection that rows go by, in readers and writers that have one: kept between splits, left to the next table."""

from __future__ import annotations

import contextlib
from typing import Any

from airflow_provider_flinkx.plugins.relational.database import Database


class MovesByConnection:
    """What reads or writes rows by one connection."""

    database: Database
    _rows: Any = None

    def connect_rows(self) -> Any:
        """A new connection for rows."""
        raise NotImplementedError

    @property
    def kind(self) -> str:
        """What is alike for connections that the next table can take, beside their login."""
        return type(self).__name__

    def rows_connection(self) -> Any:
        """The connection for rows: the one that is open, that of the last table, or a new one."""
        if self._rows is None:
            self._rows = self.database.take_kept(self.kind) or self.connect_rows()
        return self._rows

    def close(self) -> None:
        """Leave the connection to the next table, or close it."""
        if self._rows is not None:
            self.database.keep_or_close(self.kind, self._rows)
            self._rows = None

    def give_up(self) -> None:
        """Close the connection, which is of no more use."""
        if self._rows is not None:
            with contextlib.suppress(Exception):  # the server may be gone
                self._rows.close()
            self._rows = None
