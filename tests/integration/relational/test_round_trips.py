"""Every type of each database, extremes included, through readers and writers: values compared one by one."""

from __future__ import annotations

import pytest

from tests.integration.relational.moving import move, reader, writer
from tests.servers import Database, MariadbDatabase, PostgresDatabase, SQLServerDatabase

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

#: Types whose binary form need not be the same on another server.
POSTGRES_UNPORTABLE = {"money", '"char"', "xml", "point", "tsvector", "int4range", "mood"}

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

#: Values as T-SQL writes them.
SQLSERVER_TYPES = {
    "bit": ["0", "1"],
    "tinyint": ["0", "255"],
    "smallint": ["-32768", "32767"],
    "int": ["-2147483648", "2147483647"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "decimal(18,2)": ["9999999999999999.99", "-0.01", "0.00"],
    "decimal(38,0)": [DIGITS, f"-{DIGITS}"],
    "numeric(38,38)": [f"0.{DIGITS}", "-0.00000000000000000000000000000000000001"],
    "money": ["922337203685477.5807", "-922337203685477.5808", "0.0001"],
    "smallmoney": ["214748.3647", "-214748.3648"],
    "real": ["CAST(1.1 AS real)", "-3.4028235E38", "1.1754944E-38"],
    "float(24)": ["CAST(0.1 AS real)"],
    "float": ["0.1E0", "1.7976931348623157E308", "-2.2250738585072014E-308", "0.30000000000000004E0"],
    "date": ["'0001-01-01'", "'9999-12-31'", "'1582-10-10'"],
    "time(0)": ["'23:59:59'"],
    "time(3)": ["'12:34:56.789'"],
    "time": ["'00:00:00'", "'23:59:59.9999999'", "'12:34:56.1234560'"],
    "datetime": ["'1753-01-01T00:00:00.000'", "'9999-12-31T23:59:59.997'", "'2024-02-29T12:34:56.003'"],
    "smalldatetime": ["'1900-01-01T00:00:00'", "'2079-06-06T23:59:00'"],
    "datetime2(0)": ["'2024-02-29 12:34:56'"],
    "datetime2(3)": ["'2024-02-29 12:34:56.789'"],
    "datetime2": ["'0001-01-01 00:00:00'", "'9999-12-31 23:59:59.9999999'", "'2024-02-29 12:34:56.1234560'"],
    "datetimeoffset": [
        "'2024-02-29 12:34:56.1234567 +05:30'", "'0001-01-02 00:00:00 +00:00'", "'1969-12-31 23:59:59.5 -08:00'",
    ],
    "datetimeoffset(3)": ["'2024-02-29 12:34:56.789 -12:00'", "'2024-02-29 12:34:56.789 +00:00'"],
    "char(5)": ["'ab'", "'abcde'", "''"],
    "varchar(20)": ["''", "' lead'", "'trail '", "'é€'"],
    "varchar(max)": ["''", "'NULL'", f"'{'x' * 20_000}'"],
    "nchar(5)": ["N'日本語テキ'", "N'ab'"],
    "nvarchar(4)": ["N''", "N'日本語テ'", "N'😀😀'"],
    "nvarchar(max)": ["N''", f"N'{AWKWARD.replace(chr(39), chr(39) * 2)}'", f"N'{'é' * 100_000}'"],
    "text": ["'plain'"],
    "ntext": ["N'日本'"],
    "binary(4)": ["0x01020000", "0xFFFFFFFF"],
    "varbinary(300)": ["0x", "0x00FF5C270A090D1A"],
    "varbinary(max)": ["0x", f"0x{'00ff5c27' * 5000}"],
    "image": ["0x00FF"],
    "uniqueidentifier": ["'00000000-0000-0000-0000-000000000000'", "'F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6'"],
    "xml": ["N'<a>é &amp; <b> </b></a>'"],
}  # fmt: skip
#: What shows a value of these types, where varbinary does not show it.
SQLSERVER_SHOWN = {"xml": "CAST(v AS nvarchar(max))", "ntext": "CAST(v AS nvarchar(max))",
                   "text": "CAST(v AS varchar(max))", "image": "CAST(v AS varbinary(max))"}  # fmt: skip


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
    source_and_target(left, kind)
    moved = move(reader(left, "source"), writer(left, "target", writeMode=mode))
    assert moved.rejects == []
    assert moved.written == len(POSTGRES_TYPES[kind]) + 1
    assert_same(left)


def source_and_target(database: Database, kind: str) -> None:
    """Two tables of one shape; the first has every value of the type."""
    for table in ("source", "target"):
        database.execute(f"DROP TABLE IF EXISTS {table}", f"CREATE TABLE {table} (id integer PRIMARY KEY, v {kind})")
    values = [f"'{value.replace(chr(39), chr(39) * 2)}'" for value in POSTGRES_TYPES[kind]] + ["NULL"]
    rows = ", ".join(f"({number}, {value}::{kind})" for number, value in enumerate(values))
    database.execute(f"INSERT INTO source VALUES {rows}")


def assert_same(database: Database) -> None:
    same = "SELECT id, v::text, encode(textsend(v::text), 'hex') FROM {} ORDER BY id"
    found = database.query(same.format("source"))
    assert len(found) > 1
    assert database.query(same.format("target")) == found


@pytest.mark.parametrize("kind", POSTGRES_TYPES)
def test_postgres_to_postgres_by_a_shortcut(left: Database, kind: str) -> None:
    source_and_target(left, kind)
    source, target = reader(left, "source"), writer(left, "target")
    way = target.shortcut(source)
    assert (way is None) is (kind in POSTGRES_UNPORTABLE)
    if way is None:
        source.close()
        target.close()
    else:
        assert move(source, target, way).rejects == []
        assert_same(left)


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


@pytest.fixture(scope="module")
def third(sqlserver: SQLServerDatabase) -> Database:
    return sqlserver.fresh_database()


def shown(kind: str) -> str:
    """A column's exact value as SQL Server shows it: dates and times as text with all their digits."""
    name = kind.partition("(")[0]
    if name in ("time", "datetime2", "datetimeoffset"):
        return "CONVERT(varchar(40), v, 121)"
    return SQLSERVER_SHOWN.get(name, "v")


@pytest.mark.parametrize("kind", SQLSERVER_TYPES)
def test_sqlserver_to_sqlserver(third: Database, kind: str) -> None:
    database = third
    for table in ("source", "target"):
        database.execute(f"DROP TABLE IF EXISTS {table}", f"CREATE TABLE {table} (id int PRIMARY KEY, v {kind} NULL)")
    values = [*SQLSERVER_TYPES[kind], "NULL"]
    database.execute(*(f"INSERT INTO source (id, v) VALUES ({number}, {value})" for number, value in enumerate(values)))

    for mode, key in (("insert", 0), ("update", 0), ("replace", 100)):
        moved = move(
            reader(database, None, customSql=f"SELECT id + {key} AS id, v FROM source"),
            writer(database, "target", writeMode=mode),
        )
        assert moved.rejects == []
        assert moved.written == len(values)

    wanted = database.query(f"SELECT id, {shown(kind)} FROM source ORDER BY id")
    written = database.query(f"SELECT id, {shown(kind)} FROM target ORDER BY id")
    assert written == [*wanted, *((number + 100, value) for number, value in wanted)]


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


def test_a_timestamp_is_the_same_beside_a_value_that_is_none(left: Database, right: Database) -> None:
    """Such a value turns its column of the batch into text; the others keep instant and spelling."""
    left.execute("DROP TABLE IF EXISTS t", "CREATE TABLE t (id int, a timestamptz CHECK (id <> 3), b timestamp)")
    right.execute("DROP TABLE IF EXISTS t", "CREATE TABLE t (id int, a timestamp(6) NULL, b datetime(6))")
    with right.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = ''")
        cursor.execute("SET time_zone = '+00:00'")
        good = "'2024-07-01 12:00:00.5', '2024-07-01 12:00:00.5'"
        zeros = "'0000-00-00 00:00:00', '0000-00-00 00:00:00'"
        cursor.execute(f"INSERT INTO t VALUES (1, {good}), (2, {zeros}), (3, {good})")
        connection.commit()

    moved = move(reader(right, "t", timezone="Asia/Shanghai"), writer(left, "t", timezone="Asia/Shanghai"))

    stored = "SELECT id, a = '2024-07-01 12:00:00.5+00', b = '2024-07-01 12:00:00.5' FROM t"
    assert left.query(stored) == [(1, True, True)]
    rows = {reject.row["id"]: (reject.row["a"], reject.row["b"]) for reject in moved.rejects}
    assert rows == {
        2: ("0000-00-00 00:00:00.000000", "0000-00-00 00:00:00.000000"),
        3: ("2024-07-01 12:00:00.5+00:00", "2024-07-01 12:00:00.5"),
    }


def test_a_timestamp_beside_infinity_is_spelled_as_without(left: Database, right: Database) -> None:
    left.execute(
        "DROP TABLE IF EXISTS t", "CREATE TABLE t (id int, a timestamptz, b timestamp, c date)",
        "INSERT INTO t VALUES (1, '2024-07-01 12:00:00.5+00', '2024-07-01 12:00:00', '2024-07-01'), "
        "(2, 'infinity', 'infinity', 'infinity'), (3, '20240-07-01 12:00:00.25+00', '-infinity', '20240-07-01')",
    )  # fmt: skip
    right.execute("DROP TABLE IF EXISTS t", "CREATE TABLE t (id int, a timestamp NULL, b datetime, c date)")

    moved = move(reader(left, "t"), writer(right, "t"))

    assert sorted(tuple(reject.row.values()) for reject in moved.rejects) == [
        (1, "2024-07-01 12:00:00.5+00:00", "2024-07-01 12:00:00", "2024-07-01"),
        (2, "infinity", "infinity", "infinity"),
        (3, "20240-07-01 12:00:00.25+00:00", "-infinity", "20240-07-01"),
    ]
