"""Bad rows are rejected and nothing else is: compared with what single inserts do on the same server."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_flinkx.exceptions import DataError
from airflow_provider_flinkx.plugins.base import Category, Reject, Split, Writer
from airflow_provider_flinkx.plugins.conversion import json_row
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


#: Values that each column takes or refuses, and nulls; keys that meet, texts that end in blanks or are too long.
ROWS = st.lists(
    st.tuples(
        st.integers(-1, 12) | st.sampled_from([None, 2**31, -(2**40)]),
        st.text("ab' ", max_size=8) | st.none(),
        st.decimals(-20000, 20000, places=3) | st.decimals(0, 99, places=2) | st.none(),
        st.sampled_from([1, 1, 1, 1, None, 99]),
        st.sampled_from(["2024-02-29", "9999-12-31", "2024-02-30", "x", None]),
    ),
    max_size=30,
)
TYPES = (pa.int64(), pa.string(), pa.decimal128(20, 3), pa.int32(), pa.string())
SQL_TYPES = ("integer", "varchar(20)", "numeric(20,3)", "integer", "varchar(20)")
MODES = ["insert", "update"]


def literal(value: Any, kind: str, *, typed: bool) -> str:
    """A value in SQL; a null with its type where the server needs that."""
    if value is None:
        return f"CAST(NULL AS {kind})" if typed else "NULL"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def would_be_altered(row: tuple[Any, ...]) -> bool:
    """Whether the server alone would cut blanks or round: such a row is rejected, whatever the server says."""
    _, short, amount, *_ = row
    return (short is not None and len(short) > 5) or (amount is not None and amount != round(amount, 2))


def refused_one_by_one(database: Database, rows: list[tuple[Any, ...]], mode: str) -> list[int]:
    """Places of the rows that the server refuses when each has a statement of its own; writes the others."""
    refused = []
    typed = mode == "update" and not isinstance(database, (PostgresDatabase, MariadbDatabase))  # in a MERGE
    with contextlib.closing(database.connect()) as connection, contextlib.closing(connection.cursor()) as cursor:
        if isinstance(database, MariadbDatabase):
            cursor.execute("SET sql_mode = 'STRICT_ALL_TABLES'")
        if isinstance(database, OracleDatabase):
            cursor.execute("ALTER SESSION SET NLS_DATE_FORMAT = 'YYYY-MM-DD'")
        for place, row in enumerate(rows):
            values = ", ".join(literal(value, kind, typed=typed) for value, kind in zip(row, SQL_TYPES, strict=True))
            statement = f"INSERT INTO target VALUES ({values})" if mode == "insert" else upsert(database, values)
            try:
                if would_be_altered(row):
                    raise ValueError(row)
                cursor.execute(statement)
            except Exception:
                refused.append(place)
    return refused


@pytest.mark.parametrize("mode", MODES)
def test_rows_end_as_single_statements_would(database: Database, mode: str) -> None:
    compare_with_single_statements(database, mode, examples=8)


@pytest.mark.long
@pytest.mark.parametrize("mode", MODES)
def test_many_rows_end_as_single_statements_would(database: Database, mode: str) -> None:
    compare_with_single_statements(database, mode, examples=400)


def compare_with_single_statements(database: Database, mode: str, *, examples: int) -> None:
    """Types, nulls, lengths, keys that meet, and batches of any size: the target and the rejected rows are the same."""
    if mode == "update" and getattr(database, "is_stand_in", False):
        pytest.xfail("Derby has no MERGE")

    @settings(max_examples=examples, deadline=None)
    @given(
        rows=ROWS,
        sizes=st.lists(st.integers(1, 12), min_size=1),
        as_text=st.sets(st.sampled_from([0, 2, 3])),
        row_by_row=st.booleans(),
    )
    def compare(rows: list[tuple[Any, ...]], sizes: list[int], as_text: set[int], row_by_row: bool) -> None:
        fill(database, [])
        refused = refused_one_by_one(database, rows, mode)
        wanted = database.query("SELECT * FROM target ORDER BY id")

        fill(database, [])
        arrays = [
            pa.array([None if value is None else str(value) for value in values])
            if place in as_text
            else pa.array(values, TYPES[place])
            for place, values in enumerate(zip(*rows, strict=True))
        ] or [pa.array([], kind) for kind in TYPES]
        table = pa.record_batch(arrays, names=COLUMNS)
        target = writer(database, "target", writeMode=mode, batchSize=1 if row_by_row else 1024)
        written, rejects = written_in_batches(target, table, sizes)

        assert database.query("SELECT * FROM target ORDER BY id") == wanted
        assert written == len(rows) - len(refused)
        assert in_order(reject.row for reject in rejects) == in_order(json_row(table, n, COLUMNS) for n in refused)

    compare()


def written_in_batches(target: Writer, table: pa.RecordBatch, sizes: list[int]) -> tuple[int, list[Reject]]:
    """Write the rows as one split in batches of these sizes, again and again."""
    written, rejects, start, size = 0, [], 0, itertools.cycle(sizes)
    with contextlib.closing(target):
        target.prepare(table.schema)
        split = target.open(Split(0), table.schema)
        while start < table.num_rows:
            batch = table.slice(start, next(size))
            result = split.write(batch)
            start += batch.num_rows
            written += result.written
            rejects += result.rejects
        split.commit()
    return written, rejects


def in_order(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted(json.dumps(row) for row in rows)
