"""Tables of Oracle without a server: what its catalog says of columns, and the text of its statements."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import oracledb
import pyarrow as pa
import pytest
import sqlglot

from airflow_provider_flinkx.exceptions import DataError
from airflow_provider_flinkx.plugins.base import UTF_8, UTF_16, RunContext, TableColumn
from airflow_provider_flinkx.plugins.oracle.database import Oracle
from airflow_provider_flinkx.plugins.oracle.tables import OracleTables, _names_beside
from airflow_provider_flinkx.plugins.oracle.writer import OracleWriter
from airflow_provider_flinkx.plugins.relational.capacity import holds_all
from tests.unit.plugins.relational.oracle_double import Double, error

PLACE = "FROM ALL_TABLES WHERE OWNER = :1 AND TABLE_NAME = :2\nUNION"
TABLE = '"APP"."T"'


class Cursor:
    """Keeps the statements and answers some; a statement that is to fail has an exception as its answer."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = {PLACE: [("APP", "T")], **answers}
        self.statements: list[str] = []
        self.rows: list[Any] = []

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        if not statement.lstrip().startswith("SELECT"):
            self.statements.append(statement)
        # The parser knows no negative scale.
        sqlglot.parse_one(re.sub(r":(\d+)", r":b\1", statement).replace(",-", ","), dialect="oracle")
        self.rows = next((answer for part, answer in self.answers.items() if part in statement), [])
        if isinstance(self.rows, Exception):
            raise self.rows

    def fetchall(self) -> list[Any]:
        return self.rows

    def fetchone(self) -> Any:
        return self.rows[0] if self.rows else None


def parameter(**others: Any) -> dict[str, Any]:
    connection = [{"jdbcUrl": "jdbc:oracle:thin:@//h:1521/s", "table": ["app.t"]}]
    return {"username": "u", "password": "p@ss", "connection": connection, "column": ["*"], **others}


def tables() -> OracleTables:
    return OracleTables(Oracle(parameter(), "Europe/Berlin"))


def described(row: tuple[Any, ...], character_set: str = "AL32UTF8") -> TableColumn:
    cursor = Cursor({"CHAR_USED": [("C", *row)], "NLS_CHARACTERSET": [(character_set,)]})
    (column,) = tables().describe(cursor)
    return column


def catalog(kind: str, size: int = 22, precision: Any = None, scale: Any = None, text: Any = (0, None)) -> Any:
    """A row of the catalog behind the name."""
    return (kind, size, precision, scale, *text, "N", 2)


@pytest.mark.parametrize(
    ("row", "declared", "kind", "others"),
    [
        (catalog("NUMBER", 22, 10, 0), "NUMBER(10,0)", pa.decimal128(10, 0), {}),
        (catalog("NUMBER", 22, None, 0), "NUMBER(*,0)", pa.decimal128(38, 0), {}),
        (catalog("NUMBER", 22, 5, -2), "NUMBER(5,-2)", pa.decimal128(7, 0), {"is_checked": True}),
        (catalog("NUMBER", 22, 2, 5), "NUMBER(2,5)", pa.decimal128(5, 5), {"is_checked": True}),
        (catalog("NUMBER", 22, 38, -2), "NUMBER(38,-2)", pa.decimal256(40, 0), {"is_checked": True}),
        (catalog("NUMBER"), "NUMBER", pa.string(), {"exact_digits": 38}),
        (catalog("FLOAT", 22, 63), "FLOAT(63)", pa.string(), {"exact_digits": 18}),
        (catalog("BINARY_FLOAT", 4), "BINARY_FLOAT", pa.float32(), {}),
        (catalog("DATE", 7), "DATE", pa.timestamp("us"), {"fraction_digits": 0}),
        (catalog("TIMESTAMP(3)", 11, None, 3), "TIMESTAMP(3)", pa.timestamp("us"), {"fraction_digits": 3}),
        (catalog("TIMESTAMP(9)", 11, None, 9), "TIMESTAMP(9)", pa.timestamp("ns"), {"fraction_digits": 9}),
        (catalog("TIMESTAMP(6) WITH LOCAL TIME ZONE", 11, None, 6), "TIMESTAMP(6) WITH LOCAL TIME ZONE",
         pa.timestamp("us", "UTC"), {"fraction_digits": 6}),
        (catalog("VARCHAR2", 40, text=(10, "C")), "VARCHAR2(10 CHAR)", pa.string(), {"length": 10}),
        (catalog("VARCHAR2", 4000, text=(2000, "C")), "VARCHAR2(2000 CHAR)", pa.string(),
         {"length": 4000, "encoding": UTF_8}),
        (catalog("CHAR", 10, text=(10, "B")), "CHAR(10 BYTE)", pa.string(), {"length": 10, "encoding": UTF_8}),
        (catalog("NVARCHAR2", 20, text=(10, "C")), "NVARCHAR2(10)", pa.string(), {"length": 10, "encoding": UTF_16}),
        (catalog("CLOB", 4000), "CLOB", pa.string(), {}),
        (catalog("RAW", 16), "RAW(16)", pa.binary(), {"length": 16}),
        (catalog("BLOB", 4000), "BLOB", pa.binary(), {}),
        (catalog("INTERVAL DAY(2) TO SECOND(6)", 11, 2, 6), "INTERVAL DAY(2) TO SECOND(6)", pa.string(),
         {"is_checked": True}),
        (catalog("JSON", 8200), "JSON", pa.string(), {"is_checked": True}),
    ],
)  # fmt: skip
def test_what_the_catalog_says(row: tuple[Any, ...], declared: str, kind: pa.DataType, others: Any) -> None:
    wanted = TableColumn("C", kind, nullable=False, key=2, declared=("Oracle", declared), **others)
    assert described(row) == wanted


def test_what_is_particular() -> None:
    # A table has one LONG at most, so that another one cannot be made like it.
    assert described(catalog("LONG", 0)).declared is None
    assert described(catalog("VARCHAR2", 10, text=(10, "C")), "WE8ISO8859P15").encoding == "code page WE8ISO8859P15"
    assert tables().describe(Cursor({PLACE: [], "CHAR_USED": [1]})) == ()


def created(*columns: TableColumn) -> str:
    cursor = Cursor({})
    tables().create(cursor, columns)
    (statement,) = cursor.statements
    return statement


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        (TableColumn("c", pa.bool_()), "NUMBER(1)"),
        (TableColumn("c", pa.int8()), "NUMBER(3)"),
        (TableColumn("c", pa.int64()), "NUMBER(19)"),
        (TableColumn("c", pa.uint64()), "NUMBER(20)"),
        (TableColumn("c", pa.float32()), "BINARY_FLOAT"),
        (TableColumn("c", pa.decimal128(38, 38)), "NUMBER(38,38)"),
        (TableColumn("c", pa.decimal128(5, -2)), "NUMBER(5,-2)"),
        (TableColumn("c", pa.decimal256(39, 0)), "VARCHAR2(42)"),
        (TableColumn("c", pa.date32()), "DATE"),
        (TableColumn("c", pa.time64("us")), "VARCHAR2(15)"),
        (TableColumn("c", pa.time64("us"), fraction_digits=7), "VARCHAR2(16)"),
        (TableColumn("c", pa.duration("us")), "VARCHAR2(17)"),
        (TableColumn("c", pa.timestamp("us")), "TIMESTAMP(6)"),
        (TableColumn("c", pa.timestamp("us"), fraction_digits=0), "TIMESTAMP(0)"),
        (TableColumn("c", pa.timestamp("ns")), "TIMESTAMP(9)"),
        (TableColumn("c", pa.timestamp("ns"), fraction_digits=12), "VARCHAR2(32)"),
        (TableColumn("c", pa.timestamp("us", "UTC"), fraction_digits=7), "TIMESTAMP(7) WITH TIME ZONE"),
        (TableColumn("c", pa.string()), "CLOB"),
        (TableColumn("c", pa.string(), length=1000), "VARCHAR2(1000 CHAR)"),
        (TableColumn("c", pa.string(), length=1001), "CLOB"),
        (TableColumn("c", pa.string(), length=4000, encoding=UTF_8), "VARCHAR2(4000 CHAR)"),
        (TableColumn("c", pa.string(), length=1334, encoding=UTF_16), "CLOB"),
        (TableColumn("c", pa.string(), length=36, is_uuid=True), "VARCHAR2(36)"),
        (TableColumn("c", pa.binary(), length=2000), "RAW(2000)"),
        (TableColumn("c", pa.binary(), length=2001), "BLOB"),
        (TableColumn("c", pa.binary(16)), "RAW(16)"),
        (TableColumn("c", pa.string(), length=9, declared=("Oracle", "CHAR(9 BYTE)")), "CHAR(9 BYTE)"),
        (TableColumn("c", pa.string(), length=9, declared=("DB2", "CHARACTER(9)")), "VARCHAR2(9 CHAR)"),
    ],
)
def test_types_that_are_made(column: TableColumn, wanted: str) -> None:
    assert created(column) == f'CREATE TABLE {TABLE} ("C" {wanted} NULL)'


def key(name: str, kind: pa.DataType, place: int, **others: Any) -> TableColumn:
    return TableColumn(name, kind, nullable=False, key=place, **others)


def test_names_are_folded_and_keys_have_a_length() -> None:
    columns = [key("b", pa.string(), 2, length=10), key("Not ordinary", pa.int64(), 1)]
    assert created(*columns) == (
        f'CREATE TABLE {TABLE} ("B" VARCHAR2(10 CHAR) NOT NULL, "Not ordinary" NUMBER(19) NOT NULL, '
        'PRIMARY KEY ("Not ordinary", "B"))'
    )
    assert '"A" VARCHAR2(1000 CHAR) NOT NULL' in created(key("a", pa.string(), 1))
    two = created(key("a", pa.string(), 1, length=1000), key("b", pa.string(), 2), key("c", pa.int32(), 3))
    assert '"B" VARCHAR2(494 CHAR)' in two
    assert '"A" RAW(2000)' in created(key("a", pa.binary(), 1))
    full = [key(f"c{place}", pa.string(), place, length=999) for place in (1, 2)]
    with pytest.raises(DataError, match="a key of 6000 bytes at most cannot hold columns c1, c2, c3, c4"):
        tables().create(Cursor({}), [*full, key("c3", pa.string(), 3, length=501), key("c4", pa.string(), 4)])


def test_the_other_statements() -> None:
    cursor = Cursor({"ROWNUM": [(1,)]})
    columns = [TableColumn("a", pa.int32()), TableColumn("b", pa.string())]
    tables().add(cursor, columns)
    tables().empty(cursor)
    assert tables().has_rows(cursor)
    assert not tables().has_rows(Cursor({}))
    assert cursor.statements == [
        f'ALTER TABLE {TABLE} ADD ("A" NUMBER(10) NULL, "B" CLOB NULL)',
        f"TRUNCATE TABLE {TABLE}",
    ]


RENAMED = [
    'CREATE TABLE "APP"."T_FLINKX_NEW" ("A" NUMBER(10) NULL)',
    'ALTER TABLE "APP"."T" RENAME TO "T_FLINKX_OLD"',
    'ALTER TABLE "APP"."T_FLINKX_NEW" RENAME TO "T"',
    'DROP TABLE "APP"."T_FLINKX_OLD"',
]


def replaced(**answers: Any) -> list[str]:
    cursor = Cursor({part.replace("_", " "): answer for part, answer in answers.items()})
    refused = any(isinstance(answer, Exception) for answer in answers.values())
    if refused:
        with pytest.raises(oracledb.Error):
            tables().replace(cursor, [TableColumn("a", pa.int32())])
    else:
        tables().replace(cursor, [TableColumn("a", pa.int32())])
    return cursor.statements


def test_the_new_table_is_made_before_the_old_one_goes() -> None:
    failure = oracledb.DatabaseError(error(1031))
    assert replaced() == RENAMED
    assert replaced(IN=[("T_FLINKX_OLD",)]) == ['DROP TABLE "APP"."T_FLINKX_OLD"', *RENAMED]
    assert replaced(CREATE=failure) == RENAMED[:1]
    assert replaced(DROP=failure) == [
        *RENAMED,
        'ALTER TABLE "APP"."T" RENAME TO "T_FLINKX_NEW"',
        'ALTER TABLE "APP"."T_FLINKX_OLD" RENAME TO "T"',
        'DROP TABLE "APP"."T_FLINKX_NEW"',
    ]


def test_tables_whose_long_names_begin_alike_are_kept_apart() -> None:
    first, second = (_names_beside(f"CUSTOMER_ORDERS_OF_2024_{part}") for part in "AB")
    assert not {*first} & {*second}
    assert max(map(len, (*first, *second))) <= 30


@pytest.mark.parametrize(
    ("target", "source", "fits"),
    [
        (catalog("NUMBER"), TableColumn("c", pa.int64()), True),
        (catalog("NUMBER"), TableColumn("c", pa.decimal128(38, 10)), True),
        (catalog("NUMBER"), TableColumn("c", pa.decimal256(39, 10)), False),
        (catalog("NUMBER"), TableColumn("c", pa.float64()), False),
        (catalog("FLOAT", 22, 63), TableColumn("c", pa.int64()), False),
        (catalog("NUMBER", 22, 9, 0), TableColumn("c", pa.int32()), False),
        (catalog("NUMBER", 22, 10, 0), TableColumn("c", pa.int32()), True),
        (catalog("DATE", 7), TableColumn("c", pa.date32()), True),
        (catalog("DATE", 7), TableColumn("c", pa.timestamp("us")), False),
        (catalog("TIMESTAMP(9)", 11, None, 9), TableColumn("c", pa.timestamp("us")), True),
        (catalog("VARCHAR2", 40, text=(10, "C")), TableColumn("c", pa.string(), length=10), True),
        (catalog("VARCHAR2", 4000, text=(2000, "C")), TableColumn("c", pa.string(), length=2000), False),
        (catalog("CLOB", 4000), TableColumn("c", pa.string()), True),
        (catalog("JSON", 4000), TableColumn("c", pa.string()), False),
    ],
)
def test_which_columns_hold_all_of_others(target: Any, source: TableColumn, fits: bool) -> None:
    assert holds_all(described(target), source) == fits


TARGET = [("ID", "NUMBER", 22, 10, 0, 0, None, "N", 1), ("V", "VARCHAR2", 9, None, None, 9, "B", "Y", None)]
CATALOG = {
    PLACE: [("APP", "T")],
    "CHAR_USED": TARGET,
    "NLS_CHARACTERSET": [("AL32UTF8",)],
    "ALL_TAB_COLS": [("ID", "NUMBER", 10, 0, "N"), ("V", "VARCHAR2", None, None, "Y")],
}
SCHEMA = pa.schema([pa.field("id", pa.int32()), pa.field("v", pa.string())])


def test_a_table_is_looked_at_before_it_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    double = Double(CATALOG)
    monkeypatch.setattr(oracledb, "connect", double.connect)
    OracleWriter(parameter(saveMode="truncate"), [], RunContext("k", "a")).prepare(SCHEMA)
    assert f"TRUNCATE TABLE {TABLE}" in double.statements
    double.statements.clear()
    with pytest.raises(DataError, match=r"V is VARCHAR2\(9 BYTE\) and cannot hold every CLOB"):
        OracleWriter(parameter(saveMode="truncate", schemaChange="fail"), [], RunContext("k", "a")).prepare(SCHEMA)
    assert f"TRUNCATE TABLE {TABLE}" not in double.statements
