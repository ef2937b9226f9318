"""Tables of SQL Server without a server: what its catalog says of columns, and the text of its statements."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
import sqlglot

from airflow_provider_flinkx.exceptions import DataError
from airflow_provider_flinkx.plugins.base import UTF_8, UTF_16, TableColumn
from airflow_provider_flinkx.plugins.relational.capacity import holds_all
from airflow_provider_flinkx.plugins.sqlserver.database import SQLServer
from airflow_provider_flinkx.plugins.sqlserver.tables import SQLServerTables, _described

TABLE = "[dbo].[t]"


class Cursor:
    """Keeps the statements; answers with rows."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.rows = rows
        self.statements: list[str] = []

    def execute(self, statement: str) -> None:
        self.statements.append(statement)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.rows

    def fetchone(self) -> tuple[Any, ...] | None:
        return self.rows[0] if self.rows else None


def tables(name: str = "dbo.t") -> SQLServerTables:
    connection = [{"jdbcUrl": "jdbc:sqlserver://h", "table": [name]}]
    return SQLServerTables(SQLServer({"username": "u", "password": "p", "connection": connection}, "UTC"))


def created(*columns: TableColumn) -> str:
    cursor = Cursor([])
    tables().create(cursor, columns)
    (statement,) = cursor.statements
    sqlglot.parse_one(statement.replace(" NONCLUSTERED", ""), read="tsql")
    return statement


@pytest.mark.parametrize(
    ("row", "declared", "kind", "others"),
    [
        (("tinyint", 1, 3, 0, None, None), "tinyint", pa.uint8(), {}),
        (("numeric", 9, 18, 2, None, None), "decimal(18,2)", pa.decimal128(18, 2), {}),
        (("float", 8, 53, 0, None, None), "float", pa.float64(), {}),
        (("money", 8, 19, 4, None, None), "money", pa.decimal128(19, 4), {"is_checked": True}),
        (("date", 3, 10, 0, None, None), "date", pa.date32(), {}),
        (("time", 5, 16, 7, None, None), "time(7)", pa.time64("us"), {"fraction_digits": 7}),
        (("datetime", 8, 23, 3, None, None), "datetime", pa.timestamp("us"),
         {"fraction_digits": 3, "is_checked": True}),
        (("smalldatetime", 4, 16, 0, None, None), "smalldatetime", pa.timestamp("us"),
         {"fraction_digits": 0, "is_checked": True}),
        (("datetimeoffset", 8, 26, 0, None, None), "datetimeoffset(0)", pa.timestamp("us", "UTC"),
         {"fraction_digits": 0}),
        (("varchar", 20, 0, 0, "Latin1_General_CI_AS", 1252), "varchar(20) COLLATE Latin1_General_CI_AS", pa.string(),
         {"length": 20, "encoding": "code page 1252"}),
        (("varchar", -1, 0, 0, "Latin1_General_100_CI_AS_SC_UTF8", 65001),
         "varchar(max) COLLATE Latin1_General_100_CI_AS_SC_UTF8", pa.string(), {"encoding": UTF_8}),
        (("nchar", 20, 0, 0, "Latin1_General_CI_AS", 1252), "nchar(10) COLLATE Latin1_General_CI_AS", pa.string(),
         {"length": 10, "encoding": UTF_16}),
        (("nvarchar", -1, 0, 0, "Latin1_General_CI_AS", 1252), "nvarchar(max) COLLATE Latin1_General_CI_AS",
         pa.string(), {"encoding": UTF_16}),
        (("xml", -1, 0, 0, None, None), "xml", pa.string(), {"is_checked": True, "encoding": UTF_16}),
        (("binary", 4, 0, 0, None, None), "binary(4)", pa.binary(), {"length": 4, "is_checked": True}),
        (("varbinary", -1, 0, 0, None, None), "varbinary(max)", pa.binary(), {}),
        (("image", 16, 0, 0, None, None), "image", pa.binary(), {}),
        (("timestamp", 8, 0, 0, None, None), "binary(8)", pa.binary(), {"length": 8}),
        (("uniqueidentifier", 16, 0, 0, None, None), "uniqueidentifier", pa.string(), {"length": 36, "is_uuid": True}),
        (("geography", -1, 0, 0, None, None), "geography", pa.binary(), {"is_checked": True}),
    ],
)  # fmt: skip
def test_what_the_catalog_says(row: tuple[Any, ...], declared: str, kind: pa.DataType, others: Any) -> None:
    wanted = TableColumn("c", kind, nullable=False, key=2, declared=("SQL Server", declared), **others)
    assert _described(("c", *row, False, 2)) == wanted


def test_the_catalog_of_another_database_is_asked_for_a_name_of_three_parts() -> None:
    cursor = Cursor([("c", "int", 4, 10, 0, None, None, True, None)])
    assert [column.name for column in tables("other.dbo.t").describe(cursor)] == ["c"]
    (query,) = cursor.statements
    assert "FROM [other].sys.columns c" in query
    assert "OBJECT_ID(N'[other].[dbo].[t]')" in query
    sqlglot.parse_one(query, read="tsql")


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        (TableColumn("c", pa.bool_()), "bit"),
        (TableColumn("c", pa.int8()), "smallint"),
        (TableColumn("c", pa.uint8()), "tinyint"),
        (TableColumn("c", pa.uint16()), "int"),
        (TableColumn("c", pa.uint64()), "decimal(20,0)"),
        (TableColumn("c", pa.float32()), "float"),
        (TableColumn("c", pa.decimal128(38, 38)), "decimal(38,38)"),
        (TableColumn("c", pa.decimal256(39, 0)), "varchar(42)"),
        (TableColumn("c", pa.decimal128(5, -2)), "varchar(8)"),
        (TableColumn("c", pa.time64("us")), "time(6)"),
        (TableColumn("c", pa.timestamp("us")), "datetime2(6)"),
        (TableColumn("c", pa.timestamp("ns")), "datetime2(7)"),
        (TableColumn("c", pa.timestamp("us"), fraction_digits=0), "datetime2(0)"),
        (TableColumn("c", pa.timestamp("us", "UTC"), fraction_digits=3), "datetimeoffset(3)"),
        (TableColumn("c", pa.duration("us")), "varchar(17)"),
        (TableColumn("c", pa.string()), "nvarchar(max)"),
        (TableColumn("c", pa.string(), length=2000), "nvarchar(4000)"),
        (TableColumn("c", pa.string(), length=2001), "nvarchar(max)"),
        (TableColumn("c", pa.string(), length=36, is_uuid=True), "uniqueidentifier"),
        (TableColumn("c", pa.binary()), "varbinary(max)"),
        (TableColumn("c", pa.binary(), length=8000), "varbinary(8000)"),
        (TableColumn("c", pa.binary(), length=8001), "varbinary(max)"),
        (TableColumn("c", pa.binary(16)), "varbinary(16)"),
        (TableColumn("c", pa.string(), length=9, declared=("SQL Server", "nchar(9)")), "nchar(9)"),
        (TableColumn("c", pa.string(), length=9, declared=("PostgreSQL", "char(9)")), "nvarchar(18)"),
    ],
)
def test_types_that_are_made(column: TableColumn, wanted: str) -> None:
    assert created(column) == f"CREATE TABLE {TABLE} ([c] {wanted} NULL)"


def key(name: str, kind: pa.DataType, place: int, **others: Any) -> TableColumn:
    return TableColumn(name, kind, nullable=False, key=place, **others)


EXACT = "COLLATE Latin1_General_100_BIN2 NOT NULL"


def test_keys_are_compared_exactly_and_no_longer_than_they_may_be() -> None:
    assert created(key("b", pa.string(), 2, length=100), key("a]", pa.int64(), 1)) == (
        f"CREATE TABLE {TABLE} ([b] nvarchar(200) {EXACT}, [a]]] bigint NOT NULL, PRIMARY KEY ([a]]], [b]))"
    )
    # Rows can be put in the order of 900 bytes at most; an index beside them takes 1700.
    assert created(key("a", pa.string(), 1, length=300)).endswith("PRIMARY KEY NONCLUSTERED ([a]))")
    assert created(key("a", pa.string(), 1)) == (
        f"CREATE TABLE {TABLE} ([a] nvarchar(850) {EXACT}, PRIMARY KEY NONCLUSTERED ([a]))"
    )
    two = created(key("a", pa.binary(), 1), key("b", pa.string(), 2), key("c", pa.int32(), 3))
    assert "[a] varbinary(841) NOT NULL, [b] nvarchar(420)" in two


def test_a_key_that_has_no_room_for_its_columns() -> None:
    columns = [key(f"c{place}", pa.string(), place, length=425) for place in (1, 2)]
    with pytest.raises(DataError, match="a key of 1700 bytes at most cannot hold columns c1, c2, c3"):
        tables().create(Cursor([]), [*columns, key("c3", pa.string(), 3)])


def test_the_other_statements() -> None:
    cursor = Cursor([])
    columns = [TableColumn("a", pa.int32()), TableColumn("b", pa.string())]
    tables().add(cursor, columns)
    tables().empty(cursor)
    tables().replace(cursor, columns)
    assert not tables().has_rows(cursor)
    assert cursor.statements == [
        f"ALTER TABLE {TABLE} ADD [a] int NULL, [b] nvarchar(max) NULL",
        f"TRUNCATE TABLE {TABLE}",
        f"DROP TABLE {TABLE}",
        f"CREATE TABLE {TABLE} ([a] int NULL, [b] nvarchar(max) NULL)",
        f"SELECT TOP 1 1 FROM {TABLE}",
    ]
    for statement in cursor.statements:
        sqlglot.parse_one(statement, read="tsql")
    assert tables().has_rows(Cursor([(1,)]))


def text(length: int | None, encoding: str | None = None) -> TableColumn:
    return TableColumn("c", pa.string(), length=length, encoding=encoding)


@pytest.mark.parametrize(
    ("target", "source", "fits"),
    [
        (text(10, UTF_16), text(5), True),
        (text(9, UTF_16), text(5), False),
        (text(None, UTF_16), text(None), True),
        (text(5), text(5, UTF_16), True),
        (text(5, UTF_16), text(5, UTF_8), True),
        (text(20, UTF_8), text(5), True),
        (text(19, UTF_8), text(5), False),
        (text(15, UTF_8), text(5, UTF_16), True),
        (text(15, UTF_8), text(5, "code page 1252"), True),
        (text(9, "code page 1252"), text(5), False),
        (text(9, "code page 1252"), text(5, "code page 1251"), False),
        (text(9, "code page 1252"), text(5, "code page 1252"), True),
        (text(5, UTF_16), text(5, "code page 1252"), True),
        (text(11, "code page 1252"), TableColumn("c", pa.int32()), True),
        (text(36, UTF_16), TableColumn("c", pa.string(), length=36, is_uuid=True), True),
        (TableColumn("c", pa.string(), is_uuid=True), TableColumn("c", pa.string(), is_uuid=True), True),
        (TableColumn("c", pa.string(), is_uuid=True), text(36), False),
        (TableColumn("c", pa.timestamp("us")), TableColumn("c", pa.timestamp("us"), fraction_digits=7), False),
        (TableColumn("c", pa.timestamp("us"), fraction_digits=7), TableColumn("c", pa.timestamp("us")), True),
    ],
)
def test_which_columns_hold_all_of_others(target: TableColumn, source: TableColumn, fits: bool) -> None:
    assert holds_all(target, source) == fits
