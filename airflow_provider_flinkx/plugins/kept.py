"""Connections that wait for the next table: a job of many tables would open several for each."""

from __future__ import annotations

import contextlib
import time
from typing import Any


class KeptConnections:
    """Connections of one step of a job to one server: what reads, or writes, its tables takes them in turn.

    Those to the last server are closed when one to another server is kept: a job may read many, one after the other.
    """

    def __init__(self) -> None:
        self._login: Any = None
        self._waiting: dict[str, tuple[Any, float]] = {}

    def take(self, login: Any, kind: str, *, most_seconds: float | None = None) -> Any | None:
        """A connection of this login and kind, if one waits.

        Args:
            login: what must be alike for a connection to be the same.
            kind: what it is for.
            most_seconds: one that has waited longer is closed.
        """
        if login != self._login or kind not in self._waiting:
            return None
        connection, since = self._waiting.pop(kind)
        if most_seconds is not None and time.monotonic() - since > most_seconds:
            _close(connection)
            return None
        return connection

    def keep(self, login: Any, kind: str, connection: Any) -> None:
        """Let a connection wait that is outside of a transaction, or in one that goes on."""
        if login != self._login:
            self.close()
            self._login = login
        if kind in self._waiting:
            _close(connection)
        else:
            self._waiting[kind] = (connection, time.monotonic())

    def close(self) -> None:
        """Close those that wait."""
        while self._waiting:
            _, (connection, _) = self._waiting.popitem()
            _close(connection)


def _close(connection: Any) -> None:
    with contextlib.suppress(Exception):
        connection.close()
