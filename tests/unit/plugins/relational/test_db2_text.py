"""DB2 without a server: URLs, statements that the stand-in does not know, and values."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_flinkx.exceptions import (
    AccessDeniedError,
    ConnectionFailedError,
    DataError,
    JobInvalidError,
    NotFoundError,
)
from airflow_provider_flinkx.jobs.model import Column
from airflow_provider_flinkx.plugins.base import Category, RunContext, Split
from airflow_provider_flinkx.plugins.db2 import url
from airflow_provider_flinkx.plugins.db2.database import DB2, whole
from airflow_provider_flinkx.plugins.db2.types import SourceType, TargetColumn
from airflow_provider_flinkx.plugins.db2.writer import DB2SplitWriter, DB2Writer, fit_column
from airflow_provider_flinkx.plugins.relational.jdbc import Server

URL = "jdbc:db2://h:50000/db:currentSchema=APP;"


def parameter(jdbc_url: str = URL, **others: Any) -> dict[str, Any]:
    return {"username": "u", "password": "p@ss", "connection": [{"jdbcUrl": jdbc_url, "table": ["app.t"]}], **others}


@pytest.mark.parametrize(
    ("text", "servers", "database", "properties"),
    [
        ("jdbc:db2://h:1/db", [("h", 1)], "db", {}),
        ("jdbc:db2://h/db", [("h", 50000)], "db", {}),
        ("jdbc:db2://[::1]:1/db:a=b;c=d=e;", [("::1", 1)], "db", {"a": "b", "c": "d=e"}),
        (
            "jdbc:db2://h:1/db:clientRerouteAlternateServerName=i,j;clientRerouteAlternatePortNumber=2,3;user=x;",
            [("h", 1), ("i", 2), ("j", 3)], "db",
            {"clientRerouteAlternateServerName": "i,j", "clientRerouteAlternatePortNumber": "2,3"},
        ),
    ],
)  # fmt: skip
def test_url_forms(text: str, servers: list[tuple[str, int]], database: str, properties: dict[str, str]) -> None:
    address = url.address_of(parameter(text))
    assert address.servers == tuple(Server(*server) for server in servers)
    assert (address.database, address.parameters, address.user) == (database, properties, "u")


@pytest.mark.parametrize("text", ["jdbc:db2:db", "jdbc:db2://h", "jdbc:mysql://h/d", "jdbc:db2://h:x/d"])
def test_unreadable_urls(text: str) -> None:
    with pytest.raises(JobInvalidError):
        url.address_of(parameter(text))


def test_properties_become_keywords_of_the_cli_driver_or_a_remark() -> None:
    given = parameter(
        "jdbc:db2://h/db:currentSchema=A;sslConnection=true;sslTrustStoreLocation=/x;securityMechanism=3;",
        properties={"currentSchema": "B", "progressiveStreaming": 2, "LONGDATACOMPAT": "1"},
    )
    assert url.settings(given, url.address_of(given)) == {
        "SECURITY": "SSL", "AUTHENTICATION": "SERVER", "LONGDATACOMPAT": "1",
    }  # fmt: skip
    assert url.current_schema(parameter(URL), url.address_of(parameter(URL))) == "APP"
    said = [(key, message) for key, message in url.remarks(given)]
    assert [key for key, _ in said] == ["connection[0].jdbcUrl", "properties.progressiveStreaming"]
    assert "'sslTrustStoreLocation'" in said[0][1]
    unknown = parameter("jdbc:db2://h/db:securityMechanism=18;loginTimeout=5;")
    assert [message.split("'")[1] for _, message in url.remarks(unknown)] == ["securityMechanism", "loginTimeout"]


COLUMNS = (
    TargetColumn("ID", SourceType("INTEGER", 4, 0), 0, False),
    TargetColumn("NAME", SourceType("VARCHAR", 20, 0), 1208, False),
    TargetColumn("AMOUNT", SourceType("DECIMAL", 10, 2), 0, False),
    TargetColumn("MOMENT", SourceType("TIMESTAMP", 10, 6), 0, False),
    TargetColumn("BODY", SourceType("CLOB", 1000, 0), 1208, False),
)


class Cursor:
    """The catalog's unique keys: ID alone, NAME with AMOUNT, and one of a column that is not written."""

    def execute(self, statement: str, parameters: Any = ()) -> None:
        self.statement = statement

    def fetchall(self) -> list[tuple[str, str]]:
        return [("PK", "ID"), ("U1", "NAME"), ("U1", "AMOUNT"), ("U2", "OTHER")]


@pytest.mark.parametrize(
    ("others", "on", "changes"),
    [
        ({"writeMode": "update"}, '(T1."ID" = T2."ID") OR (T1."NAME" = T2."NAME" AND T1."AMOUNT" = T2."AMOUNT")',
         'T1."ID" = T2."ID", T1."NAME" = T2."NAME", T1."AMOUNT" = T2."AMOUNT"'),
        ({"writeMode": "update", "updateKey": {"k": ["name"]}}, '(T1."NAME" = T2."NAME")',
         'T1."ID" = T2."ID", T1."NAME" = T2."NAME", T1."AMOUNT" = T2."AMOUNT"'),
        ({"writeMode": "replace", "updateKey": ["ID"]}, '(T1."ID" = T2."ID")',
         'T1."ID" = T2."ID", T1."NAME" = T2."NAME", T1."AMOUNT" = T2."AMOUNT", T1."MOMENT" = NULL, T1."BODY" = NULL'),
    ],
)  # fmt: skip
def test_update_and_replace_are_a_merge(others: Any, on: str, changes: str) -> None:
    made = DB2Writer(
        parameter(**others), [Column(name=name) for name in ("id", "name", "amount")], RunContext("k", "a")
    )
    made._columns = COLUMNS[:3]
    part = DB2SplitWriter(made, Split(0), None, COLUMNS[:3], made._merged(Cursor(), COLUMNS))
    marks = "(CAST(? AS INTEGER), CAST(? AS VARCHAR(80)), CAST(? AS DECIMAL(10, 2)))"
    assert part.statement(2) == (
        f'MERGE INTO "APP"."T" T1 USING (VALUES {marks}, {marks}) AS T2 ("ID", "NAME", "AMOUNT") '
        f"ON ({on}) WHEN MATCHED THEN UPDATE SET {changes} "
        'WHEN NOT MATCHED THEN INSERT ("ID", "NAME", "AMOUNT") VALUES (T2."ID", T2."NAME", T2."AMOUNT")'
    )


def test_rows_with_the_same_key_go_into_statements_of_their_own() -> None:
    made = DB2Writer(parameter(writeMode="update", updateKey=["NAME"]), [], RunContext("k", "a"))
    made._columns = COLUMNS[:2]
    part = DB2SplitWriter(made, Split(0), None, COLUMNS[:2], made._merged(Cursor(), COLUMNS))
    part._values = [(1, "a"), (2, "b"), (3, "a "), (4, None), (5, None), (6, "b"), (7, "a")]
    assert list(part._pieces(0, 7)) == [(0, 2), (2, 6), (6, 7)]


@pytest.mark.parametrize(
    ("kind", "literal", "value"),
    [
        (SourceType("DOUBLE", 8, 0), "0.1", 0.1),
        (SourceType("DECIMAL", 5, 2), "1.50", "1.50"),
        (SourceType("VARCHAR", 5, 0), "'it''s'", "it's"),
        (SourceType("VARCHAR", 5, 0, True), "X'00ff'", b"\0\xff"),
        (SourceType("VARBINARY", 5, 0), "BX'00ff'", b"\0\xff"),
        (SourceType("TIME", 3, 0), "'24:00:00'", 86400),
    ],
)
def test_key_literals(kind: SourceType, literal: str, value: Any) -> None:
    assert kind.key_literal(value) == literal


def test_what_arrow_lacks_is_read_as_text() -> None:
    assert SourceType("TIME", 3, 0).array([86_399, 86_400, None]).to_pylist() == ["23:59:59", "24:00:00", None]
    moments = SourceType("TIMESTAMP", 13, 9).array(["2024-02-29-12.34.56.123456789"])
    assert moments.cast(pa.int64()).to_pylist() == [1709210096123456789]
    far = SourceType("TIMESTAMP", 13, 9).array(["9999-12-31-00.00.00.000000001", "2024-02-29-24.00.00.000000000"])
    assert far.to_pylist() == ["9999-12-31 00:00:00.000000001", "2024-02-29 24:00:00.000000000"]
    assert SourceType("DECFLOAT", 34, 0).array(["1E+100", "NaN"]).to_pylist() == ["1E+100", "NaN"]


@pytest.mark.parametrize(
    ("column", "values", "bad"),
    [
        (TargetColumn("C", SourceType("TIME", 3, 0), 0, False), ["24:00:00", "23:59:59", "24:00:01", "x"], {2, 3}),
        (TargetColumn("C", SourceType("TIMESTAMP", 10, 6), 0, False),
         ["2024-02-29 24:00:00", "2024-02-30 00:00:00", "2024-02-29 00:00:00.1234567"], {1, 2}),
        (TargetColumn("C", SourceType("TIMESTAMP", 13, 12), 0, False), ["2024-02-29 00:00:00.123456789012"], set()),
        (TargetColumn("C", SourceType("DATE", 4, 0), 0, False), ["2024-02-29", "2024-02-30"], {1}),
        (TargetColumn("C", SourceType("DECFLOAT", 8, 0), 0, False), ["1234567890123456", "12345678901234567"], {1}),
        (TargetColumn("C", SourceType("DOUBLE", 8, 0), 0, False), ["1.5", "NaN"], {1}),
        (TargetColumn("C", SourceType("VARCHAR", 3, 0), 1208, False), ["é ", "é  ", "éé"], {1}),
        (TargetColumn("C", SourceType("VARCHAR", 3, 0), 1208, True), ["éé ", "éé  "], {1}),
    ],
)  # fmt: skip
def test_what_db2_would_change_is_refused(column: TargetColumn, values: list[str], bad: set[int]) -> None:
    assert set(fit_column(column, "UTC", pa.array(values)).failures) == bad


def test_statements_get_a_blank_for_each_character_that_the_driver_counts_short() -> None:
    assert whole("select 'é😀😀'") == "select 'é😀😀'  "


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("SQL0204N \"X\" is an undefined name. SQLSTATE=42704 SQLCODE=-204", NotFoundError),
        ("SQL30082N Security processing failed. SQLSTATE=08001 SQLCODE=-30082", AccessDeniedError),
        ("SQL30081N A communication error. SQLSTATE=08001 SQLCODE=-30081", ConnectionFailedError),
        ("SQL0104N An unexpected token. SQLSTATE=42601 SQLCODE=-104", DataError),
    ],
)  # fmt: skip
def test_errors_by_their_state(text: str, kind: type[DataError]) -> None:
    found = DB2(parameter(), "UTC").failure(Exception(f"[IBM][CLI Driver] {text}\n p@ss"), "read")
    assert type(found) is kind
    assert "p@ss" not in str(found)


@pytest.mark.parametrize(
    ("state", "category"),
    [("23505", Category.DUPLICATE), ("23502", Category.NULL), ("22001", Category.CONVERSION), ("23513", Category.OTHER),
     ("21506", Category.OTHER), ("57011", None)],
)  # fmt: skip
def test_refusals_by_their_state(state: str, category: Category | None) -> None:
    found = DB2(parameter(), "UTC").refusal(Exception(f"x SQLSTATE={state} SQLCODE=-1"))
    assert (found.category if found else None) == category
