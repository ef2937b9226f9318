"""SQL Server without a server: URLs of two drivers, types, and the text of its statements."""

from __future__ import annotations

from datetime import datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_flinkx.exceptions import AccessDeniedError, ConnectionFailedError, JobInvalidError, NotFoundError
from airflow_provider_flinkx.jobs.validation import validate
from airflow_provider_flinkx.plugins.base import Category
from airflow_provider_flinkx.plugins.registry import remarks_of, schema_of
from airflow_provider_flinkx.plugins.sqlserver.database import SQLServer
from airflow_provider_flinkx.plugins.sqlserver.fitting import fit_column
from airflow_provider_flinkx.plugins.sqlserver.types import SourceType, TargetColumn
from airflow_provider_flinkx.plugins.sqlserver.url import SQLServerAddress, address_of, settings


def parameter(url: str, **others: Any) -> dict[str, Any]:
    return {"username": "u", "password": "p}w", "connection": [{"jdbcUrl": url, "table": ["t"]}], **others}


def address(url: str) -> SQLServerAddress:
    return address_of(parameter(url))


@pytest.mark.parametrize(
    ("url", "server", "database"),
    [
        ("jdbc:sqlserver://h:1;databaseName=d", "h,1", "d"),
        ("jdbc:sqlserver://h;DATABASE=d", "h,1433", "d"),
        ("jdbc:sqlserver://h\\inst;databaseName=d", "h\\inst", "d"),
        ("jdbc:sqlserver://h\\inst:5;databaseName=d", "h,5", "d"),
        ("jdbc:sqlserver://;serverName=h;instanceName=inst;databaseName={d;e}", "h\\inst", "d;e"),
        ("jdbc:sqlserver://[::1]:5;databaseName=d;", "::1,5", "d"),
        ("jdbc:sqlserver://h", "h,1433", ""),
        ("jdbc:jtds:sqlserver://h:1/d", "h,1", "d"),
        ("jdbc:jtds:sqlserver://h:1;DatabaseName=d", "h,1", "d"),
        ("jdbc:jtds:sqlserver://h/d;instance=inst;useLOBs=false", "h\\inst", "d"),
    ],
)
def test_url_forms(url: str, server: str, database: str) -> None:
    assert (address(url).server, address(url).database) == (server, database)


@pytest.mark.parametrize(
    "url", ["jdbc:mysql://h/d", "sqlserver://h", "jdbc:sqlserver://h;databaseName", "jdbc:jtds:sybase://h/d"]
)
def test_unreadable_urls(url: str) -> None:
    with pytest.raises(JobInvalidError):
        address(url)


@pytest.mark.parametrize(
    ("url", "properties", "expected"),
    [
        ("jdbc:sqlserver://h", {}, {"Encrypt": "yes"}),
        ("jdbc:sqlserver://h;encrypt=false", {}, {"Encrypt": "no"}),
        ("jdbc:sqlserver://h;encrypt=false", {"encrypt": True}, {"Encrypt": "yes"}),
        ("jdbc:sqlserver://h;encrypt=strict;hostNameInCertificate=c", {},
         {"Encrypt": "strict", "HostNameInCertificate": "c"}),
        ("jdbc:sqlserver://h;encrypt=true;trustServerCertificate=true;packetSize=8000", {},
         {"Encrypt": "yes", "TrustServerCertificate": "yes", "PacketSize": "8000"}),
        ("jdbc:jtds:sqlserver://h/d", {}, {"Encrypt": "no"}),
        ("jdbc:jtds:sqlserver://h/d;ssl=require", {}, {"Encrypt": "yes", "TrustServerCertificate": "yes"}),
        ("jdbc:jtds:sqlserver://h/d;ssl=authenticate", {}, {"Encrypt": "yes"}),
    ],
)  # fmt: skip
def test_settings(url: str, properties: dict[str, Any], expected: dict[str, str]) -> None:
    assert settings(parameter(url, properties=properties), address(url)) == expected


def test_an_unknown_encryption_is_refused() -> None:
    with pytest.raises(JobInvalidError, match="encrypt=maybe is none of true"):
        settings(parameter("jdbc:sqlserver://h;encrypt=maybe"), address("jdbc:sqlserver://h;encrypt=maybe"))


def test_what_has_no_counterpart_is_a_warning_that_names_it() -> None:
    url = "jdbc:jtds:sqlserver://h/d;useLOBs=false;user=a;packetSize=8000"
    reader = parameter(url, column=["*"], properties={"sendStringParametersAsUnicode": "false"}, orderByColumn="a")
    writer = parameter("jdbc:sqlserver://h", column=["*"])
    document = {"job": {"content": [{"reader": {"name": "sqlserverreader", "parameter": reader},
                                     "writer": {"name": "sqlserverwriter", "parameter": writer}}]}}  # fmt: skip

    warnings = validate(document, schema_of=schema_of, remarks_of=remarks_of).warnings

    assert [warning.partition("parameter.")[2].partition(";")[0] for warning in warnings] == [
        "connection[0].jdbcUrl: parameter 'useLOBs' belongs to Java's driver",
        "properties.sendStringParametersAsUnicode: belongs to Java's driver",
        "orderByColumn: has no effect on SQL Server (as in FlinkX)",
    ]


def test_the_password_stands_in_no_text() -> None:
    database = SQLServer(parameter("jdbc:sqlserver://h\\i;databaseName=d"), "UTC")
    assert str(database) == "SQL Server h\\i/d"
    assert "p}w" not in f"{database.address!r}"
    error = database.failure(
        RuntimeError("Sql Error: 18456: Class 14: State 1: p}w is\n wrong on x in y at line 1"), "connect"
    )
    assert isinstance(error, AccessDeniedError)
    assert str(error) == "SQL Server h\\i/d: connect: *** is wrong"
    assert "{p}}w}" in database._connection_string


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Sql Error: 208: Class 16: State 1: Invalid object name 't'.", NotFoundError),
        ("Failed to connect to SQL Server: IO error: Connection refused (os error 111)", ConnectionFailedError),
        (
            "Driver Error: Base table or view not found; DDBC Error: [Microsoft][SQL Server]Invalid object",
            NotFoundError,
        ),
    ],
)
def test_kinds_of_errors(text: str, kind: type[Exception]) -> None:
    database = SQLServer(parameter("jdbc:sqlserver://h"), "UTC")
    assert type(database.failure(RuntimeError(text), "x")) is kind


def test_snapshots_that_are_not_allowed_say_what_to_do() -> None:
    database = SQLServer(parameter("jdbc:sqlserver://h"), "UTC")
    words = "Snapshot isolation transaction failed accessing database 'd' because snapshot isolation is not allowed in "
    words += "this database. Use ALTER DATABASE to allow snapshot isolation."
    error = database.failure(
        RuntimeError(f"Driver Error: General error; DDBC Error: [Microsoft]{words}"), "read table t"
    )
    assert str(error).endswith(f"{words} (General error) (SET ALLOW_SNAPSHOT_ISOLATION ON; or leave consistent out)")


@pytest.mark.parametrize(
    ("number", "category"),
    [(2627, Category.DUPLICATE), (2601, Category.DUPLICATE), (515, Category.NULL), (547, Category.OTHER),
     (2628, Category.CONVERSION), (8115, Category.CONVERSION), (50000, Category.OTHER), (1205, None)],
)  # fmt: skip
def test_errors_about_rows(number: int, category: Category | None) -> None:
    database = SQLServer(parameter("jdbc:sqlserver://h"), "UTC")
    refusal = database.refusal(
        RuntimeError(f"Query failed: Sql Error: {number}: Class 14: State 1: words on s in  at line 1")
    )
    assert (refusal.category if refusal else None) is category
    assert refusal is None or refusal.message == "words"


@pytest.mark.parametrize(
    ("declared", "arrow", "expression"),
    [
        ("int", pa.int32(), "[c]"),
        ("tinyint", pa.uint8(), "[c]"),
        ("numeric(38,3)", pa.decimal128(38, 3), "[c]"),
        ("money", pa.decimal128(19, 4), "[c]"),
        ("datetime", pa.timestamp("us"), "CAST([c] AS datetime2(3))"),
        ("datetimeoffset(7)", pa.timestamp("us", "UTC"), "[c]"),
        ("xml", pa.string(), "CAST([c] AS nvarchar(max))"),
        ("text", pa.string(), "CAST([c] AS varchar(max))"),
        ("geography", pa.binary(), "CAST([c] AS varbinary(max))"),
        ("uniqueidentifier", pa.string(), "[c]"),
        ("timestamp", pa.binary(), "[c]"),
    ],
)
def test_how_types_are_read(declared: str, arrow: pa.DataType, expression: str) -> None:
    kind = SourceType.of(declared)
    assert (kind.arrow, kind.expression("[c]")) == (arrow, expression)


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        ("datetime2(6)", None),
        ("datetime2(7)", "CASE WHEN DATEPART(nanosecond, c) % 1000 <> 0 THEN CONVERT(varchar(27), c, 121) END"),
        ("datetimeoffset(0)", "CASE WHEN DATEPART(tzoffset, c) <> 0 THEN CONVERT(varchar(34), c, 121) END"),
        ("time(7)", None),
    ],
)
def test_values_beyond_arrow_are_read_as_text_too(declared: str, text: str | None) -> None:
    assert SourceType.of(declared).exact_text("c") == text


@pytest.mark.parametrize(
    ("declared", "text", "literal"),
    [
        ("int", "-5", "-5"),
        ("nvarchar(9)", "it's", "N'it''s'"),
        ("varbinary(9)", "0x0aFF", "0x0aFF"),
        ("datetime", "2024-01-02 03:04:05.003", "CAST('2024-01-02T03:04:05.003' AS datetime)"),
        ("datetime", "2024-01-02 03:04:05.003000", "CAST('2024-01-02T03:04:05.003' AS datetime)"),
        ("datetime2(3)", "2024-01-02 03:04:05.1234567", "CAST('2024-01-02T03:04:05.1234567' AS datetime2(7))"),
        ("datetimeoffset(7)", "2024-01-02 03:04:05 +05:30", "CAST('2024-01-02T03:04:05+05:30' AS datetimeoffset(7))"),
        ("date", "x' OR 1 = 1 --", "N'x'' OR 1 = 1 --'"),
    ],
)
def test_literals(declared: str, text: str, literal: str) -> None:
    assert SourceType.of(declared).literal(text) == literal


@pytest.mark.parametrize(("declared", "text"), [("int", "1 OR 1 = 1"), ("varbinary(9)", "0x00 OR 1 = 1")])
def test_literals_that_are_none(declared: str, text: str) -> None:
    with pytest.raises(ValueError):
        SourceType.of(declared).literal(text)


def column(
    kind: str, *, length: int = 1, precision: int = 18, scale: int = 0, code_page: int | None = None
) -> TargetColumn:
    return TargetColumn("c", kind, length, precision, scale, code_page, False, True, False)


@pytest.mark.parametrize(
    ("target", "value", "fits"),
    [
        (column("nvarchar", length=4), "😀", True),
        (column("nvarchar", length=4), "😀a", False),
        (column("varchar", length=2, code_page=1252), "é€", True),
        (column("varchar", length=2, code_page=1252), "日", False),
        (column("varchar", length=2, code_page=65001), "é", True),
        (column("varchar", length=2, code_page=65001), "é ", False),
        (column("varchar", length=-1, code_page=932), "日本" * 9000, True),
        (column("char", length=3, code_page=1252), "abc ", False),
        (column("binary", length=2), b"ab", True),
        (column("binary", length=2), b"a", False),
        (column("float"), float("nan"), False),
        (column("money"), Decimal("-922337203685477.5808"), True),
        (column("money"), Decimal("922337203685477.5808"), False),
        (column("smalldatetime"), datetime(2079, 6, 6, 23, 59), True),
        (column("smalldatetime"), datetime(2079, 6, 6, 23, 59, 1), False),
        (column("datetime"), datetime(2024, 1, 1, 0, 0, 0, 997_000), True),
        (column("datetime"), datetime(2024, 1, 1, 0, 0, 0, 998_000), False),
        (column("datetime"), datetime(1752, 12, 31), False),
        (column("time", scale=3), time(1, 2, 3, 1000), True),
        (column("time", scale=3), time(1, 2, 3, 1001), False),
    ],
)
def test_what_a_column_holds(target: TargetColumn, value: Any, fits: bool) -> None:
    fitted = fit_column(target, "UTC", pa.array([None, value]))
    assert fitted.array.null_count >= 1
    assert list(fitted.failures) == ([] if fits else [1])


@pytest.mark.parametrize(
    ("target", "value", "text"),
    [
        (column("datetime2", scale=7), "2024-01-02 03:04:05.1234567", "2024-01-02T03:04:05.1234567"),
        (column("datetime2", scale=7), "2024-01-02 03:04:05.123456700", "2024-01-02T03:04:05.1234567"),
        (column("time", scale=7), "03:04:05.1234567", "03:04:05.1234567"),
        (column("datetimeoffset", scale=7), "2024-01-02 03:04:05.1234567+05:30", "2024-01-02T03:04:05.1234567+05:30"),
        (column("datetimeoffset", scale=0), "2024-01-02 03:04:05 -08:00", "2024-01-02T03:04:05-08:00"),
    ],
)
def test_texts_that_the_server_reads_exactly(target: TargetColumn, value: str, text: str) -> None:
    fitted = fit_column(target, "UTC", pa.array([value, None]))
    assert (fitted.as_text, fitted.failures, fitted.array.to_pylist()) == (True, {}, [text, None])


@pytest.mark.parametrize(
    ("target", "value"),
    [
        (column("datetime2", scale=6), "2024-01-02 03:04:05.1234567"),
        (column("datetime2", scale=7), "2024-01-02 03:04:05.12345678"),
        (column("datetime2", scale=7), "2024-02-30 03:04:05.1234567"),
        (column("datetimeoffset", scale=3), "2024-01-02 03:04:05.1234+05:30"),
        (column("time", scale=7), "2024-01-02 03:04:05.1234567"),
    ],
)
def test_texts_that_no_column_holds(target: TargetColumn, value: str) -> None:
    assert list(fit_column(target, "UTC", pa.array([value])).failures) == [0]


def test_nanoseconds_go_as_text_where_they_are_hundreds() -> None:
    array = pa.array([1_704_164_645_123_456_700, 1_704_164_645_123_456_789], pa.timestamp("ns"))
    fitted = fit_column(column("datetime2", scale=7), "UTC", array)
    assert fitted.array[0].as_py() == "2024-01-02T03:04:05.1234567"
    assert list(fitted.failures) == [1]
