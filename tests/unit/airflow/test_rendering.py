"""The job field after Airflow has rendered it."""

from __future__ import annotations

import datetime
import json
import re

import pytest

from airflow_provider_flinkx.compat import DAG, AirflowFailException
from airflow_provider_flinkx.hooks.secrets import secrets_of, secrets_of_text
from airflow_provider_flinkx.operators import rendering
from airflow_provider_flinkx.operators.sync import FlinkXSyncOperator

CONTEXT = {"ds": "2026-01-02", "name": "O\"Brien's\\", "columns": ["a", "b"], "table": "orders"}
PASSWORD = "pass-word-1"


@pytest.fixture
def render(tmp_path, monkeypatch):
    """Render a job as Airflow does before it stores and executes it; `.masked` are the secrets made known."""

    def rendered(job, **dag_arguments):
        with DAG("d", start_date=datetime.datetime(2026, 1, 1), template_searchpath=[str(tmp_path)], **dag_arguments):
            operator = FlinkXSyncOperator(task_id="t", job=job)
        operator.render_template_fields(dict(CONTEXT))
        rendered.stored = operator.job
        return operator.document

    rendered.masked = []
    monkeypatch.setattr(rendering, "mask_secret", rendered.masked.append)
    return rendered


def test_a_dict_is_rendered_down_to_its_leaves(render):
    job = {"job": [{"where": "day = '{{ ds }}'", "channel": 3, "flag": True, "none": None}, ["{{ table }}"]]}
    assert render(job) == {
        "job": [{"where": "day = '2026-01-02'", "channel": 3, "flag": True, "none": None}, ["orders"]]
    }


def test_a_text_that_ends_in_json_inside_the_job_is_no_template_file(render):
    assert render({"path": "/data/{{ ds }}.json", "list": ["x.json"]}) == {
        "path": "/data/2026-01-02.json",
        "list": ["x.json"],
    }


def test_a_rendered_value_cannot_break_the_json_around_it(render):
    assert render('{"where": "name = \'{{ name }}\'"}') == {"where": "name = 'O\"Brien's\\'"}


def test_text_is_read_as_leniently_as_flinkx_does(render):
    assert render("{ // comment {{ undefined.thing }}\n 'a': '{{ ds }}', # more\n \"b\": [1,],}") == {
        "a": "2026-01-02",
        "b": [1],
    }


@pytest.mark.parametrize(
    "text",
    [
        '{"column": {{ columns | tojson }}}',
        '{"column": [{% for c in columns %}"{{ c }}"{% if not loop.last %},{% endif %}{% endfor %}]}',
        '{# a comment #}{"column": ["a", "b"]}',
    ],
)
def test_text_that_is_no_json_before_is_rendered_as_a_whole(render, text):
    assert render(text) == {"column": ["a", "b"]}


def test_a_file_is_found_where_airflow_finds_templates(render, tmp_path):
    (tmp_path / "orders.json").write_text('{"where": "day = \'{{ ds }}\'", "path": "x.json"}')
    assert render("orders.json") == {"where": "day = '2026-01-02'", "path": "x.json"}
    assert render("{{ table }}.json") == {"where": "day = '2026-01-02'", "path": "x.json"}


def test_a_file_of_an_absolute_path(render, tmp_path):
    (tmp_path / "job.json").write_text('{"a": "{{ ds }}"}')
    assert render(str(tmp_path / "job.json")) == {"a": "2026-01-02"}


def test_a_file_is_not_read_when_the_dag_is_parsed(tmp_path):
    with DAG("d", start_date=datetime.datetime(2026, 1, 1), template_searchpath=[str(tmp_path)]) as dag:
        operator = FlinkXSyncOperator(task_id="t", job="job.json")
    (tmp_path / "job.json").write_text('{"password": "x"}')
    dag.resolve_template_files()
    assert operator.job == "job.json"


def test_native_rendering(render):
    assert render("{{ {'channel': 2} }}", render_template_as_native_obj=True) == {"channel": 2}


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ("missing.json", "job file 'missing.json' is neither in the folder of the DAG file nor in"),
        ("/no/such.json", "job file '/no/such.json' cannot be read"),
        ('{"a": \n  "{{ ds }}" "b"}', "line 2"),
        ("[1, 2]", "object"),
    ],
)
def test_what_is_wrong_with_the_job_is_said_once_and_not_tried_again(render, job, message):
    with pytest.raises(AirflowFailException, match=re.escape(message)):
        render(job)


@pytest.mark.parametrize(
    "job",
    [
        {"username": "me", "password": PASSWORD},
        json.dumps({"reader": {"parameter": {"password": PASSWORD}}}),
        f"{{'url': 'jdbc:mysql://h/d?user=me&password={PASSWORD}&x=1'}}",
        f'{{"url": "ftp://me:{PASSWORD}@host/", "column": {{{{ columns | tojson }}}}}}',
        f'{{"password": "{PASSWORD}", "column": {{{{ columns | tojson }}}}}}',
        {"password": f"{{{{ '{PASSWORD[::-1]}' | reverse }}}}"},
    ],
)
def test_secrets_are_made_known_before_anything_is_stored_or_logged(render, job):
    render(job)
    assert PASSWORD in render.masked


def test_what_airflow_stores_holds_no_secret(render):
    url = f"jdbc:mysql://h/d?password={PASSWORD}"
    job = {"job": {"content": [{"reader": {"parameter": {"password": PASSWORD, "url": [url], "where": "{{ ds }}"}}}]}}
    rendered = render(job)["job"]["content"][0]["reader"]["parameter"]
    assert rendered == {"password": PASSWORD, "url": [url], "where": CONTEXT["ds"]}
    stored = render.stored["job"]["content"][0]["reader"]["parameter"]
    assert stored == {"password": "***", "url": ["jdbc:mysql://h/d?password=***"], "where": CONTEXT["ds"]}


def test_rendering_twice_keeps_the_job():
    with DAG("d", start_date=datetime.datetime(2026, 1, 1)):
        operator = FlinkXSyncOperator(task_id="t", job={"password": PASSWORD})
    operator.render_template_fields(dict(CONTEXT))
    operator.render_template_fields(dict(CONTEXT))
    assert operator.document == {"password": PASSWORD}
    assert operator.job == {"password": "***"}


def test_secrets_of_a_template_that_fails_are_known_before_it_is_logged(render):
    with pytest.raises(Exception, match="unexpected"):
        render(f'{{"password": "{PASSWORD}", "where": {{{{ ds + }}}} }}')
    assert PASSWORD in render.masked


def test_only_secrets_are_secrets():
    job = {
        "column": ["*", {"name": "password", "type": "string"}],
        "where": "token = 1 and a = 'b'",
        "jdbcUrl": "jdbc:mysql://h/d?useSSL=true",
        "hadoopConfig": {"dfs.secret": "s1"},
    }
    assert list(secrets_of(job)) == ["s1"]


def test_a_guess_hides_no_short_text():
    assert list(secrets_of_text('{"column": ["*"], "where": "token = 1", "password": "long-one" "x"}')) == ["long-one"]
