"""DB2's own types and URL, on the stand-in at the wire (Derby) or the server that FLINKX_TEST_DB2_URL names."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import ibm_db
import pyarrow as pa
import pytest

from airflow_provider_flinkx.exceptions import DataError, FlinkXError
from airflow_provider_flinkx.plugins.base import Split
from tests.db2_server import Db2Database
from tests.integration.relational.moving import move, reader, writer
from tests.servers import free_port

AWKWARD = "é日本😀 \\ ''single'' \"double\" ; -- % {} ? end "
TYPES = {
    "smallint": ["-32768", "32767"],
    "integer": ["-2147483648", "2147483647"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "real": ["1.5", "-3.4e38", "1.1"],
    "double": ["0.1", "-1.5e300", "0"],
    "decimal(31,5)": ["-99999999999999999999999999.99999", "0.00001"],
    "decimal(31,0)": ["9999999999999999999999999999999"],
    "decimal(5,5)": ["-.99999"],
    "varchar(60)": ["''", "'a'", f"'{AWKWARD}'"],
    "varchar(3000)": [f"'{'x' * 3000}'"],
    "date": ["'0001-01-01'", "'9999-12-31'"],
    "time": ["'00:00:00'", "'23:59:59'"],
    "timestamp": ["'0001-01-01 00:00:00'", "'9999-12-31 23:59:59.999999'", "'2024-02-29 12:34:56.5'"],
    "blob(100000)": ["cast(x'00ff5c2700' as blob)", "cast(x'41' as blob)"],
    "boolean": ["true", "false"],
    "long varchar": ["'x'", "'a long text'"],
}
#: The driver breaks off when it is told of these columns of Derby.
NOT_ON_THE_STAND_IN = {
    "char(5)": ["'ab'", "'abcde'"],
    "clob(100000)": ["'x'"],
    "varchar(10) for bit data": ["x'00ff'"],
    "char(4) for bit data": ["x'01020000'"],
}
ONLY_ON_DB2 = {
    "timestamp(12)": ["'2024-02-29 12:34:56.123456789012'"],
    "timestamp(0)": ["'2024-02-29 12:34:56'", "'2024-02-29 24:00:00'"],
    "decfloat(34)": ["1E+100", "1.1"],
    "vargraphic(20)": ["'日本'"],
    "varbinary(10)": ["BX'00ff'"],
    "xml": ["XMLPARSE(DOCUMENT '<a>é</a>')"],
}


@pytest.fixture(scope="module")
def database(db2: Db2Database) -> Db2Database:
    return db2.fresh_database()


def round_trip(database: Db2Database, kind: str, values: list[str]) -> None:
    database.drop("source", "target")
    for table in ("source", "target"):
        database.execute(f"CREATE TABLE {table} (id integer NOT NULL PRIMARY KEY, v {kind})")
    database.execute(*(f"INSERT INTO source VALUES ({number}, {value})" for number, value in enumerate(values)))
    database.execute("INSERT INTO source (id) VALUES (99)")

    moved = move(reader(database, "source"), writer(database, "target"))

    assert moved.rejects == []
    rows = "SELECT id, v FROM {} ORDER BY id"
    assert database.query(rows.format("target")) == database.query(rows.format("source"))
    assert moved.written == len(values) + 1


@pytest.mark.parametrize("kind", TYPES)
def test_each_type_comes_back_as_it_was(database: Db2Database, kind: str) -> None:
    round_trip(database, kind, TYPES[kind])


@pytest.mark.parametrize("kind", [*NOT_ON_THE_STAND_IN, *ONLY_ON_DB2])
def test_types_that_the_stand_in_has_not(database: Db2Database, kind: str) -> None:
    values = {**NOT_ON_THE_STAND_IN, **ONLY_ON_DB2}[kind]
    if not database.is_stand_in:
        round_trip(database, kind, values)
        return
    with pytest.raises(Exception, match=r"SQLSTATE|exception set"):  # it fails when the stand-in has learnt it
        round_trip(database, kind, values)
    pytest.xfail("Derby has no such type, or the driver cannot read it from Derby")


def test_an_alternate_server_is_tried_when_the_first_one_is_not_there(database: Db2Database) -> None:
    database.drop("source")
    database.execute("CREATE TABLE source (id integer NOT NULL PRIMARY KEY)")
    source = reader(database, "source")
    url = database.jdbc_url.replace(f":{database.port}/", f":{free_port()}/")
    url += f"clientRerouteAlternateServerName={database.host};clientRerouteAlternatePortNumber={database.port};"
    parameter = {**source.parameter, "connection": [{"jdbcUrl": url, "table": ["source"]}]}
    assert type(source)(parameter, (), source.context).schema.names == ["ID"]


def test_a_statement_with_characters_beyond_the_basic_plane_is_sent_whole(database: Db2Database) -> None:
    database.drop("source", "target")
    database.execute(
        "CREATE TABLE source (id integer NOT NULL PRIMARY KEY, v varchar(60))",
        "CREATE TABLE target (id integer NOT NULL PRIMARY KEY, v varchar(60))",
        "INSERT INTO source VALUES (1, '😀😀'), (2, 'x')",
    )
    source = reader(database, "source", where="v = '😀😀' or v = '😀😀😀' or id = 20")
    assert move(source, writer(database, "target")).written == 1


def test_names_fold_as_db2_folds_them(database: Db2Database) -> None:
    database.drop("source", '"lower"')
    database.execute(
        'CREATE TABLE source (id integer NOT NULL PRIMARY KEY, "mixed Case" integer)',
        'CREATE TABLE "lower" ("id" integer NOT NULL PRIMARY KEY, OTHER integer)',
        "INSERT INTO source VALUES (1, 2)",
    )
    source = reader(database, "Source", names=["ID", "mixed Case"], splitPk="Id")
    assert move(source, writer(database, '"lower"', names=["id", "other"])).written == 1
    with pytest.raises(FlinkXError, match="no column MIXED"):
        _ = reader(database, "source", names=["MIXED"]).schema


SPLIT = Split(0)


def numbers(*values: int) -> pa.RecordBatch:
    return pa.record_batch({"ID": pa.array(values, pa.int32())})


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_what_is_left_of_a_closed_connection_frees_no_statement_of_another(database: Db2Database, end: str) -> None:
    """The driver gives the number of a freed statement to the next one, and frees by number what is let go late."""
    database.drop("target")
    database.execute("CREATE TABLE target (id integer NOT NULL PRIMARY KEY)")
    former, latter = writer(database, "target"), writer(database, "target")
    split = former.open(SPLIT, numbers().schema)
    split.write(numbers(1, 2))
    getattr(split, end)()
    former.close()
    other = latter.open(SPLIT, numbers().schema)
    other.write(numbers(3, 4))
    del split
    gc.collect()

    assert other.write(numbers(5, 6)).written == 2
    assert [reject.row for reject in other.write(numbers(7, 5)).rejects] == [{"ID": 5}]
    other.commit()

    latter.close()
    kept = [1, 2] if end == "commit" else []
    assert database.query("SELECT id FROM target ORDER BY id") == [(n,) for n in [*kept, 3, 4, 5, 6, 7]]


def test_rows_that_the_driver_drops_without_an_error_fail_the_job(
    database: Db2Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.drop("source", "target")
    for table in ("source", "target"):
        database.execute(f"CREATE TABLE {table} (id integer NOT NULL PRIMARY KEY)")
    database.execute("INSERT INTO source VALUES 1, 2, 3")
    with monkeypatch.context() as patched:
        patched.setattr(ibm_db, "num_rows", lambda _statement: 0)  # as for a statement that it no longer knows
        with pytest.raises(DataError, match="told no error, but wrote 0 rows of 3"):
            move(reader(database, "source"), writer(database, "target"))
    with monkeypatch.context() as patched:
        forgetful = SimpleNamespace(**{**vars(ibm_db), "num_fields": lambda _statement: 0})
        patched.setattr("airflow_provider_flinkx.plugins.db2.reader.ibm_db", forgetful)
        with pytest.raises(DataError, match="the driver lost the statement"):
            move(reader(database, "source"), writer(database, "target"))
    assert database.query("SELECT id FROM target") == []
