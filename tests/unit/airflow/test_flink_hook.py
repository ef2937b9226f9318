"""FlinkClusterHook: the connection becomes a cluster, references become parameters. No database, no Flink."""

from __future__ import annotations

import json
import logging

import pytest

from airflow_provider_flinkx.clusters.local import LocalCluster
from airflow_provider_flinkx.compat import AirflowNotFoundException
from airflow_provider_flinkx.exceptions import ClusterError, JobFileError, JobInvalidError
from airflow_provider_flinkx.hooks import flink
from airflow_provider_flinkx.hooks.flink import FlinkClusterHook, connection_parameters

PASSWORD = "pass-word-1"


def job(**reader):
    return {
        "job": {
            "content": [
                {
                    "reader": {"name": "postgresqlreader", "parameter": {"column": ["id"], **reader}},
                    "writer": {"name": "streamwriter", "parameter": {}},
                }
            ],
            "setting": {"errorLimit": {"record": 0}},
        }
    }


@pytest.fixture
def connection(monkeypatch):
    """Store connections where Airflow looks first: in the environment."""

    def store(connection_id, **values):
        monkeypatch.setenv(f"AIRFLOW_CONN_{connection_id.upper()}", json.dumps(values))

    return store


@pytest.fixture
def run(monkeypatch):
    """Run a job on a cluster that only notes what it was asked to run."""
    ran = {}

    def noted(self, document, *, job_key, on_progress, warnings, take_finished):
        ran.update(document=document, job_key=job_key, warnings=warnings, cluster=self)
        return {"state": "FINISHED"}

    def run(document, **hook):
        assert FlinkClusterHook(**hook).run(document, job_key="key", on_progress=print) == {"state": "FINISHED"}
        return ran

    monkeypatch.setattr(LocalCluster, "run", noted)
    run.masked = []
    monkeypatch.setattr(flink, "mask_secret", run.masked.append)
    return run


@pytest.mark.parametrize("conn_type", ["flinkx_postgresql", "postgres"])
def test_a_connection_id_is_replaced_and_its_password_hidden(run, connection, conn_type):
    connection("my_pg", conn_type=conn_type, host="db", port=1, login="me", password=PASSWORD, schema="sales")
    document = job(connectionId="my_pg", connection=[{"table": ["t"]}])
    ran = run(document)
    assert ran["document"]["job"]["content"][0]["reader"]["parameter"] == {
        "username": "me",
        "password": PASSWORD,
        "connection": [{"jdbcUrl": ["jdbc:postgresql://db:1/sales"], "table": ["t"]}],
        "column": ["id"],
    }
    assert PASSWORD in run.masked
    assert PASSWORD not in json.dumps(document)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "there is no such connection in Airflow"),
        ({"conn_type": "mysql", "host": "h"}, "is of type 'mysql'; allowed here: flinkx_postgresql, postgres"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named_with_its_path(run, connection, given, message):
    if given:
        connection("my_pg", **given)
    with pytest.raises(JobInvalidError) as error:
        run(job(connectionId="my_pg", connection=[{"table": ["t"]}]))
    assert "job.content[0].reader.parameter.connectionId" in str(error.value)
    assert "my_pg" in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize("plugin", ["stream", "nosuch", ""])
def test_a_plugin_without_a_connection_takes_none(plugin):
    with pytest.raises(JobFileError, match=f"{plugin}reader takes no connection"):
        connection_parameters("my_pg", plugin, "reader")


def test_all_that_is_wrong_is_said_before_anything_starts(run):
    document = job()
    document["job"]["content"][0]["writer"]["name"] = "nosuchwriter"
    with pytest.raises(JobInvalidError) as error:
        run(document)
    assert len(error.value.problems) > 1


def test_warnings_are_logged_and_handed_on(run, connection, capsys, caplog):
    connection("my_pg", conn_type="postgres", host="db", schema="s", login="me", password=PASSWORD)
    with caplog.at_level(logging.WARNING):
        ran = run(job(connectionId="my_pg", connection=[{"table": ["t"]}], fetchSizes=1))
    assert any("fetchSizes" in warning for warning in ran["warnings"])
    assert "fetchSizes" in capsys.readouterr().out + caplog.text


def test_without_flink_default_the_job_runs_locally_and_the_log_says_so(capsys, caplog):
    with caplog.at_level(logging.INFO):
        cluster = FlinkClusterHook().cluster()
    assert cluster.settings == {}
    # Airflow 3 logs past the logging module.
    logged = capsys.readouterr().out + caplog.text
    assert "There is no connection 'flink_default': the job runs in local mode with defaults." in logged


def test_another_missing_connection_is_an_error():
    with pytest.raises(AirflowNotFoundException):
        FlinkClusterHook("my_flink").cluster()


@pytest.mark.parametrize("settings", [{"a.b": "2g", "n": 2, "on": True}, '{"a.b": "2g", "n": 2, "on": true}'])
def test_the_connection_becomes_a_cluster(connection, settings):
    connection("my_flink", conn_type="flink", extra={"mode": "local", "python": "/py", "settings": settings})
    cluster = FlinkClusterHook("my_flink").cluster()
    assert cluster.python == "/py"
    assert cluster.settings == {"a.b": "2g", "n": "2", "on": "true"}


@pytest.mark.parametrize(
    ("values", "mode", "message"),
    [
        ({"conn_type": "flink", "extra": {"mode": "moon"}}, None, "mode 'moon' is unknown"),
        ({"conn_type": "flink"}, "moon", "mode 'moon' is unknown"),
        ({"conn_type": "http"}, None, "connection 'my_flink' is of type 'http'"),
        ({"conn_type": "flink", "extra": {"settings": "{"}}, None, "settings is not JSON"),
    ],
)
def test_a_connection_that_is_wrong(connection, values, mode, message):
    connection("my_flink", **values)
    with pytest.raises(JobFileError, match=message):
        FlinkClusterHook("my_flink", mode=mode).cluster()


def test_the_test_button_starts_the_interpreter_and_java():
    ok, message = FlinkClusterHook().test_connection()
    assert ok, message
    assert message.startswith("local mode: apache-flink ")
    assert "openjdk" in message.lower() or "java" in message.lower()


@pytest.mark.parametrize(
    ("python", "message"),
    [("/no/such/python", "/no/such/python does not start"), ("/bin/false", "/bin/false failed")],
)
def test_the_test_button_names_an_interpreter_that_does_not_work(connection, python, message):
    connection("my_flink", conn_type="flink", extra={"python": python})
    ok, said = FlinkClusterHook("my_flink").test_connection()
    assert not ok
    assert message in said


def test_a_missing_java_is_named(monkeypatch):
    def no_java(environment):
        raise ClusterError("no Java found")

    monkeypatch.setattr(flink, "java_home", no_java)
    assert FlinkClusterHook().test_connection() == (False, "no Java found")
