from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.hdfs_server import HDFS, hdfs_server
from tests.servers import ServerMissingError


@pytest.fixture(scope="session")
def hdfs() -> Iterator[HDFS]:
    """A real HDFS, started at the first use and shared by the run."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(hdfs_server())
        except ServerMissingError as error:
            pytest.skip(f"NOT TESTED, SERVER MISSING: {error}")
        yield server
