"""`consistent` in databases whose connections cannot share a snapshot: each channel begins its own and keeps it."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from airflow_provider_flinkx.exceptions import DataError
from airflow_provider_flinkx.plugins.relational.reader import RelationalReader

_SNAPSHOT = "snapshot"


class ChannelSnapshotReader(RelationalReader):
    """A reader whose channel reads all its splits by one connection, in one transaction."""

    _channel: Any = None
    _channel_ended = False

    @abc.abstractmethod
    def check_snapshots(self, cursor: Any) -> None:
        """Raise what would keep a snapshot from being one."""

    @abc.abstractmethod
    def begin_channel(self) -> Any:
        """A new connection in a transaction whose snapshot begins now, or with what it reads first."""

    def hold_snapshot(self, cursor: Any) -> tuple[str, Callable[[], None] | None]:
        """Nothing is held: each channel begins its own."""
        self.check_snapshots(cursor)
        return "channel", None

    def join_held_snapshot(self, cursor: Any, name: str) -> None:  # noqa: ARG002  # all have one name
        """Only look whether this table can be read in one."""
        self.check_snapshots(cursor)

    def channel(self) -> Any:
        """The connection of this channel's snapshot; it begins with the channel's first split of any table.

        Raises:
            DataError: it has ended. Another one would be of another moment.
        """
        if self._channel_ended:
            raise self.database.error(DataError, f"consistent: the snapshot of {self.source_label} has ended")
        if self._channel is None:
            self._channel = self.database.take_kept(_SNAPSHOT) or self.begin_channel()
        return self._channel

    def remarks(self) -> Sequence[str]:
        """That several channels read several snapshots."""
        if not self.parameter.get("consistent") or self.context.channels == 1:
            return ()
        return (
            f"consistent: each of the {self.context.channels} channels read a snapshot of its own, begun with its "
            f"first split; what was changed between them is in some splits and not in others (1 channel: exact)",
        )

    def close(self) -> None:
        """Leave the connection, and the channel's snapshot, to the next table, or end them."""
        super().close()
        if self._channel is not None:
            self._channel_ended = True
            self.database.keep_or_close(_SNAPSHOT, self._channel)
            self._channel = None

    def give_up(self) -> None:
        """Close the connection, and end the channel's snapshot."""
        super().give_up()
        if self._channel is not None:
            self._channel_ended = True
            with contextlib.suppress(Exception):
                self._channel.close()
            self._channel = None
