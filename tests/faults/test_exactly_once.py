"""Random faults in tries of one run, until a try succeeds: the target equals the source, and the report is right.

The short form runs in CI. `pytest -m long --log-cli-level=WARNING` on this file runs the long one and says what each
round was; FLINKX_TEST_ROUNDS, FLINKX_TEST_ROWS and FLINKX_TEST_SEED choose how many rounds of how many rows, and which.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import random
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from airflow_provider_flinkx.clusters.local import LocalCluster
from airflow_provider_flinkx.clusters.session import SessionCluster
from airflow_provider_flinkx.clusters.settings import ClusterSettings
from airflow_provider_flinkx.exceptions import FlinkXError
from tests.conftest import or_skip
from tests.faults.cutting_relay import CuttingRelay
from tests.faults.table_sync import Content, TableSync, Try
from tests.flink_cluster import FlinkCluster
from tests.processes import kill, python_workers, session_members
from tests.servers import Database, PostgresDatabase, Server, await_condition, killable_mariadb, killable_postgres

SEED = int(os.environ.get("FLINKX_TEST_SEED", "20241122"))
SHORT_ROUNDS, SHORT_ROWS = 2, 100_000
LONG_ROUNDS = int(os.environ.get("FLINKX_TEST_ROUNDS", "50"))
LONG_ROWS = int(os.environ.get("FLINKX_TEST_ROWS", "1000000"))
#: Of the long form: rows move for some seven seconds, so that most faults come while they do.
LONG_BYTES_PER_SECOND = 10_000_000
#: Two channels make so many splits.
SPLITS = 8
_SECONDS = 300
_LOG = logging.getLogger(__name__)
_START: dict[str, Callable[[], Any]] = {
    # As they are used: what was committed outlives the server's process.
    "postgresql": lambda: killable_postgres(synchronous_commit="on"),
    "mysql": lambda: killable_mariadb(innodb_flush_log_at_trx_commit=2),
}


@pytest.fixture(scope="module", params=["postgresql", "mysql"])
def server(request: pytest.FixtureRequest) -> Iterator[Server[Database]]:
    with or_skip(_START[request.param]) as server:
        yield server


@dataclass
class Scene:
    """What a round plays with.

    Attributes:
        random: decides all that is left to chance.
        sync: the two tables.
        server: their database's.
        relay: through which jobs reach it.
        flink: the cluster; None: local mode.
        running: the cluster object of the try that runs.
    """

    random: random.Random
    sync: TableSync
    server: Server[Database]
    relay: CuttingRelay
    flink: FlinkCluster | None
    running: Any = None

    def new_try(self, key: str, *, again: bool) -> Try:
        through = replace(self.sync.database, port=self.relay.port)
        if self.flink is None:
            self.running = LocalCluster()
        else:
            settings = ClusterSettings(mode="standalone", rest_addresses=self.flink.rest_addresses)
            self.running = SessionCluster(settings)
        speed = LONG_BYTES_PER_SECOND if self.sync.rows == LONG_ROWS else None
        return Try(self.running, self.sync.document(through=through, bytes_per_second=speed), key, again=again)

    def mend(self) -> None:
        """Put everything in order for the next try."""
        self.relay.disarm()
        if self.flink is not None:
            self.flink.repair()


def kill_jvm(scene: Scene) -> None:
    """Of the tasks: local mode has no other worker. It may have ended, a moment before its driver."""
    for pid, program in session_members(scene.running._driver._process.pid).items():
        if program == "java":
            kill(pid)


def kill_driver(scene: Scene) -> None:
    scene.running._driver._process.kill()


def kill_server(scene: Scene) -> None:
    scene.server.kill()
    scene.server.start_again()


def cut_connections(scene: Scene) -> None:
    scene.relay.cut_all()


def end_session(scene: Scene) -> None:
    """A random one, by the database's own means."""
    database = scene.sync.database
    if isinstance(database, PostgresDatabase):
        mine = "pid <> pg_backend_pid() and backend_type = 'client backend'"
        found = f"select pid from pg_stat_activity where {mine} and datname = '{database.database}'"
        end = "select pg_terminate_backend({})"
    else:
        mine = "id <> connection_id()"
        found = f"select id from information_schema.processlist where {mine} and db = '{database.database}'"
        end = "kill {}"
    sessions = sorted(row[0] for row in database.query(found))
    if sessions:
        try:
            database.execute(end.format(scene.random.choice(sessions)))
        except Exception as error:
            if "Unknown thread id" not in str(error):  # It has just ended by itself.
                raise


def cut_commit(scene: Scene) -> None:
    """Before the server gets it, or before the client gets the answer; also of the plan and of the end."""
    scene.relay.cut_commit(scene.random.randint(1, 4), scene.random.choice(["statement", "answer"]))


def kill_python_worker(scene: Scene) -> None:
    assert scene.flink is not None
    workers = [pid for daemon in scene.flink.task_managers for pid in python_workers(daemon.pid)]
    if workers:
        kill(scene.random.choice(workers))


def kill_task_manager(scene: Scene) -> None:
    assert scene.flink is not None
    scene.random.choice(scene.flink.task_managers).kill()


Fault = Callable[[Scene], None]
DATABASE_FAULTS: Sequence[Fault] = (kill_server, cut_commit, end_session, cut_connections)
LOCAL_FAULTS: Sequence[Fault] = (kill_jvm, *DATABASE_FAULTS, kill_driver)
CLUSTER_FAULTS: Sequence[Fault] = (kill_python_worker, kill_task_manager, cut_commit, kill_server, end_session)


def play_round(scene: Scene, faults: Sequence[Fault]) -> tuple[Mapping[str, Any], list[str]]:
    """Tries until one succeeds, with one of the faults in each of the first; the report, and what happened."""
    key, story = f"round-{uuid.uuid4().hex[:12]}", []
    for number in range(len(faults) + 3):
        current = scene.new_try(key, again=number > 0)
        if number < len(faults):
            story.append(strike(scene, current, faults[number]))
        current.end(_SECONDS)
        scene.mend()
        if current.report is not None:
            return current.report, story
        assert isinstance(current.error, FlinkXError), current.error
        story.append(f"-> {type(current.error).__name__}")
        assert current.error.retryable, f"{current.error!r} {story}"
    raise AssertionError(f"no try succeeded: {current.error!r} {story}")


def strike(scene: Scene, current: Try, fault: Fault) -> str:
    """Do a fault at a random moment of a try: after the plan, after a split, or when all are written, and a bit."""
    before = steps_done(scene)
    steps = scene.random.randint(min(before, SPLITS) + 1, SPLITS + 1)
    await_condition(lambda: not current.running or steps_done(scene) >= steps, _SECONDS, f"{steps} steps")
    current.wait(scene.random.uniform(0, 0.5))
    if not current.running:
        return f"{fault.__name__}: too late"
    fault(scene)
    return f"{fault.__name__} after {steps - 1} splits"


def steps_done(scene: Scene) -> int:
    """The plan and each split leave an entry."""
    try:
        return len(scene.sync.database.query("select split from flinkx_ledger where split >= -1"))
    except Exception as error:
        if "flinkx_ledger" in str(error):
            return 0  # It is made by the first try.
        raise


def play(scene: Scene, kinds: Sequence[Fault]) -> None:
    """Rounds in which each kind has its turn: one in each round of the short form, else two, in another company."""
    is_short = scene.sync.rows == SHORT_ROWS
    turns = collections.deque(kinds)
    expected = Content(scene.sync.rows, lost=0, doubled=0, wrong=0)
    for number in range(SHORT_ROUNDS if is_short else LONG_ROUNDS):
        faults = [turns[0]] if is_short else [turns[0], turns[number // len(kinds) % (len(kinds) - 1) + 1]]
        turns.rotate(-1)
        scene.sync.empty_target()
        report, story = play_round(scene, faults)
        content = scene.sync.content()
        _LOG.warning("round %d: %s, %s", number + 1, content, "; ".join(story))
        assert content == expected, story
        moved = {name: report[name] for name in ("state", "numRead", "numWrite", "nErrors", "splits", "splitsDone")}
        assert moved == {
            "state": "FINISHED",
            "numRead": scene.sync.rows,
            "numWrite": scene.sync.rows,
            "nErrors": 0,
            "splits": SPLITS,
            "splitsDone": SPLITS,
        }, story


@contextlib.contextmanager
def scene_of(server: Server[Database], rows: int, flink: FlinkCluster | None) -> Iterator[Scene]:
    relay = CuttingRelay(server.database.port)
    try:
        sync = TableSync.create(server.database.fresh_database(), rows)
        yield Scene(random.Random(SEED), sync, server, relay, flink)
    finally:
        relay.close()


@pytest.fixture(params=[SHORT_ROWS, pytest.param(LONG_ROWS, marks=pytest.mark.long)], ids=["short", "long"])
def rows(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_local_mode(server: Server[Database], rows: int) -> None:
    # In the short form each database meets other faults.
    first = 0 if isinstance(server.database, PostgresDatabase) else SHORT_ROUNDS
    with scene_of(server, rows, None) as scene:
        play(scene, [*LOCAL_FAULTS[first:], *LOCAL_FAULTS[:first]])


def test_cluster(server: Server[Database], rows: int, flink_cluster: FlinkCluster) -> None:
    with scene_of(server, rows, flink_cluster) as scene:
        play(scene, CLUSTER_FAULTS)
