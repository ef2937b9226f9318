"""Every type of each database, extremes included, through readers and writers: values compared one by one."""

from __future__ import annotations

import pytest

from tests.integration.relational.moving import move, reader, writer
from tests.servers import Database, MariadbDatabase, PostgresDatabase

DIGITS = "12345678901234567890123456789012345678"
AWKWARD = "é日本😀 \\t\\N 'single' \"double\" ; -- % {} `tick`\t tab \n line \r\n return \\ end "

#: type -> values as PostgreSQL writes them; None is null.
POSTGRES_TYPES = {
    "boolean": ["true", "false"],
    "smallint": ["-32768", "32767", "0"],
    "integer": ["-2147483648", "2147483647"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "real": ["1.1", "-3.4028235e38", "1e-45", "NaN", "Infinity", "-Infinity", "-0"],
    "double precision": ["0.1", "1.7976931348623157e308", "5e-324", "NaN", "Infinity", "-Infinity"],
    "numeric(18,2)": ["9999999999999999.99", "-9999999999999999.99", "0.00", "NaN"],
    "numeric(38,0)": [DIGITS, f"-{DIGITS}"],
    "numeric(38,38)": [f"0.{DIGITS}", "-0.00000000000000000000000000000000000001"],
    "numeric(60,20)": [f"{DIGITS}.12345678901234567890"],
    "numeric": ["1", "1.10", "-1e100", "0.000000000000000000000000000000000000000000000001", "NaN", "Infinity"],
    "money": ["$1,234.56", "-$0.01"],
    "text": ["", " ", AWKWARD, "\\N", "NULL", "x" * 100_000],
    "varchar(5)": ["", "abcde", "日本語テキ"],
    "char(5)": ["ab", "abcde"],
    "name": ["a name"],
    '"char"': ["x"],
    "bytea": ["\\x", "\\x00ff0a095c27", "\\x" + "ab" * 1000],
    "date": ["0001-01-01", "9999-12-31", "1582-10-10", "0044-03-15 BC", "5874897-12-31", "infinity", "-infinity"],
    "time": ["00:00:00", "23:59:59.999999", "24:00:00"],
    "time(3)": ["12:34:56.789"],
    "timetz": ["12:34:56.789+05:30"],
    "timestamp": ["294276-12-31 23:59:59.999999", "294270-02-28 01:02:03.5", "40000-02-29",
        "2024-02-29 12:34:56.123456", "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "20000-01-01 00:00:00",
        "0044-03-15 00:00:00 BC", "infinity", "-infinity",
    ],
    "timestamp(0)": ["2024-02-29 12:34:56"],
    "timestamptz": ["2024-03-31 02:30:00.5+00", "1900-01-01 00:00:00+05:53", "infinity", "-infinity"],
    "interval": ["1 year 2 mons -3 days 04:05:06.789", "-1 days"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"],
    "json": ['{"a":  [1, "é", null]}', "null"],
    "jsonb": ['{"a": [1, "é", null]}', '"x"'],
    "xml": ["<a>é &amp; b</a>"],
    "inet": ["192.168.0.1/24", "::1"],
    "cidr": ["10.0.0.0/8"],
    "macaddr": ["08:00:2b:01:02:03"],
    "bit(9)": ["101010101", "000000001"],
    "varbit": ["", "1", "0001"],
    "integer[]": ["{1,NULL,3}", "{}", "{{1,2},{3,4}}"],
    "text[]": ['{"a,b","c\\"d",NULL}'],
    "oid": ["4294967295"],
    "point": ["(1.5,2.5)"],
    "tsvector": ["'a':1 'b':2"],
    "int4range": ["[1,5)", "empty"],
    "mood": ["happy", "it's ok"],
    "positive": ["1"],
}  # fmt: skip

POSTGRES_SETUP = (
    "CREATE TYPE mood AS ENUM ('happy', 'it''s ok')",
    "CREATE DOMAIN positive AS integer CHECK (value > 0)",
)

MARIADB_TYPES = {
    "tinyint": ["-128", "127"],
    "tinyint unsigned": ["255"],
    "tinyint(1)": ["0", "1", "2"],
    "smallint": ["-32768", "32767"],
    "smallint unsigned": ["65535"],
    "mediumint": ["-8388608", "8388607"],
    "mediumint unsigned": ["16777215"],
    "int": ["-2147483648", "2147483647"],
    "int unsigned zerofill": ["4294967295", "7"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "bigint unsigned": ["18446744073709551615"],
    "float": ["1.1", "-3.40282e38", "16777216"],
    "double": ["0.1", "1.7976931348623157e308", "2.2250738585072014e-308"],
    "decimal(18,2)": ["9999999999999999.99", "-0.01"],
    "decimal(38,10)": ["1234567890123456789012345678.0123456789"],
    "decimal(65,30)": ["12345678901234567890123456789012345.123456789012345678901234567891"],
    "decimal(10,2) unsigned": ["0.01"],
    "year": ["1901", "2155", "0"],
    "date": ["1000-01-01", "9999-12-31", "0000-00-00", "2024-00-00"],
    "datetime": ["1000-01-01 00:00:00", "9999-12-31 23:59:59", "0000-00-00 00:00:00"],
    "datetime(6)": ["2024-02-29 12:34:56.123456"],
    "datetime(3)": ["2024-02-29 12:34:56.123"],
    "timestamp(6) null": ["1970-01-01 00:00:01.000001", "2038-01-19 03:14:07.999999"],
    "time": ["-838:59:59", "838:59:59", "00:00:00"],
    "time(6)": ["12:34:56.654321", "-00:00:00.000001"],
    "char(5)": ["ab", "", "日本語テキ"],
    "varchar(20)": ["", " lead", "trail ", "\\N"],
    "text": ["", "NULL", "x" * 60_000],
    "mediumtext": ["y" * 100_000],
    "enum('a','b ''c')": ["a", "b 'c"],
    "set('x','y')": ["x,y", "", "y"],
    "json": ['{"a": [1, "é"]}'],
    "uuid": ["123e4567-e89b-12d3-a456-426655440000"],
    "inet6": ["::1"],
}

MARIADB_EXPRESSIONS = {
    "longtext": ["CONCAT('é日本😀', CHAR(9), CHAR(10), CHAR(13), CHAR(92), CHAR(39), CHAR(34), CHAR(0), '%')"],
    "binary(4)": ["x'01020000'", "x'ffffffff'"],
    "varbinary(300)": ["x''", "x'00ff5c270a090d1a'"],
    "blob": ["REPEAT(x'00ff5c27', 10000)"],
    "bit(1)": ["b'0'", "b'1'"],
    "bit(9)": ["b'100000001'"],
    "bit(64)": ["0xffffffffffffffff"],
    "geometry": ["POINT(1.5, 2)", "ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))', 4326)"],
    "varchar(20) character set latin1": ["'é'", "'plain'"],
}


@pytest.fixture(scope="module")
def left(postgres: PostgresDatabase) -> Database:
    database = postgres.fresh_database()
    database.execute(*POSTGRES_SETUP)
    return database


@pytest.fixture(scope="module")
def right(mariadb: MariadbDatabase) -> Database:
    return mariadb.fresh_database()


def quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


@pytest.mark.parametrize("kind", POSTGRES_TYPES)
@pytest.mark.parametrize("mode", ["insert", "update"])
def test_postgres_to_postgres(left: Database, kind: str, mode: str) -> None:
    database = left
    for table in ("source", "target"):
        database.execute(f"DROP TABLE IF EXISTS {table}", f"CREATE TABLE {table} (id integer PRIMARY KEY, v {kind})")
    values = [f"'{value.replace(chr(39), chr(39) * 2)}'" for value in POSTGRES_TYPES[kind]] + ["NULL"]
    rows = ", ".join(f"({number}, {value}::{kind})" for number, value in enumerate(values))
    database.execute(f"INSERT INTO source VALUES {rows}")

    moved = move(reader(database, "source"), writer(database, "target", writeMode=mode))

    assert moved.rejects == []
    same = "SELECT id, v::text, encode(textsend(v::text), 'hex') FROM {} ORDER BY id"
    assert database.query(same.format("target")) == database.query(same.format("source"))
    assert len(database.query("SELECT 1 FROM target")) == len(values) == moved.written


@pytest.mark.parametrize("kind", [*MARIADB_TYPES, *MARIADB_EXPRESSIONS])
@pytest.mark.parametrize("mode", ["insert", "update", "replace"])
def test_mariadb_to_mariadb(right: Database, kind: str, mode: str) -> None:
    database = right
    for table in ("source", "target"):
        database.execute(f"DROP TABLE IF EXISTS {table}", f"CREATE TABLE {table} (id integer PRIMARY KEY, v {kind})")
    values = MARIADB_EXPRESSIONS.get(kind) or [quoted(value) for value in MARIADB_TYPES[kind]]
    rows = ", ".join(f"({number}, {value})" for number, value in enumerate([*values, "NULL"]))
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = '', time_zone = '+00:00'")
        cursor.execute(f"INSERT INTO source VALUES {rows}")

    moved = move(reader(database, "source"), writer(database, "target", writeMode=mode))

    assert moved.rejects == []
    same = "SELECT id, HEX(v), CAST(v AS BINARY) FROM {} ORDER BY id"
    assert database.query(same.format("target")) == database.query(same.format("source"))
    assert len(database.query("SELECT 1 FROM target")) == len(values) + 1 == moved.written


CROSSING = {
    # PostgreSQL type: (MariaDB type, values as both write them)
    "boolean": ("tinyint(1)", ["1", "0"]),
    "smallint": ("smallint", ["-32768", "32767"]),
    "integer": ("int", ["-2147483648", "2147483647"]),
    "bigint": ("bigint", ["-9223372036854775808", "9223372036854775807"]),
    "numeric(20,0)": ("bigint unsigned", ["18446744073709551615"]),
    "double precision": ("double", ["0.1", "-1.7976931348623157e308"]),
    "real": ("float", ["1.5", "16777216"]),
    "numeric(38,10)": ("decimal(38,10)", ["1234567890123456789012345678.0123456789", "-0.0000000001"]),
    "numeric(60,20)": ("decimal(60,20)", ["1234567890123456789012345678901234567890.01234567890123456789"]),
    "text": ("longtext", ["", " ", AWKWARD, "\\N", "NULL"]),
    "varchar(5)": ("varchar(5)", ["日本語テキ", ""]),
    "date": ("date", ["1000-01-01", "9999-12-31"]),
    "time": ("time(6)", ["23:59:59.999999", "00:00:00"]),
    "timestamp": ("datetime(6)", ["2024-02-29 12:34:56.123456", "9999-12-31 23:59:59.999999"]),
    "json": ("json", ['{"a":  [1, "é"]}']),
    "uuid": ("char(36)", ["f81d4fae-7dec-11d0-a765-00a0c91e6bf6"]),
    "bit(9)": ("bit(9)", ["101010101"]),
}


def crossing_tables(left: Database, right: Database, kind: str) -> None:
    for database in (left, right):
        database.execute("DROP TABLE IF EXISTS t", "DROP TABLE IF EXISTS wanted")
    left.execute(f"CREATE TABLE t (id integer PRIMARY KEY, v {kind})")
    right.execute(f"CREATE TABLE t (id integer PRIMARY KEY, v {CROSSING[kind][0]})")


def postgres_values(kind: str) -> str:
    cast = "int::boolean" if kind == "boolean" else kind
    texts = [f"'{value.replace(chr(39), chr(39) * 2)}'::{cast}" for value in CROSSING[kind][1]]
    return ", ".join(f"({number}, {text})" for number, text in enumerate([*texts, "NULL"]))


def mariadb_values(kind: str) -> str:
    texts = [f"b{quoted(value)}" if kind == "bit(9)" else quoted(value) for value in CROSSING[kind][1]]
    return ", ".join(f"({number}, {text})" for number, text in enumerate([*texts, "NULL"]))


@pytest.mark.parametrize("kind", CROSSING)
def test_postgres_to_mariadb(left: Database, right: Database, kind: str) -> None:
    crossing_tables(left, right, kind)
    source, target = left, right
    source.execute(f"INSERT INTO t VALUES {postgres_values(kind)}")
    target.execute("CREATE TABLE wanted LIKE t", f"INSERT INTO wanted VALUES {mariadb_values(kind)}")

    moved = move(reader(source, "t"), writer(target, "t"))

    assert moved.rejects == []
    same = "SELECT id, HEX(v), CAST(v AS BINARY) FROM {} ORDER BY id"
    assert target.query(same.format("t")) == target.query(same.format("wanted"))


@pytest.mark.parametrize("kind", CROSSING)
def test_mariadb_to_postgres(left: Database, right: Database, kind: str) -> None:
    crossing_tables(left, right, kind)
    source, target = right, left
    source.execute(f"INSERT INTO t VALUES {mariadb_values(kind)}")
    target.execute("CREATE TABLE wanted (LIKE t)", f"INSERT INTO wanted VALUES {postgres_values(kind)}")

    moved = move(reader(source, "t"), writer(target, "t"))

    assert moved.rejects == []
    same = "SELECT id, v::text FROM {} ORDER BY id"
    assert target.query(same.format("t")) == target.query(same.format("wanted"))


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai"])
def test_timestamps_with_a_zone_cross_as_the_same_instant(left: Database, right: Database, zone: str) -> None:
    for database in (left, right):
        database.execute("DROP TABLE IF EXISTS t")
    left.execute(
        "CREATE TABLE t (a timestamptz, b timestamptz)", "INSERT INTO t VALUES ('2024-07-01 12:00:00.5+00', NULL)"
    )
    right.execute("CREATE TABLE t (a timestamp(6) NULL, b datetime(6))")
    left.execute("UPDATE t SET b = a")

    assert move(reader(left, "t", timezone=zone), writer(right, "t", timezone=zone)).rejects == []

    local = "2024-07-01 12:00:00.500000" if zone == "UTC" else "2024-07-01 20:00:00.500000"
    stored = "SELECT CAST(UNIX_TIMESTAMP(a) AS CHAR), CAST(b AS CHAR) FROM t"
    assert right.query(stored) == [("1719835200.500000", local)]

    left.execute("TRUNCATE t")
    assert move(reader(right, "t", timezone=zone), writer(left, "t", timezone=zone)).rejects == []
    assert left.query("SELECT a = '2024-07-01 12:00:00.5+00', b = a FROM t") == [(True, True)]


def test_zero_dates_are_null_where_the_url_says_so(right: Database) -> None:
    database = right
    for table in ("source", "target"):
        database.execute(f"DROP TABLE IF EXISTS {table}", f"CREATE TABLE {table} (d date, t datetime)")
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = ''")
        cursor.execute("INSERT INTO source VALUES ('0000-00-00', '0000-00-00 00:00:00'), ('2024-01-01', NULL)")

    source = reader(database, "source", properties={"zeroDateTimeBehavior": "convertToNull"})
    assert move(source, writer(database, "target")).rejects == []

    assert database.query("SELECT CAST(d AS CHAR), t FROM target ORDER BY d") == [(None, None), ("2024-01-01", None)]
