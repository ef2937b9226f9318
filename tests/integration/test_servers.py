"""The test servers themselves: they ask for a password, and a fresh database is empty and apart."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pymysql
import pytest

from tests.servers import MariadbDatabase, PostgresDatabase


def test_postgres_gives_fresh_databases_and_checks_passwords(postgres: PostgresDatabase) -> None:
    first, second = postgres.fresh_database(), postgres.fresh_database()
    first.execute("CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)")
    second.execute("CREATE TABLE t (a int)")
    assert first.query("SELECT a FROM t") == [(1,)]
    assert second.query("SELECT a FROM t") == []
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        replace(postgres, password="wrong").connect()


def test_mariadb_gives_fresh_databases_and_checks_passwords(mariadb: MariadbDatabase) -> None:
    first, second = mariadb.fresh_database(), mariadb.fresh_database()
    first.execute("CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)")
    second.execute("CREATE TABLE t (a int)")
    assert first.query("SELECT a FROM t") == [(1,)]
    assert second.query("SELECT a FROM t") == []
    with pytest.raises(pymysql.OperationalError, match="Access denied"):
        replace(mariadb, password="wrong").connect()


def test_an_address_with_any_password_survives_the_url(postgres: PostgresDatabase) -> None:
    assert PostgresDatabase.from_url(postgres.url) == postgres
