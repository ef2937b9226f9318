"""The Flink session on a real YARN in HA: found by id, by name, by rule, and after ResourceManagers died or hung."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import httpx
import pytest

from airflow_provider_flinkx.clusters.yarn import YarnSession, find_session
from airflow_provider_flinkx.exceptions import ClusterError, ClusterUnreachableError
from tests.servers import await_condition
from tests.yarn_cluster import Session, YarnCluster

_FAILOVER_SECONDS = 60


@pytest.fixture(scope="module")
def other_session(shared_yarn: YarnCluster) -> Iterator[Session]:
    """A second session, in another queue, with more memory and a name of its own."""
    shared_yarn.session()
    session = shared_yarn.start_session("nightly", queue="other", settings={"jobmanager.memory.process.size": "1024m"})
    yield session
    shared_yarn.repair()
    shared_yarn.end_session(session)


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({}, id="rule"),
        pytest.param({"name": "Flink session cluster"}, id="name"),
        pytest.param({"queue": "default"}, id="queue"),
        pytest.param({"queue": "root.default"}, id="queue with its path"),
    ],
)
def test_session_is_found(yarn_session: Session, how: dict[str, str]) -> None:
    found = find_session(yarn_session.yarn.conf_folder, **how)

    assert found.application_id == yarn_session.application_id
    assert found.name == "Flink session cluster"
    assert found.rest_address == yarn_session.rest_address
    assert httpx.get(f"{found.rest_address}/v1/overview").json()["flink-version"]
    assert httpx.get(f"{found.tracking_url}overview").json()["flink-version"]


def test_session_is_found_by_id(yarn_session: Session, other_session: Session) -> None:
    found = find_session(yarn_session.yarn.conf_folder, application_id=other_session.application_id)

    assert found.rest_address == other_session.rest_address


def test_a_name_that_begins_right_goes_before_more_memory(yarn_session: Session, other_session: Session) -> None:
    found = find_session(yarn_session.yarn.conf_folder)

    assert found.application_id == yarn_session.application_id


def test_a_session_of_any_name_will_do(yarn_session: Session, other_session: Session) -> None:
    found = find_session(yarn_session.yarn.conf_folder, queue="other")

    assert found.application_id == other_session.application_id


def test_no_such_session_says_what_runs(yarn_session: Session) -> None:
    with pytest.raises(ClusterError, match="no Flink session named 'weekly' in queue default, but 'Flink session"):
        find_session(yarn_session.yarn.conf_folder, name="weekly", queue="default")


def test_unknown_application(yarn_session: Session) -> None:
    with pytest.raises(ClusterError, match="knows no application_1700000000000_0001"):
        find_session(yarn_session.yarn.conf_folder, application_id="application_1700000000000_0001")


def test_ended_application(yarn_session: Session, other_session: Session) -> None:
    ended = other_session.application_id
    yarn_session.yarn.end_session(other_session)

    with pytest.raises(ClusterError, match=rf"'nightly' \({ended}\) on YARN is FINISHED, not RUNNING"):
        find_session(yarn_session.yarn.conf_folder, application_id=ended)


def test_session_is_found_after_the_active_resource_manager_was_killed(yarn_session: Session) -> None:
    yarn = yarn_session.yarn
    killed = yarn.active()
    assert killed is not None
    yarn.resource_managers[killed].kill()

    found = _found_again(yarn)

    assert yarn.active() not in (None, killed)
    assert found.rest_address == yarn_session.rest_address


def test_session_is_found_while_a_resource_manager_hangs(yarn_session: Session) -> None:
    yarn = yarn_session.yarn
    active = yarn.active()
    assert active is not None
    hanging = yarn.resource_managers[1 - active].pid
    os.kill(hanging, signal.SIGSTOP)
    try:
        found = find_session(yarn.conf_folder)
    finally:
        os.kill(hanging, signal.SIGCONT)

    assert found.rest_address == yarn_session.rest_address


def test_no_resource_manager_at_all(yarn_session: Session) -> None:
    for daemon in yarn_session.yarn.resource_managers:
        daemon.kill()

    with pytest.raises(
        ClusterUnreachableError, match=r"no active ResourceManager: http://localhost:\d+ does not answer"
    ):
        find_session(yarn_session.yarn.conf_folder)


def _found_again(yarn: YarnCluster) -> YarnSession:
    """The session, as soon as a ResourceManager has taken over."""

    def find() -> YarnSession | None:
        try:
            return find_session(yarn.conf_folder)
        except ClusterUnreachableError:
            return None

    found: YarnSession = await_condition(find, _FAILOVER_SECONDS, "the session after a fail-over")
    return found
