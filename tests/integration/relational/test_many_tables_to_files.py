"""Jobs of many tables whose targets are directories of files: real databases, local files."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flinkx.exceptions import JobFailedError, JobInvalidError
from airflow_provider_flinkx.jobs.model import Column
from airflow_provider_flinkx.jobs.validation import validate
from airflow_provider_flinkx.pipeline.steps import Run
from airflow_provider_flinkx.plugins.base import RunContext
from airflow_provider_flinkx.plugins.files.writer import FileSplitWriter
from airflow_provider_flinkx.plugins.hdfs.reader import HDFSReader
from airflow_provider_flinkx.plugins.registry import schema_of
from tests.running import run_job
from tests.servers import Database

TABLES = {
    "orders": [(number, f"text {number}", "2024-02-29") for number in range(1, 6001)],
    "customers": [(7, "Zoë", None), (8, None, "1815-12-10")],
    "nothing": [],
}


@pytest.fixture(params=["postgres", "mariadb"])
def source(request: pytest.FixtureRequest) -> Database:
    """Tables of different columns."""
    database: Database = request.getfixturevalue(request.param).fresh_database()
    for name, rows in TABLES.items():
        database.execute(f"create table {name} ({name}_id bigint primary key, note varchar(20), day date)")
        texts = [", ".join("null" if value is None else f"'{value}'" for value in row) for row in rows]
        if texts:
            database.execute(f"insert into {name} values {','.join(f'({text})' for text in texts)}")
    return database


def new_try(source: Database, path: str, **writer: Any) -> Run:
    parameter = {
        "username": source.user, "password": source.password, "column": ["*"],
        "connection": [{"jdbcUrl": [source.jdbc_url], "table": ["o*", "customers", "nothing"]}],
    }  # fmt: skip
    written = {"defaultFS": "file:///", "path": path, "fileType": "parquet", "column": ["*"], **writer}
    content = {
        "reader": {"name": f"{source.jdbc_scheme}reader", "parameter": parameter},
        "writer": {"name": "hdfswriter", "parameter": written},
    }
    job = validate({"job": {"content": [content], "setting": {}}}, schema_of=schema_of, strict=True).job
    return Run(job, RunContext("a-run", uuid.uuid4().hex[:12], channels=2))


def rows_of(directory: Path, file_type: str) -> list[tuple[Any, ...]]:
    """What hdfsreader finds there; text by place, and a date as its text."""
    columns = () if file_type == "parquet" else tuple(Column(index=place) for place in range(3))
    given = {"defaultFS": "file:///", "path": str(directory), "fileType": file_type}
    reader = HDFSReader(given, columns, RunContext("job", "r"))
    rows = [tuple(row.values()) for split in reader.splits() for batch in reader.read(split)
            for row in batch.rows.to_pylist()]  # fmt: skip
    return sorted((int(number), note, day and str(day)) for number, note, day in rows)


@pytest.mark.parametrize("file_type", ["parquet", "text"])
def test_each_table_becomes_a_directory(source: Database, tmp_path: Path, file_type: str) -> None:
    run = new_try(source, f"{tmp_path}/shop_{{table}}", fileName="day=1", fileType=file_type)
    report, _ = run_job(run)
    for name, rows in TABLES.items():
        directory = tmp_path / f"shop_{name}" / "day=1"
        assert (rows_of(directory, file_type) if rows else list(directory.iterdir())) == rows
    assert [
        (each["source"], each["target"], each["state"], each["numRead"], each["numWrite"]) for each in report["tables"]
    ] == [(name, f"{tmp_path}/shop_{name}/day=1", "FINISHED", len(rows), len(rows)) for name, rows in TABLES.items()]
    assert report["numWrite"] == sum(map(len, TABLES.values()))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(("mode", "times"), [("append", 2), ("overwrite", 1)])
def test_the_mode_holds_for_each_table(source: Database, tmp_path: Path, mode: str, times: int) -> None:
    for _ in range(2):
        run_job(new_try(source, f"{tmp_path}/{{table}}", writeMode=mode))
    for name in ("orders", "customers"):
        assert rows_of(tmp_path / name, "parquet") == sorted(TABLES[name] * times, key=lambda row: row[0])


def test_a_job_that_fails_publishes_no_table(source: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_job(new_try(source, f"{tmp_path}/{{table}}"))
    source.execute("delete from orders")
    before = sorted(tmp_path.rglob("*"))
    commit = FileSplitWriter.commit

    def fail_in_customers(self: FileSplitWriter) -> None:
        if self._writer.context.tables == ("customers",):
            raise OSError("broken on purpose")
        commit(self)

    with monkeypatch.context() as patch:
        patch.setattr(FileSplitWriter, "commit", fail_in_customers)
        with pytest.raises(JobFailedError, match="broken on purpose") as caught:
            run_job(new_try(source, f"{tmp_path}/{{table}}", writeMode="overwrite"))
    assert sorted(tmp_path.rglob("*")) == before
    assert caught.value.report is not None
    assert [(each["state"], each["numWrite"]) for each in caught.value.report["tables"]] == [
        ("UNFINISHED", 0), ("FAILED", 0), ("UNFINISHED", 0),
    ]  # fmt: skip
    run_job(new_try(source, f"{tmp_path}/{{table}}", writeMode="overwrite"))
    assert list((tmp_path / "orders").iterdir()) == []
    assert rows_of(tmp_path / "customers", "parquet") == TABLES["customers"]


def test_two_tables_that_would_meet_in_one_directory_are_refused(postgres: Database, tmp_path: Path) -> None:
    source = postgres.fresh_database()
    source.execute(
        "create schema other", "create table other.orders (id bigint)",
        "create table orders (id bigint)", "create table customers (id bigint)", "create table nothing (id bigint)",
    )  # fmt: skip
    run = new_try(source, f"{tmp_path}/{{table}}")
    run.job.content.reader.parameter["connection"][0]["table"].append("other.orders")
    with pytest.raises(JobInvalidError, match=r"writer.parameter.path: two tables .* from orders and other.orders"):
        run_job(run)
    assert list(tmp_path.iterdir()) == []
