"""FlinkXSyncOperator around a cluster of the test's own: what it logs, pushes, raises and cancels."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from airflow_provider_flinkx.compat import AirflowException, AirflowFailException
from airflow_provider_flinkx.exceptions import (
    ConnectionFailedError,
    ErrorLimitExceededError,
    JobFailedError,
    JobInvalidError,
)
from airflow_provider_flinkx.operators.progress import ProgressLog
from airflow_provider_flinkx.operators.sync import FlinkXSyncOperator, job_key

REPORT = {
    "state": "FINISHED",
    "numRead": 1234567,
    "numWrite": 1234560,
    "nErrors": 7,
    "rowsPerSecond": 50000,
    "splits": 9,
    "splitsDone": 9,
    "error_limit": {"record": 7, "exceeded": False},
    "dirty_data": {"count": 7},
}
RETURNED = {key: value for key, value in REPORT.items() if key not in ("error_limit", "dirty_data")}


class Instance(SimpleNamespace):
    """What the operator uses of a task instance."""

    def __init__(self):
        super().__init__(dag_id="d", run_id="r", task_id="t", map_index=-1, pushed={})

    def xcom_push(self, key, value):
        self.pushed[key] = value


class Hook:
    """A hook whose job ends as the test says."""

    def __init__(self, ending):
        self.ending = ending
        self.cancelled = False

    def run(self, document, *, job_key, on_progress):
        self.document, self.job_key = document, job_key
        on_progress(REPORT)
        if isinstance(self.ending, Exception):
            raise self.ending
        return self.ending

    def cancel(self):
        self.cancelled = True


def executed(ending):
    operator = FlinkXSyncOperator(task_id="t", job={"job": {}})
    operator.document = {"job": {}}
    operator.__dict__["hook"] = hook = Hook(ending)
    instance = Instance()
    try:
        return operator.execute({"ti": instance}), instance.pushed, hook
    except Exception as error:
        return error, instance.pushed, hook


def with_report(error, report=REPORT):
    error.report = report
    return error


def test_the_report_is_returned_and_its_parts_are_pushed(caplog):
    caplog.set_level(logging.INFO)
    returned, pushed, hook = executed(REPORT)
    assert returned == RETURNED
    assert pushed == {"error_limit": REPORT["error_limit"], "dirty_data": REPORT["dirty_data"]}
    assert hook.document == {"job": {}}
    assert hook.job_key == job_key("d", "r", "t", -1)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (with_report(ErrorLimitExceededError("8 rows were rejected")), AirflowFailException),
        (with_report(JobFailedError("the connection broke")), AirflowException),
    ],
)
def test_a_failed_job_leaves_its_report_in_xcom(error, raised):
    outcome, pushed, _ = executed(error)
    assert type(outcome) is raised
    assert str(outcome) == str(error)
    assert pushed == {
        "return_value": RETURNED,
        "error_limit": REPORT["error_limit"],
        "dirty_data": REPORT["dirty_data"],
    }


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (JobInvalidError(["job.a: is wrong", "job.b: is wrong"]), AirflowFailException),
        (ConnectionFailedError("db:1 does not answer"), AirflowException),
    ],
)
def test_an_error_before_the_job_ran(error, raised):
    outcome, pushed, _ = executed(error)
    assert type(outcome) is raised
    assert str(outcome) == str(error)
    assert pushed == {}


def test_on_kill_cancels():
    operator = FlinkXSyncOperator(task_id="t", job={})
    operator.__dict__["hook"] = hook = Hook(REPORT)
    operator.on_kill()
    assert hook.cancelled


def test_on_kill_before_the_job_ran_needs_no_connection():
    FlinkXSyncOperator(task_id="t", job={}, flink_conn_id="not_there").on_kill()


def test_progress_is_one_line_in_five_seconds(caplog):
    seconds = iter([0.0, 0.0, 2.0, 4.9, 5.0, 6.0, 11.0])
    progress = ProgressLog(logging.getLogger("progress"), clock=lambda: next(seconds))
    with caplog.at_level(logging.INFO, "progress"):
        for number in range(6):
            progress({**REPORT, "splitsDone": number})
    rows = "1,234,567 rows read, 1,234,560 written, 7 rejected, 50,000 rows/s"
    assert caplog.messages == [f"{rows}, {number} of 9 splits done" for number in (0, 3, 5)]


def test_job_key_is_stable_and_readable():
    key = job_key("my_dag", "scheduled__2026-01-01T00:00:00+00:00", "group.task", 3)
    assert key == job_key("my_dag", "scheduled__2026-01-01T00:00:00+00:00", "group.task", 3)
    assert key.startswith("my_dag.scheduled__2026-01-01T00-00-00-00-00.group.task.3-")


@pytest.mark.parametrize(
    "other",
    [
        ("a", "r:1", "t", 0),
        ("a", "r-1", "t", 1),
        ("a", "r-1", "t", -1),
        ("a.r-1", "r-1", "t", 0),
        ("a", "r-1", "t" * 250, 0),
        ("a", "r-1", "t" * 249 + "u", 0),
    ],
)
def test_job_keys_differ_and_keep_to_letters_and_length(other):
    key = job_key(*other)
    assert key != job_key("a", "r-1", "t", 0)
    assert len(key) <= 200
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    assert job_key("a", "r-1", "t" * 250, 0) != job_key("a", "r-1", "t" * 249 + "u", 0)
