"""Ten days side by side, some failing once, then all of them again: each day's rows are there exactly once."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest

from tests.airflow.scheduler.services import AIRFLOW_3, AirflowServices
from tests.servers import MariadbDatabase, PostgresDatabase

DAYS = 10
FIRST, LAST = "2026-01-01", "2026-01-10"
FAILING_DAYS = 3
ROWS_PER_DAY = 2_000
BACKFILL_SECONDS = 900
EACH_ROW = "SELECT id, day, customer FROM daily ORDER BY id"


@pytest.fixture(scope="module")
def daily(source: MariadbDatabase, target: PostgresDatabase) -> None:
    """The source with rows before and after the ten days too; the target without a key that could hide doubles."""
    columns = "id bigint, day date, customer varchar(40)"
    source.execute(f"CREATE TABLE daily ({columns}, PRIMARY KEY (id), KEY (day))")
    for number in range(DAYS + 2):
        day = date.fromisoformat(FIRST) + timedelta(days=number - 1)
        ids = range(number * ROWS_PER_DAY, (number + 1) * ROWS_PER_DAY)
        source.execute("INSERT INTO daily VALUES " + ", ".join(f"({id}, '{day}', 'customer {id}')" for id in ids))
    target.execute(f"CREATE TABLE daily ({columns})")


def test_each_days_rows_are_there_once_after_retries_and_a_second_backfill(
    airflow: AirflowServices, daily: None, source: MariadbDatabase, target: PostgresDatabase
) -> None:
    expected = source.query(f"SELECT id, day, customer FROM daily WHERE day BETWEEN '{FIRST}' AND '{LAST}' ORDER BY id")
    airflow.await_dag("daily")

    backfill(airflow)
    assert airflow.await_runs("daily", DAYS, BACKFILL_SECONDS) == {"success": DAYS}, airflow.task_log("daily")
    assert target.query(EACH_ROW) == expected
    tries = airflow.query("SELECT try_number, count(*) FROM task_instance WHERE dag_id = 'daily' GROUP BY 1 ORDER BY 1")
    assert tries == [(1, DAYS - FAILING_DAYS), (2, FAILING_DAYS)]
    assert ran_side_by_side(airflow)

    ((first_end,),) = airflow.query("SELECT max(end_date) FROM task_instance WHERE dag_id = 'daily'")
    backfill(airflow)
    assert airflow.await_runs("daily", DAYS, BACKFILL_SECONDS) == {"success": DAYS}, airflow.task_log("daily")
    assert target.query(EACH_ROW) == expected
    ran_again = f"SELECT count(*) FROM task_instance WHERE dag_id = 'daily' AND start_date > '{first_end}'"
    assert airflow.query(ran_again) == [(DAYS,)]


def backfill(airflow: AirflowServices) -> None:
    """Run the ten days to their end; Airflow 2 does it in the command itself, Airflow 3 in the scheduler."""
    if AIRFLOW_3:
        days = ("--from-date", FIRST, "--to-date", LAST)
        again = ("--reprocess-behavior", "completed", "--max-active-runs", "3")
        airflow.command("backfill", "create", "--dag-id", "daily", *days, *again)
        airflow.await_query("SELECT bool_and(completed_at IS NOT NULL) FROM backfill", BACKFILL_SECONDS)
    else:
        try:
            airflow.command("dags", "backfill", "daily", "-s", FIRST, "-e", LAST, "--reset-dagruns", "-y")
        except RuntimeError as error:
            pytest.fail(f"{error}\n{airflow.task_log('daily')}")


def ran_side_by_side(airflow: AirflowServices) -> bool:
    """Whether some day started before another had ended."""
    times = airflow.query("SELECT start_date, end_date FROM task_instance WHERE dag_id = 'daily' ORDER BY start_date")
    return any(later_start < end for (_, end), (later_start, _) in pairwise(times))
