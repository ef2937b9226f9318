"""DB2 for the tests: a real one by its address, or a stand-in, Apache Derby, that speaks DB2's wire protocol.

The stand-in proves the driver, the wire types and the statements that both understand; it is not DB2. It has no MERGE
and no TRUNCATE, and the driver cannot read CHAR, FOR BIT DATA and CLOB columns of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from tests.maven import jars
from tests.servers import LOCALHOST, PASSWORD, USER, Database, await_condition, free_port

_SOURCES = Path(__file__).parent / "integration" / "relational"
_START_SECONDS = 60
_serial = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Db2Database(Database):
    """A schema of a DB2 database, or of the stand-in for one."""

    jdbc_scheme = "db2"
    url_scheme = "db2"
    schema: str = ""
    is_stand_in: bool = False

    @property
    def jdbc_url(self) -> str:
        """The address with the schema, and what the driver must be told for the stand-in."""
        properties = f"currentSchema={self.schema};" if self.schema else ""
        if self.is_stand_in:
            properties += "securityMechanism=3;LONGDATACOMPAT=1;"
        return f"jdbc:db2://{self.host}:{self.port}/{self.database}" + (f":{properties}" if properties else "")

    def connect(self) -> Any:
        """A new ibm_db connection in autocommit mode."""
        import ibm_db
        import ibm_db_dbi

        stand_in = "AUTHENTICATION=SERVER;LONGDATACOMPAT=1;" if self.is_stand_in else ""
        dsn = (
            f"DATABASE={self.database};HOSTNAME={self.host};PORT={self.port};PROTOCOL=TCPIP;CONNECTTIMEOUT=5;"
            f"UID={self.user};PWD={self.password};{stand_in}"
        )
        connection = ibm_db_dbi.Connection(ibm_db.connect(dsn, "", ""))
        connection.set_autocommit(True)
        if self.schema:
            ibm_db.exec_immediate(connection.conn_handler, f"SET SCHEMA {self.schema}")
        return connection

    def execute(self, *statements: str) -> None:
        """Run statements one by one, each committed by itself; `prepare` would cut those with an emoji."""
        import ibm_db

        with contextlib.closing(self.connect()) as connection:
            for statement in statements:
                ibm_db.exec_immediate(connection.conn_handler, statement)

    def fresh_database(self) -> Db2Database:
        """A new empty schema: databases of DB2 are too large to make one for each test."""
        name = f"T{os.getpid()}_{next(_serial)}_{secrets.token_hex(3)}".upper()
        self.execute(f"CREATE SCHEMA {name}")
        return dataclasses.replace(self, schema=name)

    def drop(self, *tables: str) -> None:
        """Drop tables that may not be there."""
        for table in tables:
            with contextlib.suppress(Exception):
                self.execute(f"DROP TABLE {table}")


@contextlib.contextmanager
def db2_stand_in() -> Iterator[Db2Database]:
    """Apache Derby as a stand-in for DB2, in a process of its own that ends when its standard input closes."""
    from airflow_provider_flinkx.plugins.db2.database import DB2

    derby = jars(_SOURCES / "derby-pom.xml", "derby-10.7.1.1")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="flinkx-db2-") as name:
        folder = Path(name)
        (folder / "derby.properties").write_text(
            "derby.connection.requireAuthentication=true\n"
            "derby.authentication.provider=BUILTIN\n"
            f"derby.user.{USER}={PASSWORD}\n"
            "derby.system.durability=test\n"
        )
        subprocess.run(
            ["javac", "-nowarn", "-cp", f"{derby}/*", "-d", name, str(_SOURCES / "DerbyServer.java")], check=True
        )
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [
                    "java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dderby.system.home={name}",
                    "-cp", f"{derby}/*:{name}", "DerbyServer", str(port), "FLINKX", USER, PASSWORD,
                ],
                cwd=folder, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            database = Db2Database(LOCALHOST, port, USER, PASSWORD, "FLINKX", is_stand_in=True)
            try:
                await_condition(lambda: _answers(process, database, folder / "log"), _START_SECONDS, "Derby", 0.2)
                # Derby lets nobody write into SYSCAT: its views of that name stand elsewhere.
                with mock.patch.object(DB2, "catalog", "CATALOG"), mock.patch.object(DB2, "units", {}):
                    yield database
            finally:
                process.kill()
                process.wait()


def _answers(process: subprocess.Popen[bytes], database: Db2Database, log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"Derby ended with {process.returncode}:\n{log.read_text()[-3000:]}")
    if "started and ready" not in log.read_text():
        return False
    database.execute("VALUES 1")
    return True
