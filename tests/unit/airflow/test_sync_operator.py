"""FlinkXSyncOperator around a cluster of the test's own: what it logs, pushes, raises and cancels."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from airflow.exceptions import TaskDeferred

from airflow_provider_flinkx.clusters.session import StartedJob
from airflow_provider_flinkx.compat import AirflowException, AirflowFailException
from airflow_provider_flinkx.exceptions import (
    ConnectionFailedError,
    ErrorLimitExceededError,
    JobFailedError,
    JobInvalidError,
    RanAgainError,
    VersionMismatchError,
    to_json,
)
from airflow_provider_flinkx.hooks.progress import ProgressLog
from airflow_provider_flinkx.operators.sync import FlinkXSyncOperator, is_retry, job_key

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
        super().__init__(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1, max_tries=0, pushed={})

    def xcom_push(self, key, value):
        self.pushed[key] = value


class Hook:
    """A hook in local mode whose job ends as the test says."""

    session = None

    def __init__(self, ending):
        self.ending = ending
        self.cancelled = False

    def run(self, document, *, job_key, on_progress, take_finished):
        self.document, self.job_key, self.take_finished = document, job_key, take_finished
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
    assert hook.job_key == job_key(Instance())
    assert hook.take_finished is False


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (with_report(ErrorLimitExceededError("8 rows were rejected")), AirflowFailException),
        (with_report(RanAgainError("rows are there twice")), AirflowFailException),
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
        (VersionMismatchError("the cluster runs Flink 1.20"), AirflowFailException),
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


def key_of(dag_id, run_id, task_id, map_index):
    return job_key(SimpleNamespace(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index))


def test_job_key_is_stable_and_readable():
    key = key_of("my_dag", "scheduled__2026-01-01T00:00:00+00:00", "group.task", 3)
    assert key == key_of("my_dag", "scheduled__2026-01-01T00:00:00+00:00", "group.task", 3)
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
    key = key_of(*other)
    assert key != key_of("a", "r-1", "t", 0)
    assert len(key) <= 200
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    assert key_of("a", "r-1", "t" * 250, 0) != key_of("a", "r-1", "t" * 249 + "u", 0)


@pytest.mark.parametrize(
    ("try_number", "max_tries", "retries", "expected"),
    [
        (1, 0, 0, False),
        (1, 2, 2, False),
        (2, 2, 2, True),
        (3, 2, 2, True),
        # Without retries the second try is that of a scheduler which died and came back.
        (2, 0, 0, True),
        # Cleared after the first try, after the third, and a retry after that.
        (2, 3, 2, False),
        (4, 5, 2, False),
        (5, 5, 2, True),
        (2, 1, None, False),
    ],
)
def test_a_retry_is_told_from_the_first_try_after_a_clear(try_number, max_tries, retries, expected):
    assert is_retry(SimpleNamespace(try_number=try_number, max_tries=max_tries), retries) is expected


class Session:
    """A cluster in which a job takes longer than the worker waits."""

    settings = SimpleNamespace(application_id="a")

    def __init__(self):
        self.ended = []

    def wait(self, job_id, on_progress, seconds):
        self.seconds = seconds
        return seconds is None

    def job_url(self, job_id):
        return f"http://flink/#/{job_id}"

    def result(self, job_id, began):
        self.began = began
        return {**REPORT, "jobId": job_id}

    def end(self, key):
        self.ended.append(key)


def on_a_cluster(**arguments):
    """An operator and a task instance; the job has the id `j`."""
    operator = FlinkXSyncOperator(task_id="t", job={}, **arguments)
    operator.document = {}
    session = Session()
    operator.__dict__["hook"] = SimpleNamespace(session=session, start=lambda document, **_: StartedJob("j", False, 5))
    instance = Instance()
    instance.start_date = datetime.now(timezone.utc) - timedelta(seconds=30)
    return operator, instance, session


def test_a_deferred_task_keeps_nothing_secret_and_the_rest_of_its_time():
    operator, instance, _ = on_a_cluster(
        deferrable=True, mode="yarn", flink_conn_id="f", execution_timeout=timedelta(seconds=90)
    )
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute({"ti": instance})
    path, kept = deferred.value.trigger.serialize()
    assert path == "airflow_provider_flinkx.triggers.sync.FlinkXSyncTrigger"
    assert kept == {"flink_conn_id": "f", "mode": "yarn", "job_id": "j", "interval": 10.0, "application_id": "a"}
    assert deferred.value.method_name == "execute_complete"
    assert timedelta(seconds=50) < deferred.value.timeout <= timedelta(seconds=60)
    assert instance.pushed["flink_job_url"] == "http://flink/#/j"


def test_deferred_and_not_end_alike():
    operator, instance, session = on_a_cluster(deferrable=False)
    waited = operator.execute({"ti": instance})
    resumed_operator, resumed, resumed_session = on_a_cluster(deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        resumed_operator.execute({"ti": resumed})
    event = {"job_id": "j", "application_id": None, "error": None}
    kept = {**deferred.value.kwargs, "event": event}
    assert resumed_operator.resume_execution("execute_complete", kept, {"ti": resumed}) == waited
    assert resumed.pushed == instance.pushed
    assert (session.began, resumed_session.began) == (5, 5)


def test_the_triggers_error_is_raised_as_in_the_worker():
    operator, instance, _ = on_a_cluster(deferrable=True)
    error = to_json(with_report(ErrorLimitExceededError("8 rows were rejected")))
    with pytest.raises(AirflowFailException, match="8 rows were rejected"):
        operator.execute_complete({"ti": instance}, {"job_id": "j", "application_id": None, "error": error})
    assert instance.pushed["return_value"] == RETURNED


def test_a_trigger_that_timed_out_leaves_no_job():
    operator, instance, session = on_a_cluster(deferrable=True)
    with pytest.raises(AirflowException):
        operator.resume_execution("__fail__", {"error": "Trigger/execution timeout"}, {"ti": instance})
    assert session.ended == [job_key(instance)]


def test_a_resumed_task_that_airflow_2_ends_at_once_leaves_no_job():
    operator, instance, session = on_a_cluster(deferrable=True)
    instance.next_method = "__fail__"
    operator.pre_execute({"ti": instance})
    operator.on_kill()
    assert session.ended == [job_key(instance)]
