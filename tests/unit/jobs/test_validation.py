from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_flinkx.exceptions import JobInvalidError
from airflow_provider_flinkx.jobs import many_tables
from airflow_provider_flinkx.jobs.model import Column, Dirty, ErrorLimit, Speed
from airflow_provider_flinkx.jobs.validation import Validation, validate
from airflow_provider_flinkx.plugins.registry import schema_of
from tests.unit.jobs.builders import (
    HDFS_READER,
    HDFS_WRITER,
    MYSQL_READER,
    POSTGRESQL_WRITER,
    STREAM_WRITER,
    job,
    with_parameter,
)

READER = "job.content[0].reader.parameter"
WRITER = "job.content[0].writer.parameter"
POLLING = {"polling": True, "increColumn": "id"}
ENDING = "pollingDuration ends it with a report"


def valid(document: Mapping[str, Any]) -> Validation:
    return validate(document, schema_of=schema_of)


def problems(document: Mapping[str, Any]) -> list[str]:
    with pytest.raises(JobInvalidError) as caught:
        valid(document)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return list(caught.value.problems)


def test_valid_job_gets_types_defaults_and_one_spelling() -> None:
    reader = with_parameter(MYSQL_READER, fetchSize="100", queryTimeout=5.0, where="", splitPk=None)
    writer = with_parameter(
        POSTGRESQL_WRITER,
        writeMode="Update",
        connection=[{"jdbcUrl": ["jdbc:postgresql://dw/shop"], "table": "orders"}],
    )
    document = job({**reader, "name": "MysqlReader"}, writer)
    validation = valid(document)
    parameter = validation.job.content.reader.parameter
    assert validation.warnings == ()
    assert validation.job.document is document
    assert validation.job.content.reader.name == "mysqlreader"
    assert validation.job.content.reader.columns == (Column(name="id"), Column(name="name"))
    assert (parameter["fetchSize"], parameter["queryTimeOut"], parameter["where"]) == (100, 5, None)
    assert parameter["connection"] == [{"jdbcUrl": "jdbc:mysql://db:3306/shop", "table": ["orders"], "schema": None}]
    assert validation.job.content.writer.parameter["writeMode"] == "update"
    assert validation.job.content.writer.parameter["batchSize"] == 1024
    assert validation.job.content.writer.parameter["connection"][0] == {
        "jdbcUrl": "jdbc:postgresql://dw/shop",
        "table": ["orders"],
        "schema": None,
    }


def test_validation_of_a_validated_document_gives_the_same() -> None:
    first = valid(job())
    assert valid(first.job.document) == first


@pytest.mark.parametrize(
    ("block", "limit"),
    [
        (..., ErrorLimit(0, 0.0)),
        (None, ErrorLimit(0, 0.0)),
        ({}, ErrorLimit(None, None)),
        ({"record": 5}, ErrorLimit(5, None)),
        ({"record": "5"}, ErrorLimit(5, None)),
        ({"record": -1}, ErrorLimit(None, None)),
        ({"record": 0, "percentage": 0.02}, ErrorLimit(0, 0.02)),
        ({"percentage": "50"}, ErrorLimit(None, 50)),
        ({"record": None, "percentage": 0}, ErrorLimit(None, 0)),
    ],
)
def test_error_limit(block: Any, limit: ErrorLimit) -> None:
    setting = {} if block is ... else {"errorLimit": block}
    assert valid(job(setting=setting)).job.setting.error_limit == limit


@pytest.mark.parametrize(
    ("block", "speed"),
    [
        ({}, Speed(1, None)),
        ({"channel": "3", "bytes": 0}, Speed(3, None)),
        ({"bytes": -1}, Speed(1, None)),
        ({"bytes": 10000.0}, Speed(1, 10000)),
        ({"bytes": 9223372036854775807}, Speed(1, 9223372036854775807)),
    ],
)
def test_speed(block: dict[str, Any], speed: Speed) -> None:
    assert valid(job(setting={"speed": block})).job.setting.speed == speed


def test_job_without_setting_has_the_defaults() -> None:
    setting = valid(job()).job.setting
    assert (setting.speed, setting.error_limit, setting.dirty, setting.timezone) == (
        Speed(), ErrorLimit(), Dirty(), "UTC"
    )  # fmt: skip


def test_dirty() -> None:
    block = {"path": "/tmp/bad", "hadoopConfig": {"fs.default.name": "hdfs://ns1"}, "format": "FlinkX"}
    dirty = valid(job(setting={"dirty": block})).job.setting.dirty
    assert dirty == Dirty("/tmp/bad", {"fs.default.name": "hdfs://ns1"}, "flinkx")


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("Asia/Shanghai", "Asia/Shanghai"),
        ("GMT+8", "Etc/GMT-8"),
        ("gmt-03:00", "Etc/GMT+3"),
        ("UTC+0", "UTC"),
        ("UTC", "UTC"),
    ],
)
def test_timezone(name: str, zone: str) -> None:
    assert valid(job(setting={"timezone": name})).job.setting.timezone == zone


@pytest.mark.parametrize("name", ["Mars/Base", "GMT+25", "../etc", "/etc/passwd", "+08:00", "GMT+5:30"])
def test_unknown_timezone(name: str) -> None:
    (problem,) = problems(job(setting={"timezone": name}))
    assert problem.startswith("job.setting.timezone: unknown time zone")


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ({"speed": {"channel": 0}}, "job.setting.speed.channel: must be 1 or more"),
        ({"speed": {"channel": "many"}}, "job.setting.speed.channel: must be an integer, not a string"),
        ({"errorLimit": {"record": -2}}, "job.setting.errorLimit.record: must be -1 or more"),
        ({"errorLimit": {"percentage": "few"}}, "job.setting.errorLimit.percentage: must be a number, not a string"),
        ({"errorLimit": []}, "job.setting.errorLimit: must be an object, not an array"),
        ({"dirty": {"path": "/x", "format": "xml"}}, "job.setting.dirty.format: must be one of 'json', 'flinkx'"),
        ([], "job.setting: must be an object, not an array"),
    ],
)
def test_wrong_setting(setting: Any, problem: str) -> None:
    assert problems(job(setting=setting)) == [problem]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, ["job: is missing"]),
        ({"job": []}, ["job: must be an object, not an array"]),
        ({"job": {}}, ["job.content: is missing"]),
        ({"job": {"content": []}}, ["job.content: must not be empty"]),
        ({"job": {"content": {}}}, ["job.content: must be an array, not an object"]),
        ({"job": {"content": ["x"]}}, ["job.content[0]: must be an object, not a string"]),
    ],
)
def test_wrong_envelope(document: dict[str, Any], expected: list[str]) -> None:
    assert problems(document) == expected


@pytest.mark.parametrize("empty", [{}, None, ...])
@pytest.mark.parametrize("side", ["reader", "writer"])
def test_half_job_is_told_in_one_line(side: str, empty: Any) -> None:
    document = job()
    if empty is ...:
        del document["job"]["content"][0][side]
    else:
        document["job"]["content"][0][side] = empty
    assert problems(document) == [
        f"job.content[0].{side}: is empty: this is half a job; add a {side} with name and parameter"
    ]


@pytest.mark.parametrize(
    ("reader", "problem"),
    [
        ({"parameter": {}}, "job.content[0].reader.name: is missing"),
        ({"name": 3, "parameter": {}}, "job.content[0].reader.name: must be a string, not a number"),
        ("mysqlreader", "job.content[0].reader: must be an object, not a string"),
        ({"name": "mysqlreader", "parameter": []}, "job.content[0].reader.parameter: must be an object, not an array"),
        ({"name": "mysqlwriter", "parameter": {}}, "job.content[0].reader.name: 'mysqlwriter' is a writer, this is"),
        ({"name": "mysql", "parameter": {}}, "job.content[0].reader.name: 'mysql' ends neither in reader nor in"),
        ({"name": "mysqIreader"}, "job.content[0].reader.name: unknown plugin 'mysqireader'; did you mean 'mysqlr"),
        ({"name": "mongodreader"}, "job.content[0].reader.name: unknown plugin 'mongodreader'; did you mean 'mongodb"),
        ({"name": "xyzzyreader"}, "job.content[0].reader.name: unknown plugin 'xyzzyreader'"),
        ({"name": "OdpsReader"}, "job.content[0].reader.name: plugin 'odps' is not installed"),
    ],
)
def test_wrong_reader(reader: Any, problem: str) -> None:
    assert [line[: len(problem)] for line in problems(job(reader))] == [problem]


def test_everything_is_told_at_once_with_the_warnings() -> None:
    reader = with_parameter(MYSQL_READER, username=..., usernme="me", column=["a", "b", "c"], fetchSize="x")
    document = job(reader, with_parameter(POSTGRESQL_WRITER, writeMode="upsert", preSql=3), {"speed": {"channel": 0}})
    assert problems(document) == [
        "job.setting.speed.channel: must be 1 or more",
        f"{READER}.fetchSize: must be an integer, not a string",
        f"{READER}.username: is missing",
        f"{WRITER}.writeMode: must be one of 'insert', 'replace', 'update'",
        f"{WRITER}.preSql: must be an array, not a number",
        f"{WRITER}.column: has 2 columns, the reader has 3: they are matched by their place",
        f"{READER}.usernme: unknown key, ignored; did you mean 'username'? (warning)",
    ]


def test_empty_parameter_tells_all_required_keys() -> None:
    assert problems(job({"name": "mysqlreader"}, {"name": "hdfswriter", "parameter": {}})) == [
        f"{READER}.connection: is missing",
        f"{READER}.column: is missing",
        f"{READER}.username: is missing",
        f"{WRITER}.path: is missing",
        f"{WRITER}.fileType: is missing",
        f"{WRITER}.column: is missing",
        f"{WRITER}.defaultFS: is missing",
    ]


@pytest.mark.parametrize(
    ("parameter", "problem"),
    [
        ({"connection": []}, f"{READER}.connection: must not be empty"),
        ({"connection": [{}]}, f"{READER}.connection[0].jdbcUrl: is missing"),
        ({"connection": [{"jdbcUrl": "jdbc:mysql://h/d"}]}, f"{READER}.connection[0].table: is missing"),
        ({"connection": [{"jdbcUrl": "jdbc:oracle:thin:@h", "table": ["t"]}]}, f"{READER}.connection[0].jdbcUrl: must"),
        ({"column": []}, f"{READER}.column: must not be empty"),
        ({"column": "*"}, f"{READER}.column: must be an array, not a string"),
        ({"column": [{"type": "int"}, {"name": "b"}]}, f"{READER}.column[0]: must have a `name` or a `value`"),
        ({"column": ["a", 3]}, f"{READER}.column[1]: must be a string or an object, not a number"),
        ({"password": 1234}, f"{READER}.password: must be a string, not a number"),
        ({"polling": True}, f"{READER}.polling: needs increColumn, by which new rows are known"),
        (
            {**POLLING, "incremental": {"column": "id", "state": "target"}},
            f"{READER}.polling: cannot go with incremental",
        ),
        ({**POLLING, "endLocation": 7}, f"{READER}.polling: cannot go with endLocation"),
        ({**POLLING, "consistent": True}, f"{READER}.polling: cannot go with consistent"),
        (
            {**POLLING, "connection": [{"jdbcUrl": ["jdbc:mysql://h/d"], "table": ["a", "b"]}]},
            f"{READER}.polling: is for one table",
        ),
        ({"column": [{"name": "id", "format": "yyyy-QQ"}, "b"]}, f"{READER}.column[0].format: letter 'Q' is not known"),
        ({"increColumn": "other"}, f"{READER}.increColumn: 'other' is not in column"),
        ({"increColumn": 2}, f"{READER}.increColumn: 2 is not in column"),
        ({"increColumn": "-1"}, f"{READER}.increColumn: '-1' is not in column"),
    ],
)
def test_wrong_database_reader(parameter: dict[str, Any], problem: str) -> None:
    assert problem in [line[: len(problem)] for line in problems(job(with_parameter(MYSQL_READER, **parameter)))]


@pytest.mark.parametrize("side", ["reader", "writer"])
def test_a_login_may_have_no_password(side: str) -> None:
    document = job()
    del document["job"]["content"][0][side]["parameter"]["password"]
    assert valid(document).warnings == ()


@pytest.mark.parametrize(
    ("parameter", "problem"),
    [
        ({"filterRegex": "part-(.*"}, f"{READER}.filterRegex: is no regular expression: missing )"),
        ({"encoding": "utf-9"}, f"{READER}.encoding: names no character set"),
        ({"column": ["a", "b"]}, f"{READER}.column[0]: must have an `index`: fields of text files have no name"),
        ({"column": [{"name": "a", "value": "b"}, {"index": 1}]}, f"{READER}.column[0]: must have an `index`"),
    ],
)
def test_wrong_file_reader(parameter: dict[str, Any], problem: str) -> None:
    lines = problems(job(with_parameter(HDFS_READER, **parameter)))
    assert problem in [line[: len(problem)] for line in lines]


@pytest.mark.parametrize(
    "parameter",
    [
        {"column": ["*"]},
        {"column": [{"value": "2020"}, {"name": "day", "isPart": True, "format": "yyyy 'Quarter' ''MM"}]},
        {"column": ["a", "b"], "fileType": "ORC"},
        {"encoding": "GBK", "filterRegex": r"part-\d+", "column": [{"index": 0}, {"index": 1, "name": "b"}]},
    ],
)
def test_right_file_reader(parameter: dict[str, Any]) -> None:
    assert valid(job(with_parameter(HDFS_READER, **parameter))).warnings == ()


@pytest.mark.parametrize("count", [0, -1, "0", [], [5, 0], ...])
def test_made_up_rows_must_end(count: Any) -> None:
    parameter = {"column": [{"name": "a"}]} | ({} if count is ... else {"sliceRecordCount": count})
    (problem,) = problems(job({"name": "streamreader", "parameter": parameter}, STREAM_WRITER))
    assert "sliceRecordCount" in problem


@pytest.mark.parametrize("increment", ["id", 1, "0"])
def test_increment_column_by_name_and_place(increment: Any) -> None:
    assert valid(job(with_parameter(MYSQL_READER, increColumn=increment, startLocation=20))).warnings == ()


def test_a_job_that_polls_says_what_ends_it() -> None:
    endless = valid(job(with_parameter(MYSQL_READER, **POLLING)))
    assert endless.warnings == (f"{READER}.polling: the job goes on until it is cancelled; {ENDING}",)
    assert valid(job(with_parameter(MYSQL_READER, **POLLING, pollingDuration=60_000))).warnings == ()


@pytest.mark.parametrize(
    ("writer", "setting", "problem"),
    [
        (HDFS_WRITER, {}, f"{READER}.polling: needs pollingDuration: hdfswriter publishes its files when the job ends"),
        (
            with_parameter(POSTGRESQL_WRITER, postSql=["select 1"]),
            {},
            f"{WRITER}.postSql: is never run: the job polls without pollingDuration",
        ),
        (
            POSTGRESQL_WRITER,
            {"verify": "count"},
            f"{READER}.polling: cannot go with job.setting.verify, which wants a source that does not grow",
        ),
    ],
)
def test_what_does_not_go_with_polling(writer: dict[str, Any], setting: dict[str, Any], problem: str) -> None:
    assert problem in problems(job(with_parameter(MYSQL_READER, **POLLING), writer, setting))


def test_all_columns_need_no_length_check() -> None:
    validation = valid(job(with_parameter(MYSQL_READER, column=["*"])))
    assert validation.job.content.reader.columns == ()


@pytest.mark.parametrize("writer", [POSTGRESQL_WRITER, HDFS_WRITER])
def test_writer_column_lists_must_be_as_long_as_the_readers(writer: dict[str, Any]) -> None:
    document = job(with_parameter(MYSQL_READER, column=["id"]), writer)
    assert problems(document) == [f"{WRITER}.column: has 2 columns, the reader has 1: they are matched by their place"]


def test_database_writer_takes_names_and_objects() -> None:
    writer = with_parameter(POSTGRESQL_WRITER, column=[{"name": "id", "type": "uuid"}, {"name": "name"}])
    validation = valid(job(MYSQL_READER, writer))
    assert validation.warnings == ()
    assert [column.name for column in validation.job.content.writer.columns] == ["id", "name"]


@pytest.mark.parametrize("side", ["reader", "writer"])
def test_connection_reference_stands_for_the_address(side: str) -> None:
    parameter = {"connectionId": "mine", "connection": [{"table": ["t"]}], "column": ["a"]}
    other = {"column": ["a"]}
    reader = {"name": "mysqlreader", "parameter": parameter}
    writer = {"name": "postgresqlwriter", "parameter": parameter}
    document = job(reader, with_parameter(POSTGRESQL_WRITER, **other))
    if side == "writer":
        document = job(with_parameter(MYSQL_READER, **other), writer)
    assert valid(document).warnings == ()
    del document["job"]["content"][0][side]["parameter"]["connection"][0]["table"]
    assert problems(document) == [f"job.content[0].{side}.parameter.connection[0].table: is missing"]


def test_hdfs_connection_reference_stands_for_the_file_system() -> None:
    reader = with_parameter(HDFS_READER, connectionId="mine", defaultFS=...)
    assert valid(job(reader, with_parameter(HDFS_WRITER, connectionId="mine", defaultFS=...))).warnings == ()


@pytest.mark.parametrize(
    ("parameter", "problem"),
    [
        ({"defaultFS": "s3://b"}, f"{WRITER}.defaultFS: must look like hdfs://host:port or hdfs://nameservice or file"),
        ({"fileType": "csv"}, f"{WRITER}.fileType: must be one of 'text', 'orc', 'parquet'"),
        ({"compress": "bzip2"}, f"{WRITER}.compress: must be one of 'none', 'snappy', 'gzip', 'zlib', 'lz4'"),
        ({"compress": "lzo"}, f"{WRITER}.compress: must be one of 'none', "),
        (
            {"column": [{"name": "a", "type": "intt"}, {"name": "b", "type": "int"}]},
            f"{WRITER}.column[0].type: unknown",
        ),
        ({"column": [{"name": "a"}, {"type": "int"}]}, f"{WRITER}.column[0].type: is missing"),
        ({"column": ["id", "name"]}, f"{WRITER}.column[0]: must be an object with `name` and `type`"),
    ],
)
def test_wrong_file_writer(parameter: dict[str, Any], problem: str) -> None:
    lines = problems(job(MYSQL_READER, with_parameter(HDFS_WRITER, **parameter)))
    assert problem in [line[: len(problem)] for line in lines]


@pytest.mark.parametrize(
    ("file_type", "compress"), [("ORC", "SNAPPY"), ("TEXT", "Gzip"), ("parquet", "NONE"), ("orc", "")]
)
def test_file_type_and_compression_in_any_case(file_type: str, compress: str) -> None:
    writer = with_parameter(HDFS_WRITER, fileType=file_type, compress=compress)
    parameter = valid(job(MYSQL_READER, writer)).job.content.writer.parameter
    assert (parameter["fileType"], parameter["compress"]) == (file_type.lower(), compress.lower() or None)


@pytest.mark.parametrize(
    ("document", "warning"),
    [
        (job(setting={"speed": {"channel": 2}}), f"{READER}.splitPk: not given with 2 channels: a primary or unique"),
        (
            job(with_parameter(MYSQL_READER, customSql="select 1, 2")),
            f"{READER}.connection[0].table: is not read, because customSql is given",
        ),
        (job(with_parameter(MYSQL_READER, startLocation="5")), f"{READER}.startLocation: has no effect without incr"),
        (job(with_parameter(MYSQL_READER, columnTypes=["x"])), f"{READER}.columnTypes: accepted, but has no effect"),
        (
            job(MYSQL_READER, with_parameter(POSTGRESQL_WRITER, updateKey={"key": ["id"]})),
            f"{WRITER}.updateKey: has no effect without writeMode 'replace' or 'update'",
        ),
        (
            job(MYSQL_READER, with_parameter(HDFS_WRITER, fieldDelimiter=",")),
            f"{WRITER}.fieldDelimiter: has no effect without fileType 'text'",
        ),
        (
            job(with_parameter(HDFS_READER, column=[{"index": 0, "type": "uuid"}, {"index": 1}])),
            f"{READER}.column[0].type: unknown type 'uuid', values are not converted",
        ),
        ({**job(), "version": 1}, "version: unknown key, ignored"),
        (job(setting={"speeed": {}}), "job.setting.speeed: unknown key, ignored; did you mean 'speed'?"),
        (job({**MYSQL_READER, "fetchSize": 1}), "job.content[0].reader.fetchSize: unknown key, ignored"),
        (
            job(setting={"restore": {"isStream": True}}),
            "job.setting.restore.isStream: accepted, but has no effect here",
        ),
        (job(setting={"dirty": {"format": "flinkx"}}), "job.setting.dirty.format: has no effect without path"),
        ({"job": {"content": job()["job"]["content"] * 2}}, "job.content: has 2 elements, only the first is used"),
    ],
)
def test_warnings_let_the_job_run_unless_strict(document: dict[str, Any], warning: str) -> None:
    assert [line[: len(warning)] for line in valid(document).warnings] == [warning]
    with pytest.raises(JobInvalidError) as caught:
        validate(document, schema_of=schema_of, strict=True)
    assert [line[: len(warning)] for line in caught.value.problems] == [warning]


def test_database_reader_takes_the_databases_own_type_names() -> None:
    columns = [{"name": "id", "type": "uuid"}, {"name": "doc", "type": "jsonb"}]
    assert valid(job(with_parameter(MYSQL_READER, column=columns))).warnings == ()


def test_stream_plugins() -> None:
    reader = {
        "name": "streamreader",
        "parameter": {"column": [{"name": "a", "type": "id"}, {"value": 1.0}], "sliceRecordCount": ["100", 5]},
    }
    validation = valid(job(reader, STREAM_WRITER))
    assert validation.warnings == ()
    assert validation.job.content.reader.parameter["sliceRecordCount"] == [100, 5]
    assert validation.job.content.reader.columns == (Column(name="a", type="id"), Column(value="1.0"))
    assert validation.job.content.writer.parameter["print"] is False


@pytest.mark.parametrize(
    ("setting", "exactly_once", "restore"),
    [
        ({}, None, False),
        ({"exactlyOnce": False}, False, False),
        ({"exactlyOnce": True}, True, False),
        ({"restore": {"isRestore": True, "restoreColumnName": "id"}}, None, True),
        ({"restore": {"isRestore": True}, "exactlyOnce": False}, False, True),
        ({"restore": {"isRestore": False}}, None, False),
    ],
)
def test_exactly_once_and_the_block_of_flinkx(
    setting: dict[str, Any], exactly_once: bool | None, restore: bool
) -> None:
    found = valid(job(setting=setting)).job.setting
    assert (found.exactly_once, found.restore) == (exactly_once, restore)


MANY = {"jdbcUrl": "jdbc:mysql://db/shop", "table": ["orders_*", "customers"]}
OWN_TARGETS = {"jdbcUrl": "jdbc:postgresql://dw/shop", "table": ["ods_{table}"]}


def test_many_tables_are_a_job_without_warnings() -> None:
    reader = with_parameter(MYSQL_READER, connection=[MANY], column=["*"])
    writer = with_parameter(POSTGRESQL_WRITER, connection=[OWN_TARGETS], column=["*"])
    content = valid(job(reader, writer, {"speed": {"channel": 4}})).job.content
    assert many_tables.reads_many(content)
    assert many_tables.has_own_targets(content)


@pytest.mark.parametrize(
    ("table", "quoted", "many"),
    [
        ("orders", False, False), ("or*", False, True), ("o?ders", False, True), ("order[s]", False, True),
        ('"or*"', False, False), ("`a[b]`.c", False, False), ("orders", True, True),
    ],
)  # fmt: skip
def test_what_names_many_tables(table: str, quoted: bool, many: bool) -> None:
    reader = with_parameter(MYSQL_READER, connection=[{**MANY, "table": [table]}])
    writer = with_parameter(POSTGRESQL_WRITER, connection=[OWN_TARGETS]) if quoted else POSTGRESQL_WRITER
    assert many_tables.reads_many(valid(job(reader, writer)).job.content) is many


@pytest.mark.parametrize(
    ("template", "name", "target"),
    [
        ("ods_{table}", "orders", "ods_orders"),
        ("dw.{table}_copy", "orders", "dw.orders_copy"),
        ("ods_{table}", "or.ders", '"ods_or.ders"'),
        ('dw."ods {table}"', 'a"b', 'dw."ods a""b"'),
        ("`d.w`.`o``s {table}`", "a.b", '`d.w`."o`s a.b"'),
    ],
)
def test_the_target_of_a_table(template: str, name: str, target: str) -> None:
    assert many_tables.target_name(template, name) == target


@pytest.mark.parametrize(
    ("reader", "writer", "problem"),
    [
        (
            {"incremental": {"column": "id", "state": "target"}}, POSTGRESQL_WRITER,
            "reader.parameter.incremental: is for one table",
        ),
        (
            {"customSql": "select 1"}, with_parameter(HDFS_WRITER, path="/out/{table}"),
            "writer.parameter.path: {table} stands for the table that is read",
        ),
        (
            {"customSql": "select 1"}, with_parameter(HDFS_WRITER, fileName="pt={table}"),
            "writer.parameter.fileName: {table} stands for the table that is read",
        ),
        (
            {}, with_parameter(POSTGRESQL_WRITER, connection=[{**OWN_TARGETS, "table": ["{table}.data"]}]),
            "writer.parameter.connection[0].table: {table} may stand in the name of the table",
        ),
        (
            {"customSql": "select 1"}, with_parameter(POSTGRESQL_WRITER, connection=[OWN_TARGETS]),
            "writer.parameter.connection[0].table: {table} stands for the table that is read",
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_with_many_tables(reader: dict[str, Any], writer: dict[str, Any], problem: str) -> None:
    found = problems(job(with_parameter(MYSQL_READER, connection=[MANY], **reader), writer))
    assert any(line.startswith(f"job.content[0].{problem}") for line in found), found


def test_a_reader_of_many_servers_takes_a_login_for_each_or_one_for_all() -> None:
    parameter = {"connection": [MANY, {**MANY, "username": "own"}], "column": ["*"]}
    for_all = {"name": "mysqldreader", "parameter": {"username": "me", **parameter}}
    assert len(valid(job(for_all, STREAM_WRITER)).job.content.reader.parameter["connection"]) == 2
    found = problems(job({"name": "mysqldreader", "parameter": parameter}, STREAM_WRITER))
    path = "job.content[0].reader.parameter.connection[0]"
    assert found == [f"{path}: must have a `username`, or the reader one for all connections"]
