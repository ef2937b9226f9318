"""A million rows from MariaDB to PostgreSQL with three channels; 137 of them do not fit the target."""

from __future__ import annotations

import pytest

from tests.airflow.scheduler.services import AirflowServices
from tests.servers import MariadbDatabase, PostgresDatabase

ROWS = 1_000_000
NULLS, DUPLICATES, TOO_LONG = 46, 45, 46
BAD_ROWS = NULLS + DUPLICATES + TOO_LONG
STEP = 20_000  # the bad rows lie that far apart, all over the table
RUN_SECONDS = 300

DIGITS = "(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6"
DIGITS += " UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"
NUMBERS = "SELECT 1 + a.d + 10*b.d + 100*c.d + 1000*e.d + 10000*f.d + 100000*g.d AS id FROM "
NUMBERS += ", ".join(f"{DIGITS} {name}" for name in "abcefg")


@pytest.fixture(scope="module")
def orders(source: MariadbDatabase) -> None:
    """The source table: only the bad rows have a null, a long name, or their neighbour's reference."""
    source.execute(
        "CREATE TABLE orders (id bigint PRIMARY KEY, customer varchar(60), reference varchar(20), "
        "amount decimal(12, 2), created datetime(6))",
        "INSERT INTO orders SELECT id, concat('customer ', id % 5000), concat('R', id), id * 1.25, "
        f"timestampadd(microsecond, id * 1000003, '2026-01-01') FROM ({NUMBERS}) numbers",
        f"UPDATE orders SET customer = NULL WHERE id % {STEP} = 11 AND id < {STEP * NULLS}",
        f"UPDATE orders SET customer = repeat('x', 60) WHERE id % {STEP} = 21 AND id < {STEP * TOO_LONG}",
        f"UPDATE orders SET reference = concat('R', id + 1) WHERE id % {STEP} = 31 AND id < {STEP * DUPLICATES}",
    )


@pytest.fixture
def run(airflow: AirflowServices, orders: None, target: PostgresDatabase, request: pytest.FixtureRequest) -> str:
    """Run the DAG that the test names, on an empty target table of the same name; return the run's state."""
    dag_id = request.param
    target.execute(
        f"CREATE TABLE {dag_id} (id bigint PRIMARY KEY, customer varchar(20) NOT NULL, reference varchar(20) UNIQUE, "
        "amount numeric(12, 2), created timestamp)"
    )
    airflow.await_dag(dag_id)
    airflow.command("dags", "trigger", dag_id)
    ((state, _),) = airflow.await_runs(dag_id, 1, RUN_SECONDS).items()
    return state


@pytest.mark.parametrize("run", ["bad_rows_by_ratio"], indirect=True)
def test_the_rows_that_fit_are_written_and_the_others_counted(
    run: str, airflow: AirflowServices, target: PostgresDatabase
) -> None:
    assert run == "success", airflow.task_log("bad_rows_by_ratio")
    report = airflow.xcom("bad_rows_by_ratio", "sync")
    dirty = airflow.xcom("bad_rows_by_ratio", "sync", "dirty_data")
    counters = {name: report[name] for name in ("numRead", "numWrite", "nErrors", "nullErrors", "duplicateErrors")}
    assert counters == {
        "numRead": ROWS,
        "numWrite": ROWS - BAD_ROWS,
        "nErrors": BAD_ROWS,
        "nullErrors": NULLS,
        "duplicateErrors": DUPLICATES,
    }
    assert report["conversionErrors"] + report["otherErrors"] == TOO_LONG
    assert dirty["count"] == BAD_ROWS
    good_rows = "FROM bad_rows_by_ratio"
    assert target.query(f"SELECT count(*) {good_rows}") == [(ROWS - BAD_ROWS,)]
    assert target.query(f"SELECT count(*) {good_rows} WHERE amount <> id * 1.25") == [(0,)]


@pytest.mark.parametrize("run", ["bad_rows_limit_137"], indirect=True)
def test_as_many_bad_rows_as_allowed_pass(run: str, airflow: AirflowServices, target: PostgresDatabase) -> None:
    assert run == "success", airflow.task_log("bad_rows_limit_137")
    assert airflow.xcom("bad_rows_limit_137", "sync")["nErrors"] == BAD_ROWS
    assert airflow.xcom("bad_rows_limit_137", "sync", "error_limit")["exceeded"] is False
    assert target.query("SELECT count(*) FROM bad_rows_limit_137") == [(ROWS - BAD_ROWS,)]


@pytest.mark.parametrize("run", ["bad_rows_limit_136"], indirect=True)
def test_one_bad_row_more_fails_without_a_retry_and_with_the_report(
    run: str, airflow: AirflowServices, target: PostgresDatabase
) -> None:
    assert run == "failed", airflow.task_log("bad_rows_limit_136")
    assert airflow.query("SELECT try_number FROM task_instance WHERE dag_id = 'bad_rows_limit_136'") == [(1,)]
    report = airflow.xcom("bad_rows_limit_136", "sync")
    limit = airflow.xcom("bad_rows_limit_136", "sync", "error_limit")
    assert (limit["record"], limit["exceeded"]) == (136, True)
    assert report["nErrors"] == BAD_ROWS
    assert target.query("SELECT count(*) FROM bad_rows_limit_136") == [(report["numWrite"],)]
