"""`setting.verify: "checksum"`: every type there and back, altered values, several tries, many tables.

SQL Server is the stand-in, unless FLINKX_TEST_SQLSERVER_URL names a real one; so is DB2.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_flinkx.exceptions import ConnectionFailedError, DataError, JobInvalidError
from airflow_provider_flinkx.jobs.model import ErrorLimit
from airflow_provider_flinkx.jobs.validation import validate
from airflow_provider_flinkx.pipeline.steps import Run
from airflow_provider_flinkx.plugins.base import RunContext
from airflow_provider_flinkx.plugins.registry import schema_of
from tests.integration.relational import test_ledger as tries
from tests.integration.relational.test_tables import (
    BEYOND,
    NOT_COMPARED,
    create,
    fill,
    kinds_of,
    left,
    literals,
    right,
    third,
)
from tests.running import run_job
from tests.servers import Database, PostgresDatabase

#: PostgreSQL, MariaDB, the stand-in of SQL Server.
__all__ = ["left", "right", "third"]


def verified(source: Database, table: str, target: Database, into: str, kinds: list[str], **writer: Any) -> Run:
    """A job of the columns that `fill` has made for these types, of a table into another one."""
    columns = ["id", *(f"v{place}" for place in range(len(kinds)))]

    def side(database: Database, name: str, kind: str, **others: Any) -> dict[str, Any]:
        url: Any = [database.jdbc_url] if kind == "reader" else database.jdbc_url
        login = {"username": database.user, "password": database.password, "column": columns}
        parameter = {**login, "connection": [{"jdbcUrl": url, "table": [name]}], **others}
        return {"name": f"{database.jdbc_scheme}{kind}", "parameter": parameter}

    content = {"reader": side(source, table, "reader"), "writer": side(target, into, "writer", **writer)}
    document = {"job": {"setting": {"verify": "checksum"}, "content": [content]}}
    return Run(validate(document, schema_of=schema_of).job, RunContext(uuid.uuid4().hex, uuid.uuid4().hex[:12]))


#: Types whose values nobody can compare with those of another product, or with a text of it.
ONLY_POSTGRES = {
    "money", "timetz", "interval", "xml", "inet", "cidr", "macaddr", "bit(9)", "varbit", "integer[]", "text[]", "point",
    "tsvector", "int4range", "mood",
}  # fmt: skip
REFUSED: Mapping[tuple[str, str], Collection[str]] = {
    ("left", "left"): {"mood"},  # becomes a text in the table that is made
    ("right", "right"): (),
    ("third", "third"): (),
    ("left", "right"): ONLY_POSTGRES,
    ("left", "third"): ONLY_POSTGRES,
    ("right", "left"): {"time", "time(6)", "set('x','y')"},
    ("right", "third"): {"set('x','y')"},
    ("third", "left"): {"xml"},
    ("third", "right"): {"xml"},
}


@pytest.mark.parametrize(("source", "target"), REFUSED)
def test_every_type_there_and_back(source: str, target: str, request: pytest.FixtureRequest) -> None:
    """Into a table that is made for it, and back into one of the original types."""
    given, made = request.getfixturevalue(source), request.getfixturevalue(target)
    kinds = [kind for kind in kinds_of(given) if kind not in REFUSED[source, target]]
    # The PostgreSQL behind the stand-in has no U+0000.
    lost = [BEYOND.get((source, target), {}), NOT_COMPARED.get((source, target), {}) if target == "third" else {}]
    fill(given, {kind: literals(given, kind, set().union(*(each.get(kind, ()) for each in lost))) for kind in kinds})
    create(given, "back", kinds)
    made.execute("DROP TABLE IF EXISTS made")

    there, _ = run_job(verified(given, "source", made, "made", kinds, createTable=True))
    back, _ = run_job(verified(made, "made", given, "back", kinds))

    for report in (there, back):
        assert report["verify"]["equal"]
        assert report["verify"]["source"] == report["verify"]["target"]
        assert report["verify"]["source"]["rows"] == report["numRead"] == report["numWrite"] > 4


def test_types_that_cannot_be_compared_are_named_before_the_first_row(left: Database, right: Database) -> None:
    kinds = ["inet", "interval", "text"]
    fill(left, {kind: literals(left, kind) for kind in kinds})
    create(left, "back", kinds)
    right.execute("DROP TABLE IF EXISTS made")
    run_job(verified(left, "source", right, "made", kinds, createTable=True))
    with pytest.raises(JobInvalidError) as caught:
        run_job(verified(right, "made", left, "back", kinds))
    assert [problem.split(":")[1].strip() for problem in caught.value.problems] == [
        "checksum cannot compare column v0", "checksum cannot compare column v1",
    ]  # fmt: skip
    assert left.query("SELECT count(*) FROM back") == [(0,)]


ALTERING = {
    "left": (
        "CREATE OR REPLACE FUNCTION alter_one() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.id = 70 THEN NEW.v1 = upper(NEW.v1); END IF; RETURN NEW; END $$",
        "CREATE TRIGGER alter_one BEFORE INSERT ON altered FOR EACH ROW EXECUTE FUNCTION alter_one()",
    ),
    "right": (
        "CREATE TRIGGER alter_one BEFORE INSERT ON altered FOR EACH ROW "
        "SET NEW.v1 = IF(NEW.id = 70, upper(NEW.v1), NEW.v1)",
    ),
}


@pytest.mark.parametrize(("source", "target"), [("right", "left"), ("left", "right")])
def test_a_value_that_a_trigger_alters_fails_the_job(source: str, target: str, request: pytest.FixtureRequest) -> None:
    origin, altered = request.getfixturevalue(source), request.getfixturevalue(target)
    fill(origin, {"integer": [str(number) for number in range(100)], "varchar(9)": ["'text'"] * 100})
    columns = "(id integer CHECK (id <> 50), v0 integer, v1 varchar(9), other integer)"
    altered.execute("DROP TABLE IF EXISTS altered", f"CREATE TABLE altered {columns}", *ALTERING[target])
    altered.execute("INSERT INTO altered VALUES (1, 2, 'old', 3)")
    run = verified(origin, "source", altered, "altered", ["integer", "varchar(9)"])
    job = replace(run.job, setting=replace(run.job.setting, error_limit=ErrorLimit(None, None)))
    with pytest.raises(DataError, match=r"columns that differ: v1\): rows were lost, doubled or altered") as caught:
        run_job(replace(run, job=job))
    assert caught.value.report is not None
    told = caught.value.report["verify"]
    assert (told["method"], told["equal"], told["columns"]) == ("checksum", False, ["v1"])
    assert told["source"]["rows"] == told["target"]["rows"] == 100
    assert told["source"]["checksum"] != told["target"]["checksum"]
    altered.execute("DROP TRIGGER alter_one" + (" ON altered" if target == "left" else ""))
    altered.execute("DELETE FROM altered WHERE v0 > 3")
    report, _ = run_job(replace(run, job=job, context=replace(run.context, job_key=uuid.uuid4().hex)))
    assert (report["verify"]["equal"], report["verify"]["source"]["rows"], report["nErrors"]) == (True, 100, 1)


@pytest.mark.parametrize("server", ["postgres", "mariadb", "sqlserver", "db2"])
def test_the_checksum_is_that_of_all_tries(
    server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tries.filled(request.getfixturevalue(server), monkeypatch)
    database.execute("INSERT INTO target VALUES (1, 'old')", "INSERT INTO target VALUES (NULL, NULL)")

    def break_down(_commit: Any) -> None:
        raise ConnectionFailedError("cut before the commit")

    with monkeypatch.context() as patched:
        tries.failing_commit(patched, database, 3, break_down)
        with pytest.raises(ConnectionFailedError):
            run_job(tries.new_try(database, setting={"verify": "checksum"}))
    assert 2 < tries.target(database)[0] < tries.ROWS
    report, _ = run_job(tries.new_try(database, setting={"verify": "checksum"}))
    assert report["verify"]["equal"]
    assert report["verify"]["source"] == report["verify"]["target"]
    assert report["verify"]["source"]["rows"] == tries.ROWS
    assert any("earlier try" in line for line in report["warnings"])


def test_a_run_that_has_begun_without_is_refused(postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    database = postgres.fresh_database()
    database.execute(
        "CREATE TABLE source AS SELECT id, 'x' AS text FROM generate_series(1, 100) AS id",
        "CREATE TABLE target (id bigint, text text)",
    )

    def break_down(_commit: Any) -> None:
        raise ConnectionFailedError("cut before the commit")

    with monkeypatch.context() as patched:
        tries.failing_commit(patched, database, 1, break_down)
        with pytest.raises(ConnectionFailedError):
            run_job(tries.new_try(database, setting={"verify": "count"}))
    with pytest.raises(JobInvalidError, match="take verify out for this run"):
        run_job(tries.new_try(database, setting={"verify": "checksum"}))


@pytest.mark.parametrize("target", ["{table}_made", "made"])
def test_many_tables(postgres: PostgresDatabase, target: str) -> None:
    """Into a target each, or into one; a trigger alters a row of the second."""
    database = postgres.fresh_database()
    for name, first in (("one", 1), ("two", 1001)):
        rows = f"SELECT id::bigint, 'a text'::text AS text FROM generate_series({first}, {first + 99}) AS id"
        database.execute(f"CREATE TABLE {name} AS {rows}")
    targets = [target.replace("{table}", name) for name in ("one", "two")]
    for name in dict.fromkeys(targets):
        database.execute(f"CREATE TABLE {name} (id bigint, text text)", f"INSERT INTO {name} VALUES (0, 'old')")

    def run() -> Run:
        job = tries.new_try(database, setting={"verify": "checksum"}).job
        reader, writer = (
            {**each.parameter, "connection": [{**each.parameter["connection"][0], "table": names}]}
            for each, names in ((job.content.reader, ["one", "two"]), (job.content.writer, [target]))
        )
        content = replace(
            job.content,
            reader=replace(job.content.reader, parameter=reader),
            writer=replace(job.content.writer, parameter=writer),
        )
        return Run(replace(job, content=content), RunContext(uuid.uuid4().hex, uuid.uuid4().hex[:12]))

    report, _ = run_job(run())
    told = report["verify"]
    assert (told["method"], told["equal"]) == ("checksum", True)
    assert told["source"]["rows"] == told["target"]["rows"] == 200
    database.execute(
        "CREATE FUNCTION empty_text() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.id = 1050 THEN NEW.text = ''; END IF; RETURN NEW; END $$",
        f"CREATE TRIGGER alter_one BEFORE INSERT ON {targets[1]} FOR EACH ROW EXECUTE FUNCTION empty_text()",
    )
    with pytest.raises(DataError, match="columns that differ: text") as caught:
        run_job(run())
    assert caught.value.report is not None
    assert caught.value.report["verify"]["equal"] is False
    if len(set(targets)) == 2:
        assert [table["verify"]["equal"] for table in caught.value.report["tables"]] == [True, False]
        assert "table two_made: " in str(caught.value)


def test_what_the_target_spells_anew_is_alike_and_columns_that_it_lacks_are_left_out(
    postgres: PostgresDatabase,
) -> None:
    database = postgres.fresh_database()
    database.execute(
        "CREATE TABLE source (id text, more text, document text, amount text, short text)",
        "INSERT INTO source VALUES ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'x', "
        """'{"b": 1.50, "a":[]}', '01.50', 'ab')""",
        "CREATE TABLE target (short char(5), amount numeric, document jsonb, id uuid)",
        "INSERT INTO target VALUES ('old', 7, '{}', gen_random_uuid())",
    )
    job = tries.new_try(database, setting={"verify": "checksum"}, schemaChange="ignore").job
    content = replace(
        job.content,
        reader=replace(job.content.reader, columns=()),
        writer=replace(job.content.writer, columns=()),
    )
    report, _ = run_job(Run(replace(job, content=content), RunContext("key", "attempt")))
    assert (report["verify"]["equal"], report["verify"]["source"]["rows"]) == (True, 1)
