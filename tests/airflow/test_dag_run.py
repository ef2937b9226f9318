"""A run of a DAG in the installed Airflow: jobs on a real PostgreSQL, then XComs, rendered fields, states and log."""

from __future__ import annotations

import json
import re
import string

import psutil
import pytest

DAY = "2026-01-02"
SUCCEEDED = {"from_dict", "from_text", "from_long_text", "from_file", "mapped", "as_many_as_allowed"}
FAILED = {"too_many_rejects", "broken_text", "wrong_job", "no_such_table"}
TARGETS = [*sorted(SUCCEEDED - {"mapped", "as_many_as_allowed"}), "mapped_0", "mapped_1", "timed_out"]
ROWS = 1000


@pytest.fixture(scope="module")
def database(postgres):
    """The table `source` with a thousand rows of each of two days, and targets, two of which refuse two rows."""
    database = postgres.fresh_database()
    columns = "(id bigint, day date, name text)"
    database.execute(
        f"CREATE TABLE source {columns}",
        f"INSERT INTO source SELECT n, date '{DAY}' - (n % 2)::int, 'name ' || n FROM generate_series(1, {2 * ROWS}) n",
        *(f"CREATE TABLE {name} {columns}" for name in TARGETS),
        *(
            f"CREATE TABLE {name} (id bigint CHECK (id NOT IN (10, 20)), day date, name text)"
            for name in ("too_many_rejects", "as_many_as_allowed")
        ),
    )
    return database


@pytest.fixture(scope="module")
def dag_test(airflow_home, database, tmp_path_factory):
    """Runs `airflow dags test` and gives its output."""
    folder = tmp_path_factory.mktemp("jobs")
    login = {"jdbcUrl": database.jdbc_url, "user": database.user, "password": database.password}
    (folder / "from_file.json").write_text(job_file(login))
    variables = {
        "AIRFLOW_CONN_SOURCE": connection("flinkx_postgresql", database),
        "AIRFLOW_CONN_TARGET": connection("postgres", database),
        "FLINKX_TEST_LOGIN": json.dumps(login),
        "FLINKX_TEST_JOB_FOLDER": str(folder),
    }
    return lambda dag_id: airflow_home.command("dags", "test", dag_id, DAY, **variables).stdout


@pytest.fixture(scope="module")
def run(dag_test):
    """The output of the run of all jobs but the one that times out."""
    return dag_test("sync_jobs")


@pytest.fixture(scope="module")
def timed_out_run(dag_test):
    """The output of the run whose task times out."""
    return dag_test("timed_out")


def connection(conn_type, database):
    values = {"host": database.host, "port": database.port, "login": database.user, "password": database.password}
    return json.dumps({"conn_type": conn_type, "schema": database.database, **values})


def job_file(login):
    """A job as people write them for FlinkX: comments, a template in a text, the password in clear."""
    text = """
    { // orders of one day
      "job": {
        "content": [{
          "reader": {"name": "postgresqlreader", "parameter": {
            "username": "$user", "password": "$password", "column": ["id", "day", "name"],
            "connection": [{"jdbcUrl": ["$jdbcUrl"], "table": ["source"]}],
            "where": "day = '{{ ds }}'",
          }},
          "writer": {"name": "postgresqlwriter", "parameter": {
            "connectionId": "target", "connection": [{"table": ["from_file"]}],
            "column": ["id", "day", "name"], "writeMode": "insert",
          }},
        }],
        "setting": {"errorLimit": {"record": 0}},
      }
    }
    """
    return string.Template(text).substitute(login)


def states(home, task_id):
    return home.query("SELECT state, try_number FROM task_instance WHERE task_id = ?", task_id)


def xcom(home, task_id, key="return_value", map_index=-1):
    rows = home.query("SELECT value FROM xcom WHERE task_id = ? AND key = ? AND map_index = ?", task_id, key, map_index)
    value = json.loads(rows[0][0]) if rows else None
    return json.loads(value) if isinstance(value, str) else value


@pytest.mark.parametrize("task_id", sorted(SUCCEEDED))
def test_jobs_that_go_well(run, airflow_home, task_id):
    assert {state for state, _ in states(airflow_home, task_id)} == {"success"}, run[-6000:]


@pytest.mark.parametrize("task_id", sorted(FAILED))
def test_jobs_that_do_not(run, airflow_home, task_id):
    assert {state for state, _ in states(airflow_home, task_id)} == {"failed"}, run[-6000:]


@pytest.mark.parametrize("target", sorted(set(TARGETS) - {"timed_out"}))
def test_only_the_rows_of_the_day_are_in_the_target(run, database, target):
    assert database.query(f"SELECT count(*), count(DISTINCT id), min(day::text), max(day::text) FROM {target}") == [
        (ROWS, ROWS, DAY, DAY)
    ]


@pytest.mark.parametrize(("task_id", "map_index"), [("from_dict", -1), ("mapped", 0), ("mapped", 1)])
def test_the_report_in_xcom_counts_what_is_in_the_target(run, airflow_home, task_id, map_index):
    report = xcom(airflow_home, task_id, map_index=map_index)
    assert (report["state"], report["numRead"], report["numWrite"], report["nErrors"]) == ("FINISHED", ROWS, ROWS, 0)
    assert "dirty_data" not in report
    error_limit = xcom(airflow_home, task_id, "error_limit", map_index)
    assert (error_limit["record"], error_limit["exceeded"]) == (0, False)
    assert xcom(airflow_home, task_id, "dirty_data", map_index)["count"] == 0


def test_an_exceeded_limit_fails_without_a_retry_and_leaves_the_report(run, airflow_home):
    assert states(airflow_home, "too_many_rejects") == [("failed", 1)]
    assert xcom(airflow_home, "too_many_rejects")["nErrors"] == 2
    error_limit = xcom(airflow_home, "too_many_rejects", "error_limit")
    assert (error_limit["exceeded"], error_limit["record"], error_limit["nErrors"]) == (True, 1, 2)
    assert len(xcom(airflow_home, "too_many_rejects", "dirty_data")["samples"]) == 2


def test_as_many_rejects_as_allowed_pass(run, airflow_home, database):
    report = xcom(airflow_home, "as_many_as_allowed")
    assert (report["numWrite"], report["nErrors"]) == (ROWS - 2, 2)
    assert database.query("SELECT count(*) FROM as_many_as_allowed") == [(ROWS - 2,)]


@pytest.mark.parametrize("task_id", ["broken_text", "wrong_job"])
def test_a_wrong_job_is_not_tried_again(run, airflow_home, task_id):
    assert states(airflow_home, task_id) == [("failed", 1)]


def test_everything_that_is_wrong_with_a_job_is_in_the_log(run):
    assert "job.content" in run
    assert "setings" in run


def test_another_failure_is_tried_again(run, airflow_home):
    assert states(airflow_home, "no_such_table") == [("failed", 2)]
    assert "no_such_table" in run


def test_a_timed_out_job_leaves_no_row_and_no_process(timed_out_run, database):
    assert "AirflowTaskTimeout" in timed_out_run
    assert database.query("SELECT count(*) FROM timed_out") == [(0,)]
    drivers = [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if "airflow_provider_flinkx.pipeline.driver" in " ".join(process.info["cmdline"] or [])
        and process.environ().get("FLINKX_TEST_JOB_FOLDER")
    ]
    assert drivers == []


def test_rendered_fields_hold_the_job_and_no_password(run, airflow_home, database):
    rendered = dict(
        airflow_home.query(
            "SELECT task_id || map_index, rendered_fields FROM rendered_task_instance_fields WHERE dag_id = 'sync_jobs'"
        )
    )
    assert {"from_dict-1", "from_text-1", "from_long_text-1", "from_file-1", "mapped0", "mapped1"} <= set(rendered)
    for task, stored in rendered.items():
        assert_hidden(database.password, stored)
        if "long" not in task and task != "wrong_job-1":
            job = json.loads(stored)["job"]
            job = json.loads(job) if isinstance(job, str) else job
            reader = job["job"]["content"][0]["reader"]["parameter"]
            assert DAY in reader["where"]
            assert reader.get("password", "***") == "***"


def test_no_password_is_in_log_or_xcom(run, airflow_home, database):
    assert_hidden(database.password, run)
    for (value,) in airflow_home.query("SELECT value FROM xcom"):
        assert_hidden(database.password, value if isinstance(value, str) else value.decode())


def test_progress_and_end_are_in_the_log(run):
    assert re.search(r"1,000 rows read, 1,000 written, 0 rejected, [\d,]+ rows/s, \d+ of \d+ splits done", run)


def assert_hidden(password, text):
    assert password not in text
    assert json.dumps(password)[1:-1] not in text
    assert password.partition(":")[2] not in text
