"""The location of incremental runs in an Airflow Variable: which rows each run reads, and when it moves."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from airflow.exceptions import TaskDeferred

from airflow_provider_flinkx.compat import AirflowFailException
from airflow_provider_flinkx.exceptions import JobInvalidError, LocationMovedError
from airflow_provider_flinkx.operators import location as module
from airflow_provider_flinkx.operators.location import KEPT_RANGES, kept_location
from tests.unit.airflow.test_sync_operator import REPORT, Hook, on_a_cluster


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    """What stands in Airflow's Variables."""
    kept = {}
    monkeypatch.setattr(module, "Variable", SimpleNamespace(get=kept.get, set=kept.__setitem__))
    return kept


def document(start=None, incremental=None, **parameter):
    settings = {"column": "id", "state": "airflow", **(incremental or {})}
    reader = {"connection": [{"table": ["t"]}], "incremental": settings, **parameter}
    if start is not None:
        reader["startLocation"] = start
    return {"job": {"content": [{"reader": {"name": "mysqlreader", "parameter": reader}, "writer": {}}]}}


def run(run_id, dag_id="d", task_id="t", map_index=-1):
    return SimpleNamespace(dag_id=dag_id, task_id=task_id, run_id=run_id, map_index=map_index)


class Task:
    """A run of the task, between its begin and its end."""

    def __init__(self, run_id, job=None):
        self.location = kept_location(job or document(), run(run_id))
        reader = self.location.begin(job or document())["job"]["content"][0]["reader"]["parameter"]
        self.start, self.end = reader.get("startLocation", ""), reader.get("endLocation")
        assert reader["incremental"]["run"] == run_id

    def end_at(self, greatest):
        end = self.end or greatest
        self.location.move({**REPORT, "startLocation": self.start, "endLocation": end})
        return self.start, end


def test_each_run_begins_where_the_last_one_ended():
    job = document(start="5")
    assert Task("a", job).end_at("10") == ("5", "10")
    assert Task("b", job).end_at("15") == ("10", "15")
    assert Task("c", job).end_at("15") == ("15", "15")


def test_a_try_that_fails_leaves_the_location():
    Task("a").end_at("10")
    Task("b")
    assert Task("b").end_at("20") == ("10", "20")
    Task("c")
    assert Task("d").end_at("30") == ("20", "30")
    assert Task("c").end_at("40") == ("30", "40")


def test_a_run_that_has_ended_reads_its_own_rows_again_and_moves_nothing(variables):
    for greatest, name in enumerate("abc"):
        Task(name).end_at(str(greatest))
    before = dict(variables)
    assert Task("b").end_at("99") == ("0", "1")
    assert Task("c").end_at("99") == ("1", "2")
    assert variables == before


def test_a_run_that_another_one_has_overtaken_fails_and_no_row_is_left_out():
    Task("a").end_at("10")
    slow, fast = Task("b"), Task("c")
    fast.end_at("20")
    with pytest.raises(LocationMovedError, match="from '10' to '25', but run c has moved the location to '20'"):
        slow.end_at("25")
    assert Task("d").end_at("30") == ("20", "30")


def test_a_retry_that_attached_to_the_job_of_its_first_try_is_judged_by_what_that_has_read():
    Task("a").end_at("10")
    first = Task("b")
    Task("c").end_at("20")
    Task("b")  # its own start would be 20, but the report is that of the first try's job
    with pytest.raises(LocationMovedError):
        first.end_at("15")


def test_a_location_set_by_hand_counts(variables):
    location = Task("a").location
    variables[location.variable] = json.dumps({"location": 7, "ranges": []})
    assert Task("a").end_at("10") == ("7", "10")


@pytest.mark.parametrize("text", ["7", "{", "[]", '{"location": "7"}'])
def test_a_variable_that_is_no_location_is_not_taken_for_none(variables, text):
    variables[Task("a").location.variable] = text
    with pytest.raises(JobInvalidError, match="mend or delete it"):
        Task("b")


def test_the_variable_stays_small(variables):
    for number in range(KEPT_RANGES + 50):
        Task(f"scheduled__2026-01-01T00:00:00+00:00-{number}").end_at(str(10**15 + number))
    (text,) = variables.values()
    assert len(text) < 20_000


def test_a_location_belongs_to_task_and_source():
    others = [
        (document(), run("a", task_id="u")),
        (document(), run("a", dag_id="e")),
        (document(), run("a", map_index=0)),
        (document(where="id > 3"), run("a")),
        (document(connectionId="c"), run("a")),
        (document(customSql="select 1"), run("a")),
        (document(incremental={"column": "other"}), run("a")),
        (document(incremental={"name": "orders"}), run("a")),
        (document(), run("a", dag_id="d" * 250)),
    ]
    keys = [kept_location(*other).variable for other in [(document(), run("a")), *others]]
    assert len(set(keys)) == len(keys)
    assert all(len(key) <= 250 for key in keys)
    same = [(document(start="4"), run("b")), (document(password="x"), run("a"))]
    assert {kept_location(*each).variable for each in same} == {keys[0]}
    named = [document(incremental={"name": "n"}), document(incremental={"name": "n"}, where="id > 0")]
    assert len({kept_location(each, run("a")).variable for each in named}) == 1


@pytest.mark.parametrize("job", [{}, {"job": {"content": []}}, document(incremental={"state": "target"})])
def test_other_jobs_have_none(job):
    assert kept_location(job, run("a")) is None


def test_the_location_moves_when_the_worker_has_waited(variables):
    operator, instance, _ = on_a_cluster(deferrable=False)
    operator.document = document()
    hook = operator.__dict__["hook"] = Hook({**REPORT, "startLocation": "", "endLocation": "10"})
    operator.execute({"ti": instance})
    assert hook.document["job"]["content"][0]["reader"]["parameter"]["incremental"]["run"] == "r"
    assert [json.loads(text)["location"] for text in variables.values()] == ["10"]


def test_the_location_moves_when_the_task_was_deferred(variables):
    operator, instance, session = on_a_cluster(deferrable=True)
    operator.document = document()
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute({"ti": instance})
    assert variables == {}
    resumed, instance, session = on_a_cluster(deferrable=True)
    session.result = lambda _job_id, _began: {**REPORT, "startLocation": "", "endLocation": "10"}
    event = {"job_id": "j", "application_id": None, "error": None}
    resumed.execute_complete({"ti": instance}, event, **deferred.value.kwargs)
    assert [json.loads(text)["location"] for text in variables.values()] == ["10"]


def test_an_overtaken_run_fails_without_a_retry_and_leaves_its_report(variables):
    operator, instance, session = on_a_cluster(deferrable=True)
    key = kept_location(document(), instance).variable
    variables[key] = json.dumps({"location": "20", "ranges": []})
    session.result = lambda _job_id, _began: {**REPORT, "startLocation": "10", "endLocation": "15"}
    event = {"job_id": "j", "application_id": None, "error": None}
    with pytest.raises(AirflowFailException, match="max_active_runs=1"):
        operator.execute_complete({"ti": instance}, event, location_variable=key)
    assert instance.pushed["return_value"]["endLocation"] == "15"
    assert json.loads(variables[key])["location"] == "20"
