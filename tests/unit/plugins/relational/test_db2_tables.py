"""Tables of DB2 without a server: what its catalog says of columns, and the text of its statements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest

from airflow_provider_flinkx.exceptions import DataError
from airflow_provider_flinkx.plugins.base import UTF_8, UTF_16, TableColumn
from airflow_provider_flinkx.plugins.db2.database import DB2
from airflow_provider_flinkx.plugins.db2.tables import DB2Tables
from airflow_provider_flinkx.plugins.relational.capacity import holds_all

TABLE = '"APP"."T"'
OF_DB2 = {"catalog": DB2.catalog, "units": DB2.units}


@pytest.fixture(autouse=True)
def of_db2() -> Iterator[None]:
    """The stand-in that other tests of the process have started has another catalog, and knows no units."""
    with mock.patch.multiple(DB2, **OF_DB2):
        yield


class Cursor:
    """Keeps the statements; answers with rows."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.rows = rows
        self.statements: list[str] = []

    def execute(self, statement: str, parameters: Any = ()) -> None:
        self.statements.append(statement)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.rows

    def fetchone(self) -> tuple[Any, ...] | None:
        return self.rows[0] if self.rows else None


def tables(timezone: str = "UTC") -> DB2Tables:
    connection = [{"jdbcUrl": "jdbc:db2://h/d", "table": ["app.t"]}]
    return DB2Tables(DB2({"username": "u", "password": "p@ss", "connection": connection}, timezone))


def described(row: tuple[Any, ...]) -> TableColumn:
    (column,) = tables().describe(Cursor([("C", *row, "N", " ", 2)]))
    return column


@pytest.mark.parametrize(
    ("row", "declared", "kind", "others"),
    [
        (("SMALLINT", 2, 0, 0, None), "SMALLINT", pa.int16(), {}),
        (("DECIMAL", 31, 5, 0, None), "DECIMAL(31,5)", pa.decimal128(31, 5), {}),
        (("DECFLOAT", 8, 0, 0, None), "DECFLOAT(16)", pa.string(), {"exact_digits": 16}),
        (("REAL", 4, 0, 0, None), "REAL", pa.float32(), {}),
        (("VARCHAR", 20, 0, 1208, "OCTETS"), "VARCHAR(20 OCTETS)", pa.string(), {"length": 20, "encoding": UTF_8}),
        (("VARCHAR", 20, 0, 1208, "CODEUNITS32"), "VARCHAR(20 CODEUNITS32)", pa.string(), {"length": 20}),
        (("CHARACTER", 5, 0, 819, None), "CHARACTER(5)", pa.string(), {"length": 5, "encoding": "code page 819"}),
        (("VARCHAR", 20, 0, 0, None), "VARCHAR(20) FOR BIT DATA", pa.binary(), {"length": 20}),
        (("VARGRAPHIC", 20, 0, 1200, "CODEUNITS16"), "VARGRAPHIC(20 CODEUNITS16)", pa.string(),
         {"length": 20, "encoding": UTF_16}),
        (("CLOB", 1 << 20, 0, 1208, "OCTETS"), "CLOB(1048576 OCTETS)", pa.string(),
         {"length": 1 << 20, "encoding": UTF_8}),
        (("CLOB", 2_147_483_647, 0, 1208, "OCTETS"), "CLOB(1073741824 OCTETS)", pa.string(), {"encoding": UTF_8}),
        (("BLOB", 2_147_483_647, 0, 0, None), "BLOB(1073741824)", pa.binary(), {}),
        (("VARBINARY", 10, 0, 0, None), "VARBINARY(10)", pa.binary(), {"length": 10}),
        (("DATE", 4, 0, 0, None), "DATE", pa.date32(), {}),
        (("TIME", 3, 0, 0, None), "TIME", pa.time64("us"), {"fraction_digits": 0}),
        (("TIMESTAMP", 10, 6, 0, None), "TIMESTAMP", pa.timestamp("us"), {"fraction_digits": 6}),
        (("TIMESTAMP", 13, 12, 0, None), "TIMESTAMP(12)", pa.timestamp("ns"), {"fraction_digits": 12}),
        (("BOOLEAN", 1, 0, 0, None), "BOOLEAN", pa.bool_(), {}),
        (("XML", 0, 0, 0, None), "XML", pa.string(), {"is_checked": True}),
    ],
)  # fmt: skip
def test_what_the_catalog_says(row: tuple[Any, ...], declared: str, kind: pa.DataType, others: Any) -> None:
    assert described(row) == TableColumn("C", kind, nullable=False, key=2, declared=("DB2", declared), **others)


def created(*columns: TableColumn, timezone: str = "UTC") -> str:
    cursor = Cursor([])
    tables(timezone).create(cursor, columns)
    (statement,) = cursor.statements
    return statement


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        (TableColumn("c", pa.bool_()), "BOOLEAN"),
        (TableColumn("c", pa.int8()), "SMALLINT"),
        (TableColumn("c", pa.uint16()), "INTEGER"),
        (TableColumn("c", pa.uint64()), "DECIMAL(20,0)"),
        (TableColumn("c", pa.float32()), "DOUBLE"),
        (TableColumn("c", pa.decimal128(31, 31)), "DECIMAL(31,31)"),
        (TableColumn("c", pa.decimal128(32, 0)), "VARCHAR(35 OCTETS)"),
        (TableColumn("c", pa.decimal128(5, -2)), "VARCHAR(10 OCTETS)"),
        (TableColumn("c", pa.time64("us"), fraction_digits=0), "TIME"),
        (TableColumn("c", pa.time64("us")), "VARCHAR(15 OCTETS)"),
        (TableColumn("c", pa.duration("us")), "VARCHAR(17 OCTETS)"),
        (TableColumn("c", pa.timestamp("us")), "TIMESTAMP"),
        (TableColumn("c", pa.timestamp("us"), fraction_digits=0), "TIMESTAMP(0)"),
        (TableColumn("c", pa.timestamp("ns")), "TIMESTAMP(9)"),
        (TableColumn("c", pa.timestamp("us", "UTC")), "TIMESTAMP"),
        (TableColumn("c", pa.string()), "CLOB(1073741824 OCTETS)"),
        (TableColumn("c", pa.string(), length=8168), "VARCHAR(32672 OCTETS)"),
        (TableColumn("c", pa.string(), length=8169), "CLOB(1073741824 OCTETS)"),
        (TableColumn("c", pa.string(), length=5, encoding=UTF_16), "VARCHAR(15 OCTETS)"),
        (TableColumn("c", pa.string(), length=5, encoding=UTF_8), "VARCHAR(5 OCTETS)"),
        (TableColumn("c", pa.string(), length=36, is_uuid=True), "VARCHAR(36 OCTETS)"),
        (TableColumn("c", pa.binary()), "BLOB(1073741824)"),
        (TableColumn("c", pa.binary(16)), "VARBINARY(16)"),
        (TableColumn("c", pa.string(), length=9, declared=("DB2", "CHARACTER(9 OCTETS)")), "CHARACTER(9 OCTETS)"),
    ],
)
def test_types_that_are_made(column: TableColumn, wanted: str) -> None:
    assert created(column) == f'CREATE TABLE {TABLE} ("C" {wanted})'


def test_an_instant_is_text_where_an_hour_occurs_twice() -> None:
    wanted = f'CREATE TABLE {TABLE} ("C" VARCHAR(35 OCTETS))'
    assert created(TableColumn("c", pa.timestamp("us", "UTC")), timezone="Europe/Berlin") == wanted


def key(name: str, kind: pa.DataType, place: int, **others: Any) -> TableColumn:
    return TableColumn(name, kind, nullable=False, key=place, **others)


def test_names_are_folded_and_keys_have_a_length() -> None:
    columns = [key("b", pa.string(), 2, length=10), key("Not ordinary", pa.int64(), 1)]
    assert created(*columns) == (
        f'CREATE TABLE {TABLE} ("B" VARCHAR(40 OCTETS) NOT NULL, "Not ordinary" BIGINT NOT NULL, '
        'PRIMARY KEY ("Not ordinary", "B"))'
    )
    assert '"A" VARCHAR(1000 OCTETS) NOT NULL' in created(key("a", pa.string(), 1))
    assert '"A" VARBINARY(983)' in created(key("a", pa.binary(), 1), key("b", pa.int32(), 2))
    with pytest.raises(DataError, match="a key of 1000 bytes at most cannot hold columns a, b"):
        created(key("a", pa.string(), 1, length=250), key("b", pa.string(), 2))


def test_the_other_statements() -> None:
    cursor = Cursor([])
    columns = [TableColumn("a", pa.int32()), TableColumn("b", pa.date32())]
    tables().add(cursor, columns)
    tables().empty(cursor)
    assert not tables().has_rows(cursor)
    assert cursor.statements == [
        f'ALTER TABLE {TABLE} ADD COLUMN "A" INTEGER',
        f'ALTER TABLE {TABLE} ADD COLUMN "B" DATE',
        f"DELETE FROM {TABLE}",
        f"SELECT 1 FROM {TABLE} FETCH FIRST 1 ROWS ONLY",
    ]


def test_a_table_that_others_refer_to_is_not_dropped() -> None:
    itself, child = ("APP", "T"), ("APP", "CHILD")
    cursor = Cursor([itself, child])
    with pytest.raises(DataError, match=r"table APP\.T: foreign keys of APP\.CHILD refer to it"):
        tables().replace(cursor, [TableColumn("a", pa.int32())])
    cursor.rows = [itself]
    tables().replace(cursor, [TableColumn("a", pa.int32())])
    assert cursor.statements[-2:] == [f"DROP TABLE {TABLE}", f'CREATE TABLE {TABLE} ("A" INTEGER)']


@pytest.mark.parametrize(
    ("target", "source", "fits"),
    [
        (("DECFLOAT", 16, 0, 0, None), TableColumn("c", pa.decimal128(34, 5)), True),
        (("DECFLOAT", 8, 0, 0, None), TableColumn("c", pa.int64()), False),
        (("VARCHAR", 20, 0, 1208, "OCTETS"), TableColumn("c", pa.string(), length=5), True),
        (("VARCHAR", 20, 0, 1208, "OCTETS"), TableColumn("c", pa.string(), length=6), False),
        (("VARCHAR", 20, 0, 1208, "CODEUNITS32"), TableColumn("c", pa.string(), length=20), True),
        (("CLOB", 2_147_483_647, 0, 1208, "OCTETS"), TableColumn("c", pa.string()), True),
        (("TIMESTAMP", 10, 6, 0, None), TableColumn("c", pa.timestamp("ns"), fraction_digits=7), False),
        (("TIME", 3, 0, 0, None), TableColumn("c", pa.time64("us")), False),
    ],
)
def test_which_columns_hold_all_of_others(target: Any, source: TableColumn, fits: bool) -> None:
    assert holds_all(described(target), source) == fits
