"""Oracle at the driver's boundary: URLs, SQL text and values, on a double of the driver. Never a real server."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import oracledb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_flinkx.exceptions import (
    AccessDeniedError,
    ConnectionFailedError,
    DataError,
    JobInvalidError,
    NotFoundError,
)
from airflow_provider_flinkx.jobs.model import Column
from airflow_provider_flinkx.plugins.base import Category, RunContext, Split, SplitWrittenError
from airflow_provider_flinkx.plugins.oracle import database as oracle_database
from airflow_provider_flinkx.plugins.oracle import url
from airflow_provider_flinkx.plugins.oracle.database import Oracle
from airflow_provider_flinkx.plugins.oracle.reader import OracleReader
from airflow_provider_flinkx.plugins.oracle.types import SourceType, TargetColumn
from airflow_provider_flinkx.plugins.oracle.writer import OracleWriter, fit_column
from tests.unit.plugins.relational.oracle_double import Double, column, error

URL = "jdbc:oracle:thin:@//h:1521/svc"


def parameter(table: str | None = "app.t", jdbc_url: str = URL, **others: Any) -> dict[str, Any]:
    connection: dict[str, Any] = {"jdbcUrl": jdbc_url}
    if table:
        connection["table"] = [table]
    return {"username": "u", "password": "p@ss", "connection": [connection], "queryTimeOut": 7, **others}


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Double]:
    def made(answers: Any = None, tables: Any = (), errors: Any = ()) -> Double:
        found = Double(answers or {}, tables, errors)
        monkeypatch.setattr(oracledb, "connect", found.connect)
        return found

    return made


# -- URLs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "hosts", "ports", "service", "sid"),
    [
        ("@h:1521:ORCL", "h", 1521, None, "ORCL"),
        ("@//h:1522/svc", "h", 1522, "svc", None),
        ("@h:1522/svc", "h", 1522, "svc", None),
        ("@//h/svc.example.com", "h", 1521, "svc.example.com", None),
        ("@//h:1521/svc:dedicated/inst", "h", 1521, "svc", None),
        ("@tcps://h:2484/svc?ssl_server_dn_match=off", "h", 2484, "svc", None),
        ("@//a,b:1522/svc", ["a", "b"], [1522, 1522], "svc", None),
        ("@[::1]:1521:ORCL", "::1", 1521, None, "ORCL"),
        ("@(DESCRIPTION=(ADDRESS=(PROTOCOL=tcp)(HOST=h)(PORT=7))(CONNECT_DATA=(SID=x)))", "h", 7, None, "x"),
    ],
)
def test_url_forms_as_the_driver_reads_them(target: str, hosts: Any, ports: Any, service: Any, sid: Any) -> None:
    address = url.address_of(parameter(jdbc_url=f"jdbc:oracle:thin:{target}"))
    read = oracledb.ConnectParams()
    read.parse_connect_string(address.dsn)
    assert (read.host, read.port, read.service_name, read.sid) == (hosts, ports, service, sid)
    assert [server.host for server in address.servers] == ([hosts] if isinstance(hosts, str) else hosts)
    assert address.database == (service or sid)


def test_an_alias_stands_in_the_named_folder(tmp_path: Any) -> None:
    (tmp_path / "tnsnames.ora").write_text(
        "MYDB_HIGH = (DESCRIPTION=(ADDRESS=(PROTOCOL=tcps)(HOST=h)(PORT=1522))(CONNECT_DATA=(SERVICE_NAME=s)))"
    )
    given = parameter(jdbc_url=f"jdbc:oracle:thin:@mydb_high?TNS_ADMIN={tmp_path}")
    address = url.address_of(given)
    assert str(address) == "mydb_high"
    read = oracledb.ConnectParams(**url.settings(given, address))
    read.parse_connect_string(address.dsn)
    assert (read.host, read.service_name) == ("h", "s")


def test_an_alias_may_have_dots_where_the_url_says_where_it_stands(tmp_path: Any) -> None:
    address = url.address_of(parameter(jdbc_url=f"jdbc:oracle:thin:@mydb.world?TNS_ADMIN={tmp_path}"))
    assert (address.dsn, address.servers) == ("mydb.world", ())
    assert url.address_of(parameter(jdbc_url="jdbc:oracle:thin:@h.example.com/svc")).dsn == "h.example.com/svc"


def test_what_the_driver_would_pass_over_is_named() -> None:
    text = "jdbc:oracle:thin:@tcps://h:1/s?retry_count=3&connect_timeout=5&oracle.net.wallet_location=/w"
    given = parameter(jdbc_url=text, properties={"oracle.net.CONNECT_TIMEOUT": 5})
    address = url.address_of(given)
    assert address.dsn == "tcps://h:1/s?retry_count=3"
    assert url.settings(given, address) == {"wallet_location": "/w"}
    assert [message for _, message in url.remarks(given)] == [
        "parameter 'connect_timeout' has no effect: a server that does not answer is given up within 15 seconds",
        "has no effect: a server that does not answer is given up within 15 seconds",
    ]


def test_a_login_in_the_url_counts_last() -> None:
    given = parameter(jdbc_url='jdbc:oracle:thin:scott/"t@iger"@h:1:s')
    assert url.address_of(given).user == "u"
    del given["username"], given["password"]
    address = url.address_of(given)
    assert (address.user, address.password) == ("scott", "t@iger")
    assert "iger" not in f"{address} {address!r}"


@pytest.mark.parametrize(
    "text", ["jdbc:oracle:thin:h:1521:s", "jdbc:mysql://h/d", "jdbc:oracle:thin:@", "jdbc:oracle:thin:@ldap://h/x,cn=y"]
)
def test_unreadable_urls(text: str) -> None:
    with pytest.raises(JobInvalidError):
        url.address_of(parameter(jdbc_url=text))


def test_properties_of_javas_driver() -> None:
    properties = {
        "oracle.net.wallet_location": "(SOURCE=(METHOD=file)(METHOD_DATA=(DIRECTORY=/w)))",
        "oracle.net.ssl_server_dn_match": "true",
        "v$session.program": "flinkx",
        "oracle.jdbc.ReadTimeout": "5000",
        "defaultRowPrefetch": "1000",
    }
    given = parameter(properties=properties)
    assert url.settings(given, url.address_of(given)) == {
        "wallet_location": "/w",
        "ssl_server_dn_match": True,
        "program": "flinkx",
    }
    assert url.read_timeout(given) == 5000
    assert [key for key, _ in url.remarks(given)] == ["properties.defaultRowPrefetch"]


# -- Logins ----------------------------------------------------------------------------------------


def test_each_session_has_points_and_binary_order(double: Any) -> None:
    made = double()
    Oracle(parameter(session=["ALTER SESSION SET CURRENT_SCHEMA = app"]), "UTC").connect()
    assert made.statements == [oracle_database.SESSION, "ALTER SESSION SET CURRENT_SCHEMA = app"]
    assert made.logins[0]["dsn"] == "h:1521/svc"


def test_unreachable_and_mute_servers_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle_database, "CONNECT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        mute = Oracle(parameter(jdbc_url=f"jdbc:oracle:thin:@127.0.0.1:{port}:x"), "UTC")
        with pytest.raises(ConnectionFailedError, match=f"127.0.0.1:{port}/x: connect: no answer"):
            mute.connect()
    with pytest.raises(ConnectionFailedError, match="DPY-6005"):
        Oracle(parameter(jdbc_url=f"jdbc:oracle:thin:@127.0.0.1:{port}:x"), "UTC").connect()


@pytest.mark.parametrize(
    ("code", "kind"),
    [(1017, AccessDeniedError), (942, NotFoundError), (3113, ConnectionFailedError), (600, DataError)],
)
def test_errors_by_their_number(code: int, kind: type[DataError]) -> None:
    found = Oracle(parameter(), "UTC").failure(oracledb.DatabaseError(error(code, message="p@ss\nHelp: x")), "read")
    assert type(found) is kind
    assert "p@ss" not in str(found)
    assert "Help" not in str(found)


# -- Reading ---------------------------------------------------------------------------------------

DESCRIPTION = [
    column("ID", oracledb.DB_TYPE_NUMBER, 10, 0, null_ok=False),
    column("AMOUNT", oracledb.DB_TYPE_NUMBER, 20, 2),
    column("ANY", oracledb.DB_TYPE_NUMBER, 0, -127),
    column("TEXT", oracledb.DB_TYPE_VARCHAR, size=40),
    column("DAY", oracledb.DB_TYPE_DATE),
    column("FINE", oracledb.DB_TYPE_TIMESTAMP, 0, 9),
    column("ZONED", oracledb.DB_TYPE_TIMESTAMP_TZ, 0, 6),
    column("BYTES", oracledb.DB_TYPE_BLOB),
]
FETCHED = pa.table(
    {
        "ID": pa.array([1, 2], pa.int64()),
        "AMOUNT": pa.array([Decimal("1.50"), None], pa.decimal128(20, 2)),
        "ANY": pa.array(["-.5", "1E+100"]),
        "TEXT": pa.array(["é", None]),
        "DAY": pa.array([" 2024-02-29 12:34:56", None]),
        "FINE": pa.array([" 2024-02-29 12:34:56.123456789", None]),
        "ZONED": pa.array([" 2024-02-29 12:34:56.123456", None]),
        "BYTES": pa.array([b"\0\xff", None]),
    }
)


PLACE = "FROM ALL_TABLES WHERE OWNER = :1 AND TABLE_NAME = :2\nUNION"


def reader(columns: tuple[str, ...] = (), **others: Any) -> OracleReader:
    return OracleReader(parameter(**others), [Column(name=name) for name in columns], RunContext("k", "a", channels=2))


def test_values_are_read_as_they_are(double: Any) -> None:
    double({"WHERE 1 = 0": DESCRIPTION}, [FETCHED])
    made = reader()
    (batch,) = made.read(Split(0, {}))
    assert batch.rows.schema.equals(made.schema)
    assert batch.rows.to_pylist()[0] | {"FINE": None} == {
        "ID": 1,
        "AMOUNT": Decimal("1.50"),
        "ANY": "-0.5",
        "TEXT": "é",
        "DAY": datetime(2024, 2, 29, 12, 34, 56),
        "FINE": None,
        "ZONED": datetime(2024, 2, 29, 12, 34, 56, 123456, tzinfo=timezone.utc),
        "BYTES": b"\0\xff",
    }
    assert batch.rows["FINE"].cast(pa.int64()).to_pylist() == [1709210096123456789, None]


def test_moments_beyond_arrow_stay_text(double: Any) -> None:
    columns = {"DAY": "-0044-03-15 00:00:00", "FINE": " 9999-12-31 00:00:00.000000001", "ZONED": "-0044-03-15 00:00:00"}
    table = FETCHED.slice(0, 1)
    for name, text in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, pa.array([text]))
    double({"WHERE 1 = 0": DESCRIPTION}, [table])
    (batch,) = reader().read(Split(0, {}))
    assert [batch.rows[name].to_pylist() for name in columns] == [
        ["-0044-03-15 00:00:00"],
        ["9999-12-31 00:00:00.000000001"],
        ["-0044-03-15 00:00:00+00:00"],
    ]


def test_the_query_of_a_split(double: Any) -> None:
    made = double({"WHERE 1 = 0": DESCRIPTION})
    source = reader(("id", "ANY", "ZONED"), where="id > 1 or 1 = 1")
    list(source.read(Split(0, {"condition": '"ID" < 5'})))
    assert made.statements[-1] == (
        'SELECT "ID" AS "ID", TO_CHAR("ANY", \'TM9\') AS "ANY", '
        "TO_CHAR(SYS_EXTRACT_UTC(\"ZONED\"), 'SYYYY-MM-DD HH24:MI:SS.FF6', 'NLS_CALENDAR=GREGORIAN') AS \"ZONED\" "
        'FROM "APP"."T" WHERE (id > 1 or 1 = 1\n) AND ("ID" < 5\n)'
    )
    assert source.schema.names == ["id", "ANY", "ZONED"]


def test_a_column_that_is_not_there_or_cannot_be_read(double: Any) -> None:
    double({"WHERE 1 = 0": [*DESCRIPTION, column("O", oracledb.DB_TYPE_OBJECT)]})
    with pytest.raises(NotFoundError, match="no column nope; it has ID, AMOUNT"):
        _ = reader(("nope",)).schema
    with pytest.raises(DataError, match="column O has the type OBJECT"):
        _ = reader(("O",)).schema


@pytest.mark.parametrize(
    ("precision", "scale", "wanted"),
    [
        (18, 0, pa.int64()), (19, 0, pa.decimal128(19, 0)), (38, 0, pa.decimal128(38, 0)), (5, -2, pa.int64()),
        (2, 5, pa.decimal128(5, 5)), (38, -2, pa.string()), (0, -127, pa.string()), (126, -127, pa.string()),
        (10, 100, pa.string()), (20, 4, pa.decimal128(20, 4)),
    ],
)  # fmt: skip
def test_numbers(precision: int, scale: int, wanted: pa.DataType) -> None:
    assert SourceType("NUMBER", precision, scale).arrow == wanted


def test_splits_by_a_key(double: Any) -> None:
    keys = [(f"{n}",) for n in range(20_000)]
    made = double(
        {
            PLACE: [("APP", "T")],
            "NUM_ROWS": [(20_000,)],
            "ALL_INDEXES": [("PK", "ID")],
            "WHERE 1 = 0": DESCRIPTION,
            "ORDER BY": keys,
        }
    )
    splits = reader().splits()
    assert len(splits) == 8
    assert splits[1].spec["condition"] == '"ID" >= 2500 AND "ID" < 5000'
    assert made.statements[-1] == (
        'SELECT TO_CHAR("ID", \'TM9\') FROM "APP"."T" WHERE ("ID" IS NOT NULL\n) ORDER BY "ID"'
    )


def test_a_pattern_counts_in_upper_case_unless_in_quotes(double: Any) -> None:
    double({"NESTED = 'NO'": [("ORDERS_2",), ("ORDERS_1",), ("orders_3",), ("OTHER",), ("FLINKX_LEDGER",)]})
    found = reader(connection=[{"jdbcUrl": URL, "table": ["orders_*", "app.o[r]*", "one"]}]).tables()
    assert [(table.table, table.name) for table in found] == [
        ("ORDERS_1", "ORDERS_1"), ("ORDERS_2", "ORDERS_2"), ("APP.ORDERS_1", "ORDERS_1"), ("APP.ORDERS_2", "ORDERS_2"),
        ("one", "one"),
    ]  # fmt: skip


def test_row_number_as_splitpk_leaves_the_key_to_the_reader(double: Any) -> None:
    double(
        {
            PLACE: [("APP", "T")],
            "NUM_ROWS": [(20_000,)],
            "WHERE 1 = 0": DESCRIPTION,
        }
    )
    assert len(reader(splitPk="ROW_NUMBER(id)").splits()) == 1


@pytest.mark.parametrize(
    ("kind", "value", "literal"),
    [
        (SourceType("NUMBER"), "-1.5", "-1.5"),
        (SourceType("BINARY_DOUBLE"), 0.1, "0.1d"),
        (SourceType("VARCHAR"), "it's", "'it''s'"),
        (SourceType("NVARCHAR"), "é", "N'é'"),
        (SourceType("RAW"), "00FF", "HEXTORAW('00FF')"),
        (SourceType("DATE"), " 2024-02-29 00:00:00", "TO_DATE('2024-02-29 00:00:00', 'SYYYY-MM-DD HH24:MI:SS')"),
        (SourceType("DATE"), "2024-02-29 00:00:00.5",
         "TO_TIMESTAMP('2024-02-29 00:00:00.5', 'SYYYY-MM-DD HH24:MI:SS.FF')"),
        (
            SourceType("TIMESTAMP_TZ", scale=6), "2024-02-29 00:00:00.5+00:00",
            "FROM_TZ(TO_TIMESTAMP('2024-02-29 00:00:00.5', 'SYYYY-MM-DD HH24:MI:SS.FF'), 'UTC')",
        ),
    ],
)  # fmt: skip
def test_key_literals(kind: SourceType, value: Any, literal: str) -> None:
    assert kind.key_literal(value) == literal


def test_an_incremental_read(double: Any) -> None:
    made = double(
        {
            "MAX(": [(" 2024-02-29 12:34:56.123456",)],
            "WHERE 1 = 0": DESCRIPTION,
            "ALL_SYNONYMS": [],
            "CURRENT": [("U",)],
        }
    )
    source = reader(increColumn="ZONED", startLocation="1709210000")
    (split,) = source.splits()
    list(source.read(split))
    assert source.location() == {"startLocation": "1709210000", "endLocation": "1709210096123456"}
    moment = "FROM_TZ(TO_TIMESTAMP('{}', 'SYYYY-MM-DD HH24:MI:SS.FF'), 'UTC')"
    assert f'"ZONED" > {moment.format("2024-02-29 12:33:20.000000")}' in made.statements[-1]
    assert f'"ZONED" <= {moment.format("2024-02-29 12:34:56.123456")}' in made.statements[-1]


# -- One snapshot ----------------------------------------------------------------------------------

SMALL = {"WHERE 1 = 0": DESCRIPTION, PLACE: [("APP", "T")], "NUM_ROWS": [(5,)], "COUNT(*)": [(5,)]}
SCN = {"DBMS_FLASHBACK": [("4711",)]}
REFUSED = {"DBMS_FLASHBACK": oracledb.DatabaseError(error(904)), "V$DATABASE": oracledb.DatabaseError(error(942))}


def test_all_splits_are_read_as_of_one_scn(double: Any) -> None:
    keys = {"ALL_INDEXES": [("PK", "ID")], "ORDER BY": [(f"{n}",) for n in range(20_000)], "NUM_ROWS": [(20_000,)]}
    made = double({**SCN, **SMALL, **keys})
    first = reader(consistent=True)
    splits = first.splits()
    assert len(splits) == 8
    assert first.take_hold() is None
    for split in splits[:2]:
        other = reader(("id",), consistent=True)
        list(other.read(split))
        assert made.statements[-1].startswith('SELECT "ID" AS "ID" FROM "APP"."T" AS OF SCN 4711 WHERE ("ID" ')
        assert other.location() == {"snapshot": "4711@a"}


def test_another_table_is_read_as_of_the_same_scn(double: Any) -> None:
    double({**SCN, **SMALL})
    first, other = reader(consistent=True), reader(consistent=True, table="app.other")
    first.splits()
    double({"DBMS_FLASHBACK": [("4999",)], **SMALL, PLACE: [("APP", "OTHER")]})
    other.join_snapshot(first)
    (split,) = other.splits()
    assert split.spec["location"] == {"snapshot": "4711@a"}


def test_the_tables_of_a_query_are_seen_by_a_session_that_went_back(double: Any) -> None:
    made = double({**SCN, **SMALL})
    source = reader(("id",), table=None, consistent=True, customSql="select * from t")
    (split,) = source.splits()
    list(source.read(split))
    assert made.statements[-2] == "BEGIN DBMS_FLASHBACK.ENABLE_AT_SYSTEM_CHANGE_NUMBER(4711); END;"
    assert made.statements[-1] == 'SELECT "ID" AS "ID" FROM (select * from t\n) flinkx_tmp'


def test_the_view_is_asked_where_the_package_may_not_be_used(double: Any) -> None:
    double({"DBMS_FLASHBACK": oracledb.DatabaseError(error(904)), "V$DATABASE": [("4712",)], **SMALL})
    (split,) = reader(consistent=True).splits()
    assert split.spec["location"] == {"snapshot": "4712@a"}


def test_missing_grants_are_named(double: Any) -> None:
    double({**REFUSED, **SMALL})
    with pytest.raises(AccessDeniedError, match=r"GRANT EXECUTE ON DBMS_FLASHBACK, or SELECT ON V_\$DATABASE"):
        reader(consistent=True).splits()
    double({**SCN, "AS OF": oracledb.DatabaseError(error(1031)), **SMALL})
    with pytest.raises(AccessDeniedError, match=r"GRANT FLASHBACK ON APP\.T"):
        reader(consistent=True).splits()
    double({"BEGIN": oracledb.DatabaseError(error(6550)), **SCN, **SMALL})
    query = reader(table=None, consistent=True, customSql="select * from t")
    with pytest.raises(DataError, match="needs EXECUTE on DBMS_FLASHBACK: ORA-06550"):
        list(query.read(query.splits()[0]))


@pytest.mark.parametrize(
    ("code", "hint"), [(1555, "UNDO_RETENTION"), (1466, "made or altered"), (8181, "no longer knows the snapshot")]
)
def test_a_snapshot_that_cannot_be_read_is_told_as_what_it_is(double: Any, code: int, hint: str) -> None:
    double({**SCN, "AS OF": oracledb.DatabaseError(error(code)), **SMALL})
    with pytest.raises(DataError, match=f"ORA-0{code}: refused .*{hint}"):
        reader(consistent=True).splits()


# -- Writing ---------------------------------------------------------------------------------------

TARGET = [
    ("ID", "NUMBER", 10, 0, "N"), ("TEXT", "VARCHAR2", None, None, "Y"),
    ("ZONED", "TIMESTAMP(6) WITH TIME ZONE", None, 6, "Y"), ("BODY", "CLOB", None, None, "Y"),
    ("FIXED", "NUMBER", 1, 0, "N"),
]  # fmt: skip
CATALOG = {
    PLACE: [("APP", "T")],
    "ALL_TAB_COLS": TARGET,
    "ALL_INDEXES": [("PK", "ID"), ("OTHER", "TEXT"), ("OTHER", "BODY")],
}
ROWS = pa.record_batch(
    {
        "a": pa.array([1, 2, 3], pa.int64()),
        "b": pa.array(["x", "", None]),
        "c": pa.array([datetime(2024, 2, 29), None, None], pa.timestamp("us", "UTC")),
    }
)


def write(names: tuple[str, ...], rows: pa.RecordBatch, **others: Any) -> tuple[OracleWriter, Any]:
    made = OracleWriter(parameter(**others), [Column(name=name) for name in names], RunContext("k", "a"))
    made.prepare(rows.schema)
    part = made.open(Split(0, {}), rows.schema)
    return made, part


def test_an_insert_from_arrow(double: Any) -> None:
    made = double(CATALOG)
    _, part = write(("id", "text", "zoned"), ROWS)
    assert part.write(ROWS).written == 3
    part.commit()
    ((statement, rows),) = made.written
    assert statement == 'INSERT INTO "APP"."T" ("ID", "TEXT", "ZONED") VALUES (:1, :2, FROM_TZ(:3, \'UTC\'))'
    assert [row["ID"] for row in rows] == [Decimal(1), Decimal(2), Decimal(3)]
    assert rows[0]["ZONED"] == datetime(2024, 2, 29)
    assert made.commits == 2  # preSql and the look at the table are a transaction of their own


def test_refused_rows_are_those_that_the_server_names(double: Any) -> None:
    double(CATALOG, errors=[error(1, 0), error(1400, 2)])
    _, part = write(("ID", "TEXT", "ZONED"), ROWS)
    result = part.write(ROWS)
    assert result.written == 1
    assert [(reject.row["a"], reject.category) for reject in result.rejects] == [
        (1, Category.DUPLICATE),
        (3, Category.NULL),
    ]


def test_what_is_no_matter_of_a_row_ends_the_split(double: Any) -> None:
    made = double(CATALOG, errors=[error(1, 0), error(1653, 1, "unable to extend table")])
    _, part = write(("ID", "TEXT", "ZONED"), ROWS)
    with pytest.raises(DataError, match="unable to extend"):
        part.write(ROWS)
    part.rollback()
    assert made.rollbacks == 1


def test_row_by_row(double: Any) -> None:
    made = double(CATALOG)
    _, part = write(("ID", "TEXT", "ZONED"), ROWS, batchSize=1)
    part.write(ROWS)
    assert [len(rows) for _, rows in made.written] == [1, 1, 1]


@pytest.mark.parametrize(
    ("others", "on", "changes"),
    [
        ({"writeMode": "update"}, '(T1."ID" = T2."ID")', 'T1."TEXT" = T2."TEXT", T1."ZONED" = T2."ZONED"'),
        ({"writeMode": "update", "updateKey": ["text"]}, '(T1."TEXT" = T2."TEXT")',
         'T1."ID" = T2."ID", T1."ZONED" = T2."ZONED"'),
        ({"writeMode": "replace", "updateKey": {"k": ["ID"], "l": ["TEXT", "ZONED"]}},
         '(T1."ID" = T2."ID") OR (T1."TEXT" = T2."TEXT" AND T1."ZONED" = T2."ZONED")', 'T1."BODY" = NULL'),
    ],
)  # fmt: skip
def test_update_and_replace_are_a_merge(double: Any, others: Any, on: str, changes: str) -> None:
    made = double(CATALOG)
    _, part = write(("ID", "TEXT", "ZONED"), ROWS, **others)
    part.write(ROWS)
    assert made.written[0][0] == (
        'MERGE INTO "APP"."T" T1 USING (SELECT :1 "ID", :2 "TEXT", FROM_TZ(:3, \'UTC\') "ZONED" FROM DUAL) T2 '
        f"ON ({on}) WHEN MATCHED THEN UPDATE SET {changes} "
        'WHEN NOT MATCHED THEN INSERT ("ID", "TEXT", "ZONED") VALUES (T2."ID", T2."TEXT", T2."ZONED")'
    )


def test_without_a_key_an_update_inserts(double: Any) -> None:
    made = double({**CATALOG, "ALL_INDEXES": []})
    _, part = write(("ID", "TEXT", "ZONED"), ROWS, writeMode="update")
    part.write(ROWS)
    assert made.written[0][0].startswith("INSERT")


def test_large_values_of_a_merge_go_as_locators(double: Any) -> None:
    made = double(CATALOG)
    rows = pa.record_batch({"a": pa.array([1], pa.int64()), "b": pa.array(["x" * 100_000])})
    _, part = write(("ID", "BODY"), rows, writeMode="update")
    part.write(rows)
    assert made.sizes == [(None, oracledb.DB_TYPE_CLOB)]
    assert made.written[0][1] == [(Decimal(1), "x" * 100_000)]


def test_no_table_no_column_no_key(double: Any) -> None:
    double({"CURRENT_SCHEMA": [("U",)]})
    with pytest.raises(NotFoundError, match=r"there is no table T"):
        write(("ID",), ROWS, table="t")
    double(CATALOG)
    with pytest.raises(NotFoundError, match="no column nope; it has ID, TEXT"):
        write(("ID", "nope", "ZONED"), ROWS)
    with pytest.raises(NotFoundError, match="updateKey: body is not among the written columns"):
        write(("ID", "TEXT", "ZONED"), ROWS, writeMode="update", updateKey={"k": ["body"]})


# -- The ledger ------------------------------------------------------------------------------------

KEPT = "SELECT split, entry"


def ledger(**others: Any) -> Any:
    return OracleWriter(parameter(**others), [], RunContext("a-run", "a")).ledger()


def lob(value: Any) -> Any:
    """A locator, as the driver gives one for a CLOB."""
    return SimpleNamespace(read=lambda: json.dumps(value))


def test_the_ledger_is_made_beside_the_target(double: Any) -> None:
    made = double({KEPT: oracledb.DatabaseError(error(942))})
    assert ledger().read() is None
    assert made.statements[-1] == (
        'CREATE TABLE "APP"."FLINKX_LEDGER" (job_key VARCHAR2(200) NOT NULL, split integer NOT NULL, '
        "written NUMBER(19) NOT NULL, entry CLOB NOT NULL, PRIMARY KEY (job_key, split))"
    )
    assert made.commits == 1
    double({KEPT: oracledb.DatabaseError(error(942)), "CREATE TABLE": oracledb.DatabaseError(error(1031))})
    with pytest.raises(AccessDeniedError, match=r"make table APP.FLINKX_LEDGER: ORA-01031"):
        ledger().read()
    made = double()
    ledger(ledgerTable='audit."My ledger"').read()
    assert 'FROM "AUDIT"."My ledger" WHERE job_key = \'a-run\'' in made.statements[-1]


def test_what_the_ledger_keeps_is_read_from_locators(double: Any) -> None:
    plan = {"digest": "d", "splits": [{"index": 0, "spec": {"condition": "x"}, "rows": None}], "before": None}
    double({KEPT: [(-1, lob(plan)), (0, lob({"split": 0}))]})
    kept = ledger().read()
    assert (kept.digest, kept.splits, kept.done) == ("d", [Split(0, {"condition": "x"})], {0: {"split": 0}})


def test_an_entry_of_any_length_is_joined_of_literals_that_oracle_takes(double: Any) -> None:
    report = {"condition": "it's " * 3_000 + "é"}
    statement = ledger().entry(7, report)
    pieces = re.findall(r"TO_CLOB\('((?:[^']|'')*)'\)", statement)
    assert max(map(len, pieces)) <= 4_000
    assert json.loads("".join(piece.replace("''", "'") for piece in pieces)) == report
    made = double()
    made.take(statement)


def test_a_split_and_its_entry_are_one_transaction(double: Any) -> None:
    made = double(CATALOG)
    _, part = write(("ID", "TEXT", "ZONED"), ROWS)
    part.write(ROWS)
    begun = made.commits
    part.record({"split": 0})
    assert made.commits == begun
    assert made.statements[-1].startswith('INSERT INTO "APP"."FLINKX_LEDGER" (job_key, split, written, entry) VALUES')
    part.commit()
    assert made.commits == begun + 1


def test_another_try_has_written_the_split(double: Any) -> None:
    double({**CATALOG, "FLINKX_LEDGER": oracledb.IntegrityError(error(1, message="unique constraint violated"))})
    _, part = write(("ID", "TEXT", "ZONED"), ROWS)
    with pytest.raises(SplitWrittenError, match="unique constraint"):
        part.record({"split": 0})
    double({**CATALOG, "FLINKX_LEDGER": oracledb.DatabaseError(error(3113, message="end-of-file"))})
    _, part = write(("ID", "TEXT", "ZONED"), ROWS)
    with pytest.raises(ConnectionFailedError, match="end-of-file"):
        part.record({"split": 0})


# -- Fitting ---------------------------------------------------------------------------------------


def fitted(
    column: TargetColumn, values: Any, kind: pa.DataType | None = None, zone: str = "UTC"
) -> tuple[Any, set[int]]:
    found = fit_column(column, zone, pa.array(values, kind))
    return found.array.to_pylist(), set(found.failures)


NUMBER = TargetColumn("N", "NUMBER")


@pytest.mark.parametrize(
    ("column", "values", "kind", "bad"),
    [
        (TargetColumn("N", "NUMBER", 5, 2), ["123.45", "123.456", "1234.5", "x"], None, {1, 2, 3}),
        (TargetColumn("N", "NUMBER", 5, -2), [1200, 1234], pa.int64(), {1}),
        (TargetColumn("N", "NUMBER", None, 0), [1.5, 2.0], pa.float64(), {0}),
        (NUMBER, ["1E+100", "0.1", "1e-131", "NaN", "x", "0e999"], None, {2, 3, 4}),
        (NUMBER, ["9" * 40, "9" * 41, "." + "3" * 40], None, {1}),
        (NUMBER, ["1" + "0" * 120, "1" + "3" * 38 + ".1", "1" + "3" * 37 + ".1"], None, {1}),
        (NUMBER, [0.1, float("inf"), 1e-300], pa.float64(), {1, 2}),
        (TargetColumn("N", "FLOAT", 63), ["0.1234567890123456789", "0.12345678901234567890123"], None, {1}),
        (TargetColumn("D", "DATE"), [datetime(2024, 1, 1, 1), datetime(2024, 1, 1, 1, 0, 0, 5)], None, {1}),
        (TargetColumn("T", "TIMESTAMP", None, 3), ["2024-01-01 00:00:00.123", "2024-01-01 00:00:00.1234"], None, {1}),
        (TargetColumn("D", "DATE"), ["-0044-03-15 00:00:00", "nonsense"], None, set()),
        (TargetColumn("T", "TIMESTAMP WITH TIME ZONE", None, 9),
         ["2024-01-01 00:00:00.123456789+05:30", "2024-01-01 00:00:00.123456789"], None, {1}),
    ],
)  # fmt: skip
def test_what_oracle_would_change_is_refused(column: TargetColumn, values: Any, kind: Any, bad: set[int]) -> None:
    assert fitted(column, values, kind)[1] == bad


def test_nanoseconds_go_as_text() -> None:
    column = TargetColumn("T", "TIMESTAMP", None, 9)
    found = fit_column(column, "UTC", pa.array([1709210096123456789, 1709210096123456000], pa.timestamp("ns")))
    assert (found.as_text, found.failures) == (True, {})
    assert found.array.to_pylist() == ["2024-02-29 12:34:56.123456789", "2024-02-29 12:34:56.123456"]


def test_an_instant_is_written_as_utc_whatever_the_jobs_zone_is() -> None:
    column = TargetColumn("T", "TIMESTAMP WITH LOCAL TIME ZONE", None, 6)
    assert fitted(column, [datetime(2024, 7, 1, 20)], pa.timestamp("us"), "Asia/Shanghai")[0] == [
        datetime(2024, 7, 1, 12)
    ]
    assert column.value(":1", as_text=False) == "FROM_TZ(:1, 'UTC')"


@given(st.decimals(allow_nan=False, allow_infinity=False, places=None))
def test_a_number_is_refused_exactly_when_twenty_pairs_of_digits_are_not_enough(number: Decimal) -> None:
    _, failures = fitted(NUMBER, [str(number)])
    _, digits, exponent = number.as_tuple()
    plain = "".join(map(str, digits))
    point = len(plain) + int(exponent)
    whole, fraction = (
        (plain + "0" * max(0, int(exponent)))[: max(0, point)],
        "0" * max(0, -point) + plain[max(0, point) :],
    )
    pairs = whole.rjust(len(whole) + len(whole) % 2, "0") + fraction.ljust(len(fraction) + len(fraction) % 2, "0")
    needed = [pairs[place : place + 2] for place in range(0, len(pairs), 2)]
    while needed and needed[0] == "00":
        needed.pop(0)
    while needed and needed[-1] == "00":
        needed.pop()
    too_near = bool(number) and number.adjusted() < -130
    assert bool(failures) == (len(needed) > 20 or too_near)
