"""A TCP relay in front of a server that cuts connections: all, one in the middle of its COMMIT, or each as it comes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Literal

from tests.servers import LOCALHOST

#: The server never sees the statement, or the client never sees the answer.
Side = Literal["statement", "answer"]


class CuttingRelay:
    """Relays to one server until it is closed."""

    def __init__(self, port: int) -> None:
        """`port`: of the server, on this machine."""
        self._server = port
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._commits = 0
        self._side: Side = "answer"
        #: Set when a COMMIT was cut.
        self.cut = threading.Event()
        #: Whether each connection is cut as it comes.
        self.refuses = False
        self._listener = socket.create_server((LOCALHOST, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_commit(self, number: int, side: Side) -> None:
        """Cut the connection of the COMMIT that comes as `number`-th from now on, counted from 1."""
        with self._lock:
            self.cut.clear()
            self._commits, self._side = number, side

    def disarm(self) -> None:
        """Cut no COMMIT."""
        with self._lock:
            self._commits = 0

    def cut_all(self) -> None:
        """Cut all connections."""
        with self._lock:
            sockets = list(self._sockets)
        for each in sockets:
            self._reset(each)

    def close(self) -> None:
        """End it."""
        self._listener.close()
        self.cut_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuses:
                self._reset(client)
                continue
            try:
                server = socket.create_connection((LOCALHOST, self._server))
            except OSError:
                self._reset(client)
                continue
            with self._lock:
                self._sockets |= {client, server}
            for source, target, look in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass_on, args=(source, target, look), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, look: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                side = self._side_to_cut() if look and b"COMMIT" in data else None
                if side != "statement":
                    target.sendall(data)
                if side is not None:
                    self._reset(source)
                    self.cut.set()
                    break
        # The other direction ends with this one, as in a connection without a relay.
        self._reset(source)
        self._close(target)

    def _side_to_cut(self) -> Side | None:
        with self._lock:
            self._commits -= 1
            return self._side if self._commits == 0 else None

    def _reset(self, each: socket.socket) -> None:
        """Close a connection so that the other end notices at once."""
        with contextlib.suppress(OSError):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.shutdown(socket.SHUT_RDWR)
        self._close(each)

    def _close(self, each: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(each)
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_WR)
        each.close()
