"""Oracle for the tests: a real one by its address (docker-compose.yml starts one); there is no stand-in."""

from __future__ import annotations

import dataclasses
import itertools
import os
import secrets
from typing import Any

from tests.servers import Database

_serial = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class OracleDatabase(Database):
    """A schema of an Oracle database; `database` is the service. The login of the address may make users."""

    jdbc_scheme = "oracle"
    url_scheme = "oracle"

    @property
    def jdbc_url(self) -> str:
        """The address in the form of Java's thin driver."""
        return f"jdbc:oracle:thin:@//{self.host}:{self.port}/{self.database}"

    def connect(self) -> Any:
        """A new connection in autocommit mode."""
        import oracledb

        connection = oracledb.connect(
            user=self.user, password=self.password, dsn=f"{self.host}:{self.port}/{self.database}"
        )
        connection.autocommit = True
        return connection

    def fresh_database(self) -> OracleDatabase:
        """A new user, which is a schema of its own."""
        name = f"T{os.getpid()}_{next(_serial)}_{secrets.token_hex(3)}".upper()
        self.execute(
            f'CREATE USER {name} IDENTIFIED BY "{self.password}" QUOTA UNLIMITED ON USERS',
            "GRANT CREATE SESSION, CREATE TABLE, CREATE VIEW, CREATE TRIGGER, ALTER SYSTEM, SELECT_CATALOG_ROLE "
            f"TO {name}",
        )
        return dataclasses.replace(self, user=name)

    def drop(self, *tables: str) -> None:
        """Drop tables that may not be there."""
        for table in tables:
            self.execute(
                f"BEGIN EXECUTE IMMEDIATE 'DROP TABLE {table} PURGE'; "
                "EXCEPTION WHEN OTHERS THEN IF SQLCODE <> -942 THEN RAISE; END IF; END;"
            )
