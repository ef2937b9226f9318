"""Target tables that a job makes, empties, replaces or widens, on real servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_flinkx.exceptions import ConnectionFailedError, DataError, FlinkXError, JobInvalidError
from airflow_provider_flinkx.jobs.model import Column
from tests.integration.relational import test_ledger as tries
from tests.integration.relational import test_round_trips as types
from tests.integration.relational.moving import move, reader, writer
from tests.running import run_job
from tests.servers import Database, MariadbDatabase, PostgresDatabase

#: Values that MariaDB has in no type but text, by their PostgreSQL type: their rows are rejected.
BEYOND_MARIADB = {
    "real": {"NaN", "Infinity", "-Infinity"},
    "double precision": {"NaN", "Infinity", "-Infinity"},
    "numeric(18,2)": {"NaN"},
    "date": {"0044-03-15 BC", "5874897-12-31", "infinity", "-infinity"},
    "timestamp": {
        "294276-12-31 23:59:59.999999", "294270-02-28 01:02:03.5", "40000-02-29", "20000-01-01 00:00:00",
        "0044-03-15 00:00:00 BC", "infinity", "-infinity",
    },
    "timestamptz": {"infinity", "-infinity"},
}  # fmt: skip
#: Values that PostgreSQL does not have, by their MariaDB type.
BEYOND_POSTGRES = {
    "date": {"0000-00-00", "2024-00-00"},
    "datetime": {"0000-00-00 00:00:00"},
    "longtext": set(types.MARIADB_EXPRESSIONS["longtext"]),  # has U+0000 in it
}
#: PostgreSQL type -> what MariaDB's catalog says of the column that is made for it.
MADE_IN_MARIADB = {
    "boolean": "tinyint(1)",
    "smallint": "smallint(6)",
    "bigint": "bigint(20)",
    "real": "double",
    "numeric(18,2)": "decimal(18,2)",
    "numeric(60,20)": "decimal(60,20)",
    "numeric(38,38)": "varchar(41)",
    "numeric": "longtext",
    "text": "longtext",
    "varchar(5)": "varchar(5)",
    "char(5)": "varchar(5)",
    "bytea": "longblob",
    "date": "date",
    "time": "time(6)",
    "time(3)": "time(3)",
    "timestamp(0)": "datetime",
    "timestamptz": "datetime(6)",
    "uuid": "varchar(36)",
    "jsonb": "longtext",
    "integer[]": "longtext",
    "bit(9)": "varchar(9)",
    "interval": "longtext",
    "mood": "longtext",
    "positive": "int(11)",
}
#: A zero has no sign in MariaDB.
EQUAL_IN_MARIADB = {"real": {"-0"}}
#: MariaDB type -> what PostgreSQL's catalog says of the column that is made for it.
MADE_IN_POSTGRES = {
    "tinyint unsigned": "smallint",
    "int unsigned zerofill": "bigint",
    "bigint unsigned": "numeric(20,0)",
    "mediumint": "integer",
    "float": "real",
    "double": "double precision",
    "decimal(65,30)": "numeric(65,30)",
    "year": "smallint",
    "datetime(3)": "timestamp(3) without time zone",
    "timestamp(6) null": "timestamp with time zone",
    "time": "interval",
    "char(5)": "character varying(5)",
    "varchar(20)": "character varying(20)",
    "mediumtext": "text",
    "enum('a','b ''c')": "character varying(4)",
    "json": "text",
    "uuid": "character varying(36)",
    "binary(4)": "bytea",
    "bit(1)": "boolean",
    "bit(9)": "numeric(20,0)",
    "geometry": "bytea",
}


@pytest.fixture(scope="module")
def left(postgres: PostgresDatabase) -> Database:
    database = postgres.fresh_database()
    database.execute(*types.POSTGRES_SETUP)
    return database


@pytest.fixture(scope="module")
def right(mariadb: MariadbDatabase) -> Database:
    return mariadb.fresh_database()


def declared(database: Database, table: str, column: str = "v") -> str:
    """The type of a column as the server's catalog has it."""
    if isinstance(database, PostgresDatabase):
        query = f"SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{table}'::regclass"
        query += f" AND attname = '{column}'"
    else:
        query = "SELECT COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()"
        query += f" AND TABLE_NAME = '{table}' AND COLUMN_NAME = '{column}'"
    ((found,),) = database.query(query)
    return str(found.decode() if isinstance(found, bytes) else found)


def literals(database: Database, kind: str, beyond: Mapping[str, set[str]]) -> list[str]:
    """The values of a type that the other side has, as literals of its own database."""
    if isinstance(database, PostgresDatabase):
        values = [value for value in types.POSTGRES_TYPES[kind] if value not in beyond.get(kind, ())]
        return [f"'{value.replace(chr(39), chr(39) * 2)}'::{kind}" for value in values]
    values = types.MARIADB_EXPRESSIONS.get(kind) or [types.quoted(value) for value in types.MARIADB_TYPES[kind]]
    lost = beyond.get(kind, set())
    return [value for value in values if value not in lost and value not in map(types.quoted, lost)]


def fill(database: Database, table: str, columns: Mapping[str, list[str]]) -> None:
    """A table with a column for each type, named v0, v1 ..., and as many rows as the type with most values needs."""
    kinds = ", ".join(f"v{place} {kind}" for place, kind in enumerate(columns))
    database.execute(f"DROP TABLE IF EXISTS {table}", f"CREATE TABLE {table} (id integer PRIMARY KEY, {kinds})")
    height = max(map(len, columns.values())) + 1
    rows = [
        ", ".join([str(row), *(values[row] if row < len(values) else "NULL" for values in columns.values())])
        for row in range(height)
    ]
    with database.connect() as connection, connection.cursor() as cursor:
        if isinstance(database, MariadbDatabase):
            cursor.execute("SET sql_mode = '', time_zone = '+00:00'")
        cursor.execute(f"INSERT INTO {table} VALUES {', '.join(f'({row})' for row in rows)}")
        connection.commit()


def content(database: Database, table: str, count: int) -> list[tuple[object, ...]]:
    """Every value of a table, exactly."""
    shown = (
        "encode(textsend(v{}::text), 'hex')"
        if isinstance(database, PostgresDatabase)
        else "HEX(v{0}), CAST(v{0} AS BINARY)"
    )
    values = ", ".join(shown.format(place) for place in range(count))
    return database.query(f"SELECT id, {values} FROM {table} ORDER BY id")


def there_and_back(source: Database, target: Database, kinds: list[str], beyond: Mapping[str, set[str]]) -> None:
    """Move a table with all types into one that is made for it, and back into one like it."""
    fill(source, "source", {kind: literals(source, kind, beyond) for kind in kinds})
    source.execute("DROP TABLE IF EXISTS back")
    like = "(LIKE source)" if isinstance(source, PostgresDatabase) else "LIKE source"
    source.execute(f"CREATE TABLE back {like}")
    target.execute("DROP TABLE IF EXISTS made")

    assert move(reader(source, "source"), writer(target, "made", createTable=True)).rejects == []
    assert move(reader(target, "made"), writer(source, "back")).rejects == []

    assert content(source, "back", len(kinds)) == content(source, "source", len(kinds))


def test_a_table_made_in_mariadb_holds_what_postgres_has(left: Database, right: Database) -> None:
    kinds = list(types.POSTGRES_TYPES)
    beyond = {kind: BEYOND_MARIADB.get(kind, set()) | EQUAL_IN_MARIADB.get(kind, set()) for kind in kinds}
    there_and_back(left, right, kinds, beyond)
    made = {kind: declared(right, "made", f"v{kinds.index(kind)}") for kind in MADE_IN_MARIADB}
    assert made == MADE_IN_MARIADB


def test_a_table_made_in_postgres_holds_what_mariadb_has(left: Database, right: Database) -> None:
    kinds = [*types.MARIADB_TYPES, *types.MARIADB_EXPRESSIONS]
    there_and_back(right, left, kinds, BEYOND_POSTGRES)
    made = {kind: declared(left, "made", f"v{kinds.index(kind)}") for kind in MADE_IN_POSTGRES}
    assert made == MADE_IN_POSTGRES


@pytest.mark.parametrize("kind", BEYOND_MARIADB)
def test_what_mariadb_does_not_have_is_rejected(left: Database, right: Database, kind: str) -> None:
    values = [f"'{value}'::{kind}" for value in sorted(BEYOND_MARIADB[kind])]
    fill(left, "source", {kind: values})
    right.execute("DROP TABLE IF EXISTS made")
    assert len(move(reader(left, "source"), writer(right, "made", createTable=True)).rejects) == len(values)
    assert right.query("SELECT id, v0 FROM made") == [(len(values), None)]


@pytest.mark.parametrize("kind", BEYOND_POSTGRES)
def test_what_postgres_does_not_have_is_rejected(left: Database, right: Database, kind: str) -> None:
    given = sorted(BEYOND_POSTGRES[kind])
    values = given if kind in types.MARIADB_EXPRESSIONS else list(map(types.quoted, given))
    fill(right, "source", {kind: values})
    left.execute("DROP TABLE IF EXISTS made")
    assert len(move(reader(right, "source"), writer(left, "made", createTable=True)).rejects) == len(values)
    assert left.query("SELECT id, v0 FROM made") == [(len(values), None)]


def test_a_database_makes_the_same_types_of_its_own(left: Database, right: Database) -> None:
    # Types of the user's need not be in another database.
    others = {"mood": "text", "positive": "integer"}
    for database, kinds in (
        (left, list(types.POSTGRES_TYPES)), (right, [*types.MARIADB_TYPES, *types.MARIADB_EXPRESSIONS])
    ):  # fmt: skip
        fill(database, "source", {kind: literals(database, kind, {}) for kind in kinds})
        database.execute("DROP TABLE IF EXISTS made")
        assert move(reader(database, "source"), writer(database, "made", createTable=True)).rejects == []
        assert content(database, "made", len(kinds)) == content(database, "source", len(kinds))
        for place, kind in enumerate(kinds):
            wanted = others.get(kind) or declared(database, "source", f"v{place}")
            assert declared(database, "made", f"v{place}") == wanted


@pytest.fixture(params=["left", "right"])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(request.param)
    found.execute("DROP TABLE IF EXISTS child", "DROP TABLE IF EXISTS source", "DROP TABLE IF EXISTS target")
    return found


def test_nullability_and_the_key_go_along(left: Database, right: Database) -> None:
    """A text key that differs in letter case and blanks only is a key still."""
    create = "CREATE TABLE source (b varchar(20), n integer NOT NULL, a text, c integer, PRIMARY KEY (a, b))"
    rows = "INSERT INTO source VALUES ('x', 1, 'k', NULL), ('x', 2, 'K', 1), ('x ', 3, 'k', 2), ('x', 4, 'k ', 3)"
    left.execute("DROP TABLE IF EXISTS source", create, rows)
    for target in (left, right):
        target.execute("DROP TABLE IF EXISTS made")
        moved = move(reader(left, "source"), writer(target, "made", createTable=True))
        assert (moved.rejects, moved.written) == ([], 4)
        with pytest.raises(Exception, match=r"(?i)duplicate"):
            target.execute("INSERT INTO made VALUES ('x', 9, 'k', 9)")
        with pytest.raises(Exception, match=r"(?i)null"):
            target.execute("INSERT INTO made VALUES ('y', NULL, 'k', 9)")
        target.execute("INSERT INTO made VALUES ('y', 5, 'k', NULL)")
        usage = "information_schema.key_column_usage WHERE table_name = 'made'"
        key = target.query(f"SELECT column_name FROM {usage} ORDER BY ordinal_position")
        assert [name for (name,) in key] == ["a", "b"]


def test_a_part_of_a_key_is_none(left: Database, right: Database) -> None:
    left.execute("DROP TABLE IF EXISTS source", "CREATE TABLE source (a integer, b integer, PRIMARY KEY (a, b))")
    left.execute("INSERT INTO source VALUES (1, 1), (1, 2)")
    right.execute("DROP TABLE IF EXISTS made")
    assert move(reader(left, "source", names=["a"]), writer(right, "made", createTable=True)).written == 2


def test_names_constants_and_queries(left: Database, right: Database) -> None:
    left.execute("DROP TABLE IF EXISTS source", "CREATE TABLE source (a numeric(10,2) PRIMARY KEY, b varchar(7))")
    left.execute("INSERT INTO source VALUES (1.5, 'x')")
    right.execute("DROP TABLE IF EXISTS made", "DROP TABLE IF EXISTS queried")
    columns = ["b", Column(value="7", type="int"), "a"]
    move(reader(left, "source", names=columns), writer(right, "made", names=["x", "y z", "a`b"], createTable=True))
    assert [declared(right, "made", name) for name in ("x", "y z", "a`b")] == ["varchar(7)", "int(11)", "decimal(10,2)"]
    assert [str(value) for value in right.query("SELECT * FROM made")[0]] == ["x", "7", "1.50"]

    query = reader(left, None, customSql="SELECT a, b, now() AS at FROM source")
    move(query, writer(right, "queried", createTable=True))
    assert [declared(right, "queried", name) for name in ("a", "b", "at")] == [
        "decimal(10,2)",
        "longtext",
        "datetime(6)",
    ]


def test_instants_stay_instants_where_an_hour_occurs_twice(left: Database, right: Database) -> None:
    left.execute("DROP TABLE IF EXISTS source", "CREATE TABLE source (id integer, v timestamptz)")
    left.execute("INSERT INTO source VALUES (1, '2024-10-27 00:30+00'), (2, '2024-10-27 01:30+00')")
    right.execute("DROP TABLE IF EXISTS made")
    zone = "Europe/Berlin"
    move(reader(left, "source", timezone=zone), writer(right, "made", timezone=zone, createTable=True))
    assert declared(right, "made") == "timestamp(6)"
    left.execute("DROP TABLE IF EXISTS back", "CREATE TABLE back (LIKE source)")
    move(reader(right, "made", timezone=zone), writer(left, "back", timezone=zone))
    assert left.query("SELECT * FROM back ORDER BY id") == left.query("SELECT * FROM source ORDER BY id")


def test_long_texts_leave_the_row_where_it_would_be_too_long(left: Database, right: Database) -> None:
    kinds = ", ".join(f"v{place} varchar({length})" for place, length in enumerate([4000, 9000, 5000, 20]))
    left.execute("DROP TABLE IF EXISTS source", f"CREATE TABLE source ({kinds})")
    left.execute("INSERT INTO source VALUES (repeat('é', 4000), repeat('é', 9000), repeat('é', 5000), 'x')")
    right.execute("DROP TABLE IF EXISTS made")
    assert move(reader(left, "source"), writer(right, "made", createTable=True)).rejects == []
    assert [declared(right, "made", f"v{place}") for place in range(4)] == [
        "varchar(4000)", "longtext", "varchar(5000)", "varchar(20)",
    ]  # fmt: skip


def numbers(database: Database) -> list[int]:
    return sorted(int(row[0]) for row in database.query("SELECT id FROM target"))


def with_rows(database: Database) -> None:
    database.execute("CREATE TABLE source (id integer PRIMARY KEY, v varchar(5))", "INSERT INTO source VALUES (1, 'a')")
    database.execute("CREATE TABLE target (id bigint, v varchar(9))", "INSERT INTO target VALUES (8, 'old')")


@pytest.mark.parametrize(("mode", "wanted"), [("append", [1, 8]), ("truncate", [1]), ("recreate", [1])])
def test_what_becomes_of_rows_that_are_there(database: Database, mode: str, wanted: list[int]) -> None:
    with_rows(database)
    move(reader(database, "source"), writer(database, "target", saveMode=mode))
    assert numbers(database) == wanted
    same = declared(database, "target") == declared(database, "source")
    assert same == (mode == "recreate")


def test_rows_that_are_there_end_the_job(database: Database) -> None:
    with_rows(database)
    with pytest.raises(DataError, match="table target holds rows, and saveMode is error"):
        move(reader(database, "source"), writer(database, "target", saveMode="error"))
    assert numbers(database) == [8]
    database.execute("DELETE FROM target")
    move(reader(database, "source"), writer(database, "target", saveMode="error"))
    assert numbers(database) == [1]


@pytest.mark.parametrize("mode", ["truncate", "recreate"])
def test_rows_stay_where_the_job_cannot_begin(database: Database, mode: str) -> None:
    """The column is not there; or, where a table is made anew, another one needs the old one."""
    with_rows(database)
    if mode == "recreate":
        database.execute("ALTER TABLE target ADD PRIMARY KEY (id)")
        database.execute("CREATE TABLE child (id bigint, FOREIGN KEY (id) REFERENCES target (id))")
        target = writer(database, "target", saveMode=mode)
    else:
        target = writer(database, "target", names=["id", "missing"], saveMode=mode)
    with pytest.raises(FlinkXError):
        move(reader(database, "source"), target)
    assert numbers(database) == [8]
    assert declared(database, "target") != declared(database, "source")


def test_a_table_that_cannot_be_made_leaves_the_old_one(database: Database) -> None:
    with_rows(database)
    columns = [Column(name="id"), Column(name="v")]
    too_long = "x" * 65 if isinstance(database, MariadbDatabase) else "ctid"
    with pytest.raises(FlinkXError):
        move(
            reader(database, "source", names=columns),
            writer(database, "target", names=["id", too_long], saveMode="recreate"),
        )
    assert numbers(database) == [8]


def test_pre_sql_comes_after_the_table(database: Database) -> None:
    with_rows(database)
    insert = "INSERT INTO target VALUES (5, 'new')"
    move(reader(database, "source"), writer(database, "target", saveMode="truncate", preSql=[insert]))
    assert numbers(database) == [1, 5]


def test_without_create_table_there_is_none(database: Database) -> None:
    with_rows(database)
    database.execute("DROP TABLE target")
    for mode in ("append", "truncate", "error"):
        with pytest.raises(FlinkXError, match="target"):
            move(reader(database, "source"), writer(database, "target", saveMode=mode))
    move(reader(database, "source"), writer(database, "target", saveMode="recreate"))
    assert numbers(database) == [1]


def test_differences_are_told_all_at_once_before_a_row_moves(left: Database, right: Database) -> None:
    columns = "id bigint, short varchar(50), amount numeric(20,4), at timestamp, added text"
    left.execute("DROP TABLE IF EXISTS source", f"CREATE TABLE source ({columns})")
    left.execute("INSERT INTO source VALUES (1, 'a', 1, '2024-01-01', 'x')")
    target = "CREATE TABLE target (id int, short varchar(20), amount decimal(24,4), at datetime(3))"
    right.execute("DROP TABLE IF EXISTS target", target)
    with pytest.raises(DataError) as caught:
        move(reader(left, "source"), writer(right, "target", schemaChange="fail"))
    assert str(caught.value).partition(": ")[2] == (
        "table target differs from the source: added text is missing; "
        "id is int(11) and cannot hold every bigint; "
        "short is varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci and cannot hold every "
        "character varying(50); "
        "at is datetime(3) and cannot hold every timestamp without time zone; schemaChange add adds missing columns"
    )
    with pytest.raises(DataError, match="cannot hold every bigint"):
        move(reader(left, "source"), writer(right, "target", schemaChange="add"))
    assert right.query("SELECT * FROM target") == []


def test_missing_columns_are_added(database: Database) -> None:
    with_rows(database)
    database.execute("ALTER TABLE source ADD more numeric(10,2) NOT NULL DEFAULT 1.5")
    database.execute("ALTER TABLE source ADD flag text")
    for _ in range(2):
        move(reader(database, "source"), writer(database, "target", schemaChange="add", saveMode="truncate"))
    rows = [tuple(map(str, row)) for row in database.query("SELECT id, v, more, flag FROM target")]
    assert rows == [("1", "a", "1.50", "None")]
    assert declared(database, "target", "more") == declared(database, "source", "more")


def test_missing_columns_are_left_out(database: Database) -> None:
    """Columns are found by their names, wherever they stand; a row is still looked at by its place in the batch."""
    with_rows(database)
    database.execute("ALTER TABLE source ADD more text", "INSERT INTO source VALUES (2, 'b', 'x'), (3, 'c', NULL)")
    database.execute("DROP TABLE target", "CREATE TABLE target (more varchar(1), other int, id int CHECK (id <> 2))")
    moved = move(reader(database, "source"), writer(database, "target", schemaChange="ignore"))
    assert [reject.row for reject in moved.rejects] == [{"id": 2, "more": "x"}]
    assert sorted(database.query("SELECT id, more, other FROM target")) == [(1, None, None), (3, None, None)]


def test_a_table_without_differences_is_taken(database: Database) -> None:
    with_rows(database)
    for change in ("fail", "add", "ignore"):
        move(reader(database, "source"), writer(database, "target", schemaChange=change, saveMode="truncate"))
        assert numbers(database) == [1]


@pytest.fixture(params=["postgres", "mariadb"])
def run_between(request: pytest.FixtureRequest) -> Database:
    """A database with 20,000 rows in `source`, and one in `target`."""
    server: PostgresDatabase | MariadbDatabase = request.getfixturevalue(request.param)
    made = server.fresh_database()
    made.execute("CREATE TABLE source (id bigint PRIMARY KEY, text varchar(40))")
    made.execute("CREATE TABLE target (id bigint, text varchar(40))", "INSERT INTO target VALUES (1, 'old')")
    rows = ",".join(f"({number}, 'text {number}')" for number in range(1, tries.ROWS + 1))
    made.execute(f"INSERT INTO source VALUES {rows}")
    return made


@pytest.mark.parametrize("mode", ["truncate", "recreate", "error"])
def test_the_table_is_emptied_once_for_all_tries(
    run_between: Database, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = run_between
    if mode == "error":
        database.execute("DELETE FROM target")

    def break_down(_commit: Any) -> None:
        raise ConnectionFailedError("cut before the commit")

    with monkeypatch.context() as patched:
        tries.failing_commit(patched, database, 3, break_down)
        with pytest.raises(ConnectionFailedError):
            run_job(tries.new_try(database, setting={"verify": "count"}, saveMode=mode))
    assert 0 < tries.target(database)[0] < tries.ROWS
    report, _ = run_job(tries.new_try(database, setting={"verify": "count"}, saveMode=mode))
    assert tries.target(database) == tries.EXPECTED
    assert report["verify"] == {"source": tries.ROWS, "target": tries.ROWS, "equal": True}


def test_rows_that_got_lost_fail_the_job(postgres: PostgresDatabase) -> None:
    database = postgres.fresh_database()
    database.execute(
        "CREATE TABLE source AS SELECT id, 'x' AS text FROM generate_series(1, 100) AS id",
        "CREATE TABLE target (id bigint, text text)",
        "INSERT INTO target VALUES (0, 'old')",
        "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.id % 10 = 0 THEN RETURN NULL; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER lose BEFORE INSERT ON target FOR EACH ROW EXECUTE FUNCTION lose()",
    )
    with pytest.raises(
        DataError, match="100 rows were read and not rejected, but the table had 1 rows and has 91"
    ) as caught:
        run_job(tries.new_try(database, setting={"verify": "count"}))
    assert caught.value.report is not None
    assert caught.value.report["verify"] == {"source": 100, "target": 90, "equal": False}


def test_rows_that_are_overwritten_are_not_counted(run_between: Database) -> None:
    with pytest.raises(JobInvalidError, match=r"job\.setting\.verify"):
        run_job(tries.new_try(run_between, setting={"verify": "count"}, writeMode="update", saveMode="truncate"))
    assert tries.target(run_between)[0] == 1
