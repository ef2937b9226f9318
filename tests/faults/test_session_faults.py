"""Faults in the middle of a whole job on a real cluster: what the job says, what it leaves, what the next try does.

docs/reliability.md states what is seen here.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_provider_flinkx.clusters import session as session_module
from airflow_provider_flinkx.clusters import watch
from airflow_provider_flinkx.clusters.local import LocalCluster
from airflow_provider_flinkx.clusters.session import RAN_AGAIN, SessionCluster
from airflow_provider_flinkx.clusters.settings import ClusterSettings
from airflow_provider_flinkx.exceptions import (
    ClusterUnreachableError,
    JobCancelledError,
    JobFailedError,
    JobLostError,
    MissingDriverError,
    RanAgainError,
    SlotTimeoutError,
)
from tests.faults.cutting_relay import CuttingRelay
from tests.faults.table_sync import Content, TableSync, Try
from tests.flink_cluster import FlinkCluster
from tests.processes import kill, python_workers, session_members
from tests.servers import LOCALHOST, PostgresDatabase, await_condition
from tests.yarn_cluster import Session

ROWS = 200_000
#: Slow enough that a fault always comes while rows move; some 14 MB are to move.
BYTES_PER_SECOND = 2_000_000
_LOG = logging.getLogger(__name__)
EQUAL = Content(ROWS, lost=0, doubled=0, wrong=0)
#: What differs between two runs of one job.
_OF_ONE_RUN = {"jobId", "cluster", "seconds", "rowsPerSecond", "readDuration", "writeDuration"}
_CALLER = """
import json, sys
from pathlib import Path
from airflow_provider_flinkx.clusters.session import SessionCluster
from airflow_provider_flinkx.clusters.settings import ClusterSettings
request = json.load(sys.stdin)
cluster = SessionCluster(ClusterSettings(mode="standalone", rest_addresses=tuple(request["addresses"])))
started = cluster.start(request["document"], job_key=request["key"])
print("submitted", flush=True)
cluster.wait(started.job_id)
"""


@pytest.fixture(scope="module")
def tables(postgres: PostgresDatabase) -> TableSync:
    return TableSync.create(postgres.fresh_database(), ROWS)


@pytest.fixture
def sync(tables: TableSync) -> TableSync:
    tables.empty_target()
    return tables


@pytest.fixture
def key() -> str:
    return f"fault-{uuid.uuid4().hex[:12]}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where callers and drivers put their files; nothing is left there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    await_condition(lambda: not list(tmp_path.glob("flinkx-*")), 120, "the folders of the runs are removed")


@pytest.fixture
def cluster(flink_cluster: FlinkCluster) -> Iterator[FlinkCluster]:
    """A cluster, which has no Python worker and no file of a job at the end, whatever was killed."""
    with nothing_left(flink_cluster):
        yield flink_cluster


@contextlib.contextmanager
def nothing_left(cluster: FlinkCluster) -> Iterator[None]:
    leaders = {daemon.pid for daemon in cluster.task_managers}
    yield
    leaders |= {daemon.pid for daemon in cluster.task_managers}

    def others() -> list[int]:
        return [pid for leader in leaders for pid in session_members(leader) if pid not in leaders]

    await_condition(lambda: not others(), 120, f"the Python workers have ended: {others()}")
    folder = cluster.conf_folder.parent / "tmp"
    await_condition(lambda: not list(folder.glob("python-dist-*")), 60, "the workers' files are removed")


def session(cluster: FlinkCluster, **settings: Any) -> SessionCluster:
    settings = {"rest_addresses": cluster.rest_addresses, **settings}
    return SessionCluster(ClusterSettings(mode="standalone", **settings))


def begun(
    cluster: SessionCluster, sync: TableSync, key: str, bytes_per_second: int = BYTES_PER_SECOND, **setting: Any
) -> Try:
    """A first try whose rows move."""
    first = Try(cluster, sync.document(bytes_per_second=bytes_per_second, **setting), key)
    await_condition(lambda: sync.written() or not first.running, 240, "rows in the target")
    assert first.running, first.error
    return first


def next_try(cluster: FlinkCluster, sync: TableSync, key: str, **setting: Any) -> dict[str, Any]:
    """The report of another try of the same run."""
    cluster.repair()
    second = Try(session(cluster), sync.document(**setting), key, again=True).end()
    assert second.report is not None, second.error
    return second.report


def figures(report: Any) -> tuple[str, int, int, int, bool]:
    finished = report["splits"] == report["splitsDone"]
    return report["state"], report["numRead"], report["numWrite"], report["nErrors"], finished


FINISHED = ("FINISHED", ROWS, ROWS, 0, True)


def worker_at_work(cluster: FlinkCluster) -> tuple[int, int]:
    """Index of a TaskManager whose Python moves rows, and that process: the one that has used most of a processor."""
    import psutil

    used = {
        sum(psutil.Process(pid).cpu_times()[:2]): (index, pid)
        for index, daemon in enumerate(cluster.task_managers)
        for pid in python_workers(daemon.pid)
    }
    return used[max(used)]


def kill_worker(cluster: FlinkCluster) -> None:
    kill(worker_at_work(cluster)[1])


def kill_task_manager(cluster: FlinkCluster) -> None:
    cluster.task_managers[worker_at_work(cluster)[0]].kill()


def kill_job_manager(cluster: FlinkCluster) -> None:
    cluster.job_manager.kill()
    cluster.start_again(cluster.job_manager)


KILLED_WORKER = (
    r"the Flink job failed: a Python worker of the job died \(killed, .*\); try again with the same job key to go on"
)
KILLED_TASK_MANAGER = (
    r"the Flink job failed: the TaskManager 127.0.0.1:\d+-\S+ was lost \(killed, .*\); "
    "try again with the same job key to go on"
)
KILLED_JOB_MANAGER = (
    r"Flink at http://127.0.0.1:\d+ does not know the job \w+ \(any more\): a JobManager without high availability "
    "forgets its jobs when it ends. How far the job came is unknown; try again with the same job key"
)
LET_GO = (
    "the Flink job failed: a TaskManager had let go of the job when another JobManager took over; "
    "try again with the same job key to go on"
)
Strike = Callable[[FlinkCluster], None]


@pytest.mark.parametrize(
    "exactly_once", [pytest.param(True, id="ledger"), pytest.param(False, id="none", marks=pytest.mark.long)]
)
@pytest.mark.parametrize(
    ("strike", "kind", "text"),
    [
        pytest.param(None, JobCancelledError, "the job was cancelled", id="cancel"),
        pytest.param(kill_worker, JobFailedError, KILLED_WORKER, id="worker"),
        pytest.param(kill_task_manager, JobFailedError, KILLED_TASK_MANAGER, id="TaskManager"),
        pytest.param(kill_job_manager, JobLostError, KILLED_JOB_MANAGER, id="JobManager"),
    ],
)
def test_a_fault_while_rows_move(
    cluster: FlinkCluster,
    sync: TableSync,
    key: str,
    strike: Strike | None,
    kind: type[BaseException],
    text: str,
    exactly_once: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setting = {} if exactly_once else {"exactlyOnce": False}
    monkeypatch.setattr(watch, "LOST_SECONDS", 5)
    first = session(cluster)
    broken = begun(first, sync, key, **setting)
    if strike is None:
        first.cancel()
    else:
        strike(cluster)
    broken.end()
    assert type(broken.error) is kind, broken.error
    assert re.fullmatch(text, str(broken.error)), broken.error
    left = sync.content()
    assert (left.doubled, left.wrong) == (0, 0)
    report = next_try(cluster, sync, key, **setting)
    assert figures(report) == FINISHED
    after = sync.content()
    _LOG.info("left: %s; after the next try: %s", left, after)
    if exactly_once:
        assert after == EQUAL
    else:
        # What the first try had written is there twice, and nothing else; its tasks may have gone on for a moment.
        assert (after.lost, after.wrong) == (0, 0)
        assert after.doubled >= left.rows


def test_a_short_outage_is_waited_for_and_a_long_one_attached_to(
    cluster: FlinkCluster, sync: TableSync, key: str
) -> None:
    """The JobManager is out of reach for who watches the job, for as long as the less patient of two waits."""
    with contextlib.closing(CuttingRelay(int(cluster.rest_address.rpartition(":")[2]))) as relay:
        relayed = (f"http://{LOCALHOST}:{relay.port}",)
        impatient = session(cluster, rest_addresses=relayed, reconnect_timeout=10)
        first = begun(impatient, sync, key, bytes_per_second=BYTES_PER_SECOND // 2)
        watcher = session(cluster, rest_addresses=relayed)
        patient = Try(watcher, sync.document(), key, again=True)
        await_condition(lambda: watcher._job_id or not patient.running, 60, "two callers watch")
        relay.refuses = True
        relay.cut_all()
        first.end()
        relay.refuses = False
        assert isinstance(first.error, ClusterUnreachableError), first.error
        assert re.fullmatch(r"no Flink answers at http://127.0.0.1:\d+: .+", str(first.error))
        report = patient.end().report
    assert report is not None, patient.error
    assert figures(report) == FINISHED
    assert next_try(cluster, sync, key) == report
    assert sync.content() == EQUAL
    assert jobs_of(cluster, key) == 1


@pytest.mark.parametrize("moment", ["driver started", "submitted"])
def test_a_caller_that_dies(cluster: FlinkCluster, sync: TableSync, key: str, folder: Path, moment: str) -> None:
    """The next try submits the job if it was not, and else attaches to it."""
    caller = subprocess.Popen(
        [sys.executable, "-c", _CALLER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    with caller:
        assert caller.stdin and caller.stdout
        document = sync.document(bytes_per_second=BYTES_PER_SECOND)
        json.dump({"addresses": cluster.rest_addresses, "document": document, "key": key}, caller.stdin)
        caller.stdin.close()
        if moment == "submitted":
            assert caller.stdout.readline() == "submitted\n"
        else:
            await_condition(lambda: list(folder.glob("flinkx-*/*")), 60, "the driver works")
        caller.kill()
    submitted = jobs_of(cluster, key)
    assert submitted == (moment == "submitted")
    report = Try(session(cluster), sync.document(), key, again=True).end().report
    assert report is not None
    assert figures(report) == FINISHED
    assert sync.content() == EQUAL
    assert jobs_of(cluster, key) == 1


def test_a_killed_driver(cluster: FlinkCluster, sync: TableSync, key: str) -> None:
    killed = session(cluster)
    first = Try(killed, sync.document(), key)
    process = await_condition(lambda: killed._driver._process, 60, "the driver")
    process.kill()
    error = first.end().error
    assert isinstance(error, JobFailedError)
    assert str(error).startswith("the driver process was killed by signal 9 before the job did")
    assert jobs_of(cluster, key) == 0


def jobs_of(cluster: FlinkCluster, key: str) -> int:
    return sum(job["name"] == key for job in cluster.get("/jobs/overview")["jobs"])


@pytest.fixture
def ha_cluster(flink_ha_cluster: FlinkCluster) -> Iterator[FlinkCluster]:
    """A cluster of two JobManagers, as `cluster`."""
    flink_ha_cluster.repair()
    with nothing_left(flink_ha_cluster):
        yield flink_ha_cluster


def kill_leader(cluster: FlinkCluster) -> None:
    leader = cluster.leader()
    assert leader is not None
    cluster.job_managers[leader].kill()


def is_given_up(error: BaseException | None) -> bool:
    """Whether Flink did not run a job again: its TaskManager had let go of it."""
    return error is not None and re.fullmatch(LET_GO, str(error)) is not None


@pytest.mark.long
def test_the_leading_job_manager_dies(ha_cluster: FlinkCluster, sync: TableSync, key: str) -> None:
    """Its successor runs the job again from its beginning, and with a ledger it goes on."""
    first = begun(session(ha_cluster), sync, key)
    kill_leader(ha_cluster)
    assert first.end().report is not None or is_given_up(first.error), first.error
    report = first.report or next_try(ha_cluster, sync, key)
    assert figures(report) == FINISHED
    assert first.report is None or RAN_AGAIN in report["warnings"]
    assert any("an earlier try had written" in warning for warning in report["warnings"])
    assert sync.content() == EQUAL


@pytest.mark.long
def test_the_leading_job_manager_of_a_job_without_a_ledger_dies(
    ha_cluster: FlinkCluster, sync: TableSync, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are there twice, and whoever waits for the job, from its beginning or only now, is told."""
    first = begun(session(ha_cluster), sync, key, exactlyOnce=False)
    kill_leader(ha_cluster)
    error = first.end().error
    if is_given_up(error):
        pytest.xfail("Flink did not run the job again")
    after = sync.content()
    _LOG.info("in the end %s", after)
    assert after.doubled > 0
    # The second run began seconds after the first, not minutes.
    monkeypatch.setattr(session_module, "UPLOAD_SECONDS", 0)
    monkeypatch.setattr(session_module, "_CLOCK_SECONDS", 0)
    later = Try(session(ha_cluster, reconnect_timeout=3), sync.document(exactlyOnce=False), key, again=True).end()
    for told in (error, later.error):
        assert isinstance(told, RanAgainError), told
        assert told.report is not None
        assert (told.report["state"], told.report["numWrite"]) == ("FAILED", ROWS)


@pytest.mark.long
def test_the_leading_job_manager_of_a_job_that_writes_files_dies(
    ha_cluster: FlinkCluster, sync: TableSync, key: str, tmp_path: Path
) -> None:
    """The second run begins anew in a hidden directory of its own."""
    target = tmp_path / "target"
    document = sync.document(bytes_per_second=BYTES_PER_SECOND)
    (content,) = document["job"]["content"]
    content["writer"] = {
        "name": "hdfswriter",
        "parameter": {
            "defaultFS": "file:///",
            "path": str(target),
            "fileType": "parquet",
            "column": [{"name": "id", "type": "bigint"}, *({"name": name, "type": "string"} for name in "abc")],
        },
    }
    first = Try(session(ha_cluster), document, key)
    await_condition(lambda: list(target.glob(".flinkx-*/new/?????")) or not first.running, 240, "a split is committed")
    kill_leader(ha_cluster)
    if is_given_up(first.end().error):
        pytest.xfail("Flink did not run the job again")
    assert first.report is not None, first.error
    assert figures(first.report) == FINISHED
    assert RAN_AGAIN in first.report["warnings"]
    assert sorted(pq.read_table(target)["id"].to_pylist()) == list(range(1, ROWS + 1))
    assert list(target.glob(".flinkx-*")) == []


@pytest.mark.long
def test_the_active_resource_manager_dies(yarn_session: Session, sync: TableSync, key: str) -> None:
    """The job goes on, and so does whoever waits for it."""
    yarn = yarn_session.yarn
    first = begun(on_yarn(yarn_session), sync, key)
    active = yarn.active()
    assert active is not None
    yarn.resource_managers[active].kill()
    report = first.end().report
    assert report is not None, first.error
    assert figures(report) == FINISHED
    assert sync.content() == EQUAL


def on_yarn(running: Session) -> SessionCluster:
    conf = running.yarn.conf_folder
    return SessionCluster(ClusterSettings(mode="yarn", yarn_conf=conf, application_id=running.application_id))


def test_one_report_in_all_modes(cluster: FlinkCluster, yarn_session: Session, sync: TableSync, key: str) -> None:
    reports = []
    for where in (LocalCluster(), session(cluster), on_yarn(yarn_session)):
        sync.empty_target()
        reports.append(where.run(sync.document(), job_key=key))
        assert sync.content() == EQUAL
    assert [report["cluster"] for report in reports] == ["local", "standalone", "yarn"]
    assert len({report["jobId"] for report in reports}) == 3
    assert without(reports[0]) == without(reports[1]) == without(reports[2])
    assert figures(reports[0]) == FINISHED


def without(value: Any) -> Any:
    """A report without what differs between two runs."""
    if isinstance(value, dict):
        return {name: without(part) for name, part in value.items() if name not in _OF_ONE_RUN}
    return [without(part) for part in value] if isinstance(value, list) else value


def test_a_driver_that_the_nodes_lack(cluster: FlinkCluster, sync: TableSync, key: str, tmp_path: Path) -> None:
    missing = "adbc_driver_postgresql"
    (tmp_path / f"{missing}.py").write_text(f"raise ModuleNotFoundError('No module named {missing}', name='{missing}')")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}:$PYTHONPATH exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    with pytest.raises(MissingDriverError) as caught:
        session(cluster, worker_python=str(python)).run(sync.document(), job_key=key)
    assert "airflow-provider-flinkx[postgresql]" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_more_channels_than_slots(cluster: FlinkCluster, sync: TableSync, key: str) -> None:
    document = sync.document()
    document["job"]["setting"]["speed"]["channel"] = cluster.slots + 1
    with pytest.raises(SlotTimeoutError) as caught:
        session(cluster, slot_timeout=1).run(document, job_key=key)
    # Flink gives up by itself where it knows all its TaskManagers.
    text = (
        "the cluster had no free slots for the job (in 1 s|for as long as Flink waits).*: add TaskManagers or slots, .*"
    )
    assert re.fullmatch(text, str(caught.value))
