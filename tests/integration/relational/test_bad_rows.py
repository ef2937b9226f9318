"""Bad rows are rejected and nothing else is: compared with what single inserts do on the same server."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_flinkx.exceptions import DataError
from airflow_provider_flinkx.plugins.base import Category
from tests.integration.relational.moving import DATABASES, move, reader, writer
from tests.oracle_server import OracleDatabase
from tests.servers import Database, MariadbDatabase, PostgresDatabase, SQLServerDatabase

BAD = {
    # what: (values of id, short, amount, parent, day as SQL, category)
    "null": ("{id}, NULL, 1, 1, '2024-01-01'", Category.NULL),
    "duplicate": ("-1, 'ok', 1, 1, '2024-01-01'", Category.DUPLICATE),
    "too long": ("{id}, 'much too long', 1, 1, '2024-01-01'", Category.CONVERSION),
    "blank too long": ("{id}, 'okay    ', 1, 1, '2024-01-01'", Category.CONVERSION),
    "out of range": ("{id}, 'ok', 1000000, 1, '2024-01-01'", Category.CONVERSION),
    "too many decimals": ("{id}, 'ok', 0.001, 1, '2024-01-01'", Category.CONVERSION),
    "foreign key": ("{id}, 'ok', 1, 99, '2024-01-01'", Category.OTHER),
    "check": ("{id}, 'ok', -1, 1, '2024-01-01'", Category.OTHER),
    "bad text": ("{id}, 'ok', 1, 1, '2024-02-30'", Category.CONVERSION),
}
GOOD = "{id}, 'ok', 1.5, 1, '2024-01-01'"
SOURCE = (
    "CREATE TABLE source (n integer NOT NULL PRIMARY KEY, id bigint, short varchar(20), amount numeric(20,3), "
    "parent integer, day varchar(20))"
)
TARGET = (
    "CREATE TABLE parent (id integer NOT NULL PRIMARY KEY)",
    "INSERT INTO parent VALUES (1)",
    "CREATE TABLE target (id integer NOT NULL PRIMARY KEY, short varchar(5) NOT NULL, amount numeric(6,2), "
    "parent integer, day date, CHECK (amount > 0), FOREIGN KEY (parent) REFERENCES parent (id))",
)
COLUMNS = ["id", "short", "amount", "parent", "day"]


@pytest.fixture(scope="module", params=DATABASES)
def database(request: pytest.FixtureRequest) -> Database:
    server: Database = request.getfixturevalue(request.param)
    fresh = server.fresh_database()
    fresh.execute(SOURCE, *TARGET)
    return fresh


def fill(database: Database, rows: list[str]) -> None:
    database.execute("DELETE FROM target", "DELETE FROM source", "INSERT INTO target VALUES (-1, 'old', 1, 1, NULL)")
    values = ", ".join(f"({n}, {row.format(id=n)})" for n, row in enumerate(rows))
    if rows:
        database.execute(f"INSERT INTO source VALUES {values}")


def moved(database: Database, **others: Any) -> Any:
    # SQL Server takes no ORDER BY in a subquery without TOP.
    top = "TOP 1000000 " if isinstance(database, SQLServerDatabase) else ""
    source = reader(database, "source", names=COLUMNS, customSql=f"SELECT {top}* FROM source ORDER BY n")
    return move(source, writer(database, "target", names=COLUMNS, **others))


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_is_rejected_with_its_category(database: Database, kind: str) -> None:
    row, category = BAD[kind]
    fill(database, [GOOD, row, GOOD])

    result = moved(database)

    assert [(reject.category, reject.row["id"]) for reject in result.rejects] == [
        (category, -1 if kind == "duplicate" else 1)
    ]
    assert "\n" not in result.rejects[0].message
    assert database.query("SELECT id FROM target ORDER BY id") == [(-1,), (0,), (2,)]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(st.sampled_from([None, None, None, None, *(kind for kind in BAD)]), max_size=120),
    batch_size=st.sampled_from([1, 1024]),
)
def test_only_bad_rows_are_rejected_wherever_they_are(
    database: Database, kinds: list[str | None], batch_size: int
) -> None:
    rows = [GOOD if kind is None else BAD[kind][0] for kind in kinds]
    fill(database, rows)

    result = moved(database, batchSize=batch_size)

    good = [n for n, kind in enumerate(kinds) if kind is None]
    assert database.query("SELECT id FROM target WHERE id >= 0 ORDER BY id") == [(n,) for n in good]
    assert result.written == len(good)
    assert sorted(reject.category for reject in result.rejects) == sorted(BAD[kind][1] for kind in kinds if kind)


@pytest.fixture
def upserts(request: pytest.FixtureRequest, database: Database) -> Database:
    if getattr(database, "is_stand_in", False):
        request.applymarker(pytest.mark.xfail(raises=DataError, strict=True, reason="Derby has no MERGE"))
    return database


def upsert(database: Database, values: str) -> str:
    """The database's own statement that inserts a row or overwrites the one with its id."""
    columns = ", ".join(COLUMNS)
    if isinstance(database, MariadbDatabase):
        updates = ", ".join(f"{name} = VALUES({name})" for name in COLUMNS)
        return f"INSERT INTO target VALUES ({values}) ON DUPLICATE KEY UPDATE {updates}"
    if isinstance(database, PostgresDatabase):
        updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in COLUMNS)
        return f"INSERT INTO target VALUES ({values}) ON CONFLICT (id) DO UPDATE SET {updates}"
    if isinstance(database, OracleDatabase):
        source = ", ".join(f"{value} {name}" for value, name in zip(values.split(", "), COLUMNS, strict=True))
        given = {name: f"TO_DATE(S.{name}, 'YYYY-MM-DD')" if name == "day" else f"S.{name}" for name in COLUMNS}
        updates = ", ".join(f"{name} = {value}" for name, value in given.items() if name != "id")
        return (
            f"MERGE INTO target T USING (SELECT {source} FROM DUAL) S ON (T.id = S.id) "
            f"WHEN MATCHED THEN UPDATE SET {updates} "
            f"WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({', '.join(given.values())})"
        )
    given = {name: f"CAST(S.{name} AS date)" if name == "day" else f"S.{name}" for name in COLUMNS}
    updates = ", ".join(f"{name} = {value}" for name, value in given.items())
    return (
        f"MERGE INTO target AS T USING (VALUES ({values})) AS S ({columns}) ON T.id = S.id "
        f"WHEN MATCHED THEN UPDATE SET {updates} "
        f"WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({', '.join(given.values())})"
        + (";" if isinstance(database, SQLServerDatabase) else "")
    )


def upsert_one_by_one(database: Database, rows: list[str]) -> list[tuple[Any, ...]]:
    """What the server itself makes of the rows, one statement each."""
    with contextlib.closing(database.connect()) as connection, contextlib.closing(connection.cursor()) as cursor:
        if isinstance(database, MariadbDatabase):
            cursor.execute("SET sql_mode = 'STRICT_ALL_TABLES'")
        for n, row in enumerate(rows):
            with contextlib.suppress(Exception):
                cursor.execute(upsert(database, row.format(id=n % 7)))
    return database.query("SELECT * FROM target ORDER BY id")


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=st.lists(st.sampled_from([None, None, "null", "too long", "check", "foreign key"]), max_size=60))
@example(kinds=[None])
def test_upserts_end_as_single_statements_would(upserts: Database, kinds: list[str | None]) -> None:
    database = upserts
    good = "{{id}}, 'r{n}', {amount}, 1, '2024-01-01'"
    rows = [good.format(n=n, amount=n + 1) if kind is None else BAD[kind][0] for n, kind in enumerate(kinds)]
    fill(database, [])
    wanted = upsert_one_by_one(database, rows)

    fill(database, [row.replace("{id}", str(n % 7)) for n, row in enumerate(rows)])
    result = moved(database, writeMode="update")

    assert database.query("SELECT * FROM target ORDER BY id") == wanted
    assert len(result.rejects) == sum(kind is not None for kind in kinds)
