"""A real standalone Flink cluster for tests, out of the apache-flink package: JobManagers and TaskManagers.

Each daemon is a Java process of ours, on free ports, in a temporary folder; it can be killed and started again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import shutil
import ssl
import tempfile
import urllib.request
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.daemons import Daemon, java
from tests.servers import LOCALHOST, ServerMissingError, await_condition, free_port

_ENTRYPOINT = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_TASK_MANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
_ZOOKEEPER = "org.apache.flink.shaded.zookeeper3.org.apache.zookeeper.server.ZooKeeperServerMain"
#: What a TaskManager logs seconds before it ends by itself.
_IS_ENDING = "Fatal error occurred while executing the TaskManager"
_GRANTED = "DefaultDispatcherRunner was granted leadership"
#: In megabytes. A TaskManager's process stays under 1 GB with all of them full.
_JOB_MANAGER_HEAP, _TASK_MANAGER_HEAP, _ZOOKEEPER_HEAP = 320, 256, 64
_METASPACE, _DIRECT = 224, 160


@dataclasses.dataclass(frozen=True)
class FlinkCluster:
    """A running cluster.

    Attributes:
        job_managers: one, or two where there is a ZooKeeper.
        rest_addresses: `http://host:port` of each JobManager, in the same order.
        conf_folder: the folder of config.yaml, as `-flinkconf` takes it; it names the first JobManager.
        log_folder: what the daemons log (`*.log`) and print (`*.out`).
        slots: of all TaskManagers.
        tls: how we speak to the JobManagers; None: without TLS.
    """

    job_managers: tuple[Daemon, ...]
    task_managers: tuple[Daemon, ...]
    rest_addresses: tuple[str, ...]
    conf_folder: Path
    log_folder: Path
    slots: int
    tls: ssl.SSLContext | None = None

    @property
    def job_manager(self) -> Daemon:
        """The first JobManager."""
        return self.job_managers[0]

    @property
    def rest_address(self) -> str:
        """`http://host:port` of the first JobManager."""
        return self.rest_addresses[0]

    def get(self, path: str) -> Any:
        """JSON of a REST path, of the first JobManager that answers; None when none does."""
        return next(filter(None, (self._get(address, path) for address in self.rest_addresses)), None)

    def leader(self) -> int | None:
        """Index of the JobManager that leads, if one does."""
        for index, daemon in enumerate(self.job_managers):
            log = self.log_folder / f"{daemon.name}.log"
            if daemon.process.running and log.exists() and _GRANTED in log.read_text(errors="replace"):
                return index
        return None

    def start_again(self, daemon: Daemon) -> None:
        """Start a daemon that was killed; what it logged before is kept under another name."""
        log = self.log_folder / f"{daemon.name}.log"
        log.rename(log.with_name(f"{daemon.name}-{daemon.pid}.log"))
        daemon.start()

    def await_ready(self) -> None:
        """Wait until every JobManager answers, and knows just the TaskManagers that live, with all slots free."""
        self.task_managers[-1].process.await_ready(self._ready, f"Flink at {self.rest_addresses}")

    def repair(self) -> None:
        """Start what a test killed, or what is ending by itself, and wait until the cluster is as new."""
        self._start_ended()
        try:
            self.await_ready()
        except RuntimeError as error:
            # One that has met a fatal error meanwhile. Once more, not for ever.
            warnings.warn(str(error), stacklevel=2)
            self._start_ended()
            self.await_ready()

    def _start_ended(self) -> None:
        await_condition(lambda: not any(map(self._is_ending, self.task_managers)), 60, "the end of what is ending")
        for daemon in self._ended():
            self.start_again(daemon)

    def _is_ending(self, daemon: Daemon) -> bool:
        """Whether it lives, but not for long: its job succeeds or fails meanwhile, and the next one is lost with it."""
        log = self.log_folder / f"{daemon.name}.log"
        return daemon.process.running and log.exists() and _IS_ENDING in log.read_text(errors="replace")

    def _ended(self) -> list[Daemon]:
        return [daemon for daemon in (*self.job_managers, *self.task_managers) if not daemon.process.running]

    def _ready(self) -> bool:
        for daemon in self._ended():
            log = self.log_folder / f"{daemon.name}.log"
            raise RuntimeError(f"{daemon.name} has ended:\n{daemon.process.log_tail()}{log.read_text()[-3000:]}")
        answers = [self._get(address, "/taskmanagers") for address in self.rest_addresses]
        return all(answer and self._all_live(answer["taskmanagers"]) for answer in answers)

    def _all_live(self, registered: Sequence[Mapping[str, Any]]) -> bool:
        """Whether each of our TaskManagers is registered and idle, and no dead one; its id holds its port."""
        ports = [int(entry["id"].rpartition(":")[2].partition("-")[0]) for entry in registered]
        return (
            len(ports) == len(self.task_managers)
            and all(entry["freeSlots"] == entry["slotsNumber"] for entry in registered)
            and all(any(daemon.process.listens_on(port) for port in ports) for daemon in self.task_managers)
        )

    def _get(self, address: str, path: str) -> Any:
        """JSON of a REST path; None when there is no (good) answer."""
        secure = [urllib.request.HTTPSHandler(context=self.tls)] if self.tls else []
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), *secure)
        with contextlib.suppress(OSError, ValueError), opener.open(f"{address}/v1{path}", timeout=20) as answer:
            return json.load(answer)
        return None


@contextlib.contextmanager
def flink_cluster(
    *,
    job_managers: int = 1,
    task_managers: int = 2,
    slots: int = 2,
    settings: Mapping[str, str] | None = None,
    jar_in_lib: bool = True,
    tls: ssl.SSLContext | None = None,
) -> Iterator[FlinkCluster]:
    """Start a cluster; it ends with the block, or with the test process.

    Args:
        job_managers: two or more get a ZooKeeper and stand in for one another.
        task_managers: how many.
        slots: of each TaskManager.
        settings: further settings of config.yaml.
        jar_in_lib: whether PyFlink's jar is in its class path, as docs/operations.md advises; else it travels.
        tls: how to speak to a cluster whose settings ask for TLS.
    """
    home = flink_home()
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="flinkx-flink-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        conf, logs = folder / "conf", folder / "log"
        for path in (conf, logs, folder / "tmp"):
            path.mkdir()
        shutil.copy(home / "conf" / "log4j.properties", conf)
        ports = [free_port() for _ in range(job_managers)]
        made = _settings(folder, ports[0], slots)
        start = _Starter(folder, stack, jar_in_lib=jar_in_lib)
        if job_managers > 1:
            made |= _high_availability(start, folder)
        write_config(conf, {**made, **(settings or {})})
        cluster = FlinkCluster(
            tuple(start.job_manager(index, port) for index, port in enumerate(ports)),
            tuple(start.task_manager(index) for index in range(task_managers)),
            tuple(f"{'https' if tls else 'http'}://{LOCALHOST}:{port}" for port in ports),
            conf,
            logs,
            task_managers * slots,
            tls,
        )
        cluster.await_ready()
        yield cluster


@contextlib.contextmanager
def more_task_managers(cluster: FlinkCluster, count: int) -> Iterator[None]:
    """Further TaskManagers beside those of the cluster; they end with the block.

    Args:
        cluster: started by `flink_cluster`.
        count: how many; each with as many slots as its others.
    """
    with contextlib.ExitStack() as stack:
        start = _Starter(cluster.conf_folder.parent, stack, jar_in_lib=True)
        known = len(cluster.task_managers)
        for index in range(known, known + count):
            last = start.task_manager(index)
        last.process.await_ready(
            lambda: (cluster.get("/overview") or {}).get("taskmanagers") == known + count, "further TaskManagers"
        )
        yield


def flink_home() -> Path:
    """Folder of the Flink distribution inside the apache-flink package."""
    found = importlib.util.find_spec("pyflink")
    if found is None or found.origin is None:
        raise ServerMissingError("apache-flink is not installed: pip install 'airflow-provider-flinkx[flink]'")
    return Path(found.origin).parent


def default_java_options() -> list[str]:
    """What Flink's own config.yaml opens of Java; a setting of one's own replaces it."""
    defaults = yaml.safe_load((flink_home() / "conf" / "config.yaml").read_text())
    options: str = defaults["env"]["java"]["opts"]["all"]
    return options.split()


def write_config(folder: Path, settings: Mapping[str, object]) -> None:
    """Write config.yaml nested, as Flink's own file is, from dotted keys."""
    nested: dict[str, Any] = {}
    for key, value in settings.items():
        *parents, name = key.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(nested))


def _settings(folder: Path, rest_port: int, slots: int) -> dict[str, object]:
    """Started without Flink's scripts, a TaskManager needs its memory in parts, which they would compute."""
    return {
        "jobmanager.rpc.address": LOCALHOST,
        "jobmanager.rpc.port": free_port(),
        "jobmanager.bind-host": LOCALHOST,
        "blob.server.port": "0",
        "rest.address": LOCALHOST,
        "rest.bind-address": LOCALHOST,
        "rest.port": rest_port,
        "taskmanager.host": LOCALHOST,
        "taskmanager.bind-host": LOCALHOST,
        "taskmanager.numberOfTaskSlots": slots,
        "taskmanager.cpu.cores": 2.0,
        "taskmanager.memory.framework.heap.size": "64m",
        "taskmanager.memory.task.heap.size": f"{_TASK_MANAGER_HEAP - 64}m",
        "taskmanager.memory.framework.off-heap.size": "64m",
        "taskmanager.memory.task.off-heap.size": "32m",
        "taskmanager.memory.network.min": "64m",
        "taskmanager.memory.network.max": "64m",
        "taskmanager.memory.managed.size": "64m",
        "taskmanager.memory.jvm-metaspace.size": f"{_METASPACE}m",
        "taskmanager.memory.jvm-overhead.min": "192m",
        "taskmanager.memory.jvm-overhead.max": "192m",
        # Jobs wait for slots; otherwise they would only in the first minutes of the cluster.
        "resourcemanager.standalone.start-up-time": "1 d",
        # How long is then our own setting's business.
        "slot.request.timeout": "1 h",
        # Files of a job that has ended are removed after seconds, not after an hour.
        "blob.service.cleanup.interval": "5",
        "heartbeat.interval": "1 s",
        "heartbeat.timeout": "10 s",
        "metrics.fetcher.update-interval": "1 s",
        "io.tmp.dirs": str(folder / "tmp"),
    }


def _high_availability(start: _Starter, folder: Path) -> dict[str, object]:
    """A ZooKeeper out of Flink's own jar, and the settings that lead to it."""
    port = free_port()
    start.zookeeper(port)
    return {
        "high-availability.type": "zookeeper",
        "high-availability.zookeeper.quorum": f"{LOCALHOST}:{port}",
        "high-availability.storageDir": (folder / "recovery").as_uri(),
        "high-availability.zookeeper.client.session-timeout": "4 s",
        "high-availability.zookeeper.client.connection-timeout": "4 s",
    }


class _Starter:
    """Starts daemons on one set of folders."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack, *, jar_in_lib: bool) -> None:
        home = flink_home()
        self._jars = [f"{home / 'lib'}/*"]
        if jar_in_lib:
            self._jars += map(str, (home / "opt").glob("flink-python-*.jar"))
        self._folder = folder
        self._stack = stack
        # What a developer's shell says of another Flink, and the test run's own modules, are not the cluster's.
        left_out = ("FLINK_", "PYTHON")
        self._environment = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
        self._environment["TMPDIR"] = str(folder / "tmp")

    def job_manager(self, index: int, rest_port: int) -> Daemon:
        """The ports differ between the JobManagers, all else is in config.yaml."""
        ports = ["-D", f"rest.port={rest_port}", "-D", f"jobmanager.rpc.port={free_port()}"] if index else []
        return self._start(f"jobmanager-{index + 1}", _ENTRYPOINT, self._conf(*ports), _JOB_MANAGER_HEAP)

    def task_manager(self, index: int) -> Daemon:
        limit = [f"-XX:MaxDirectMemorySize={_DIRECT}m"]
        return self._start(f"taskmanager-{index + 1}", _TASK_MANAGER, self._conf(), _TASK_MANAGER_HEAP, limit)

    def zookeeper(self, port: int) -> Daemon:
        conf = self._folder / "conf" / "zoo.cfg"
        conf.write_text(
            f"tickTime=500\ndataDir={self._folder / 'zookeeper'}\nclientPort={port}\n"
            f"clientPortAddress={LOCALHOST}\nadmin.enableServer=false\n"
        )
        daemon = self._start("zookeeper", _ZOOKEEPER, [str(conf)], _ZOOKEEPER_HEAP)
        daemon.process.await_ready(lambda: daemon.process.listens_on(port), "ZooKeeper")
        return daemon

    def _conf(self, *arguments: str) -> list[str]:
        return ["--configDir", str(self._folder / "conf"), *arguments]

    def _start(
        self, name: str, main_class: str, arguments: Sequence[str], heap: int, options: Sequence[str] = ()
    ) -> Daemon:
        logs, conf = self._folder / "log", self._folder / "conf"
        command = java(
            main_class,
            *arguments,
            class_path=":".join(self._jars),
            heap_megabytes=heap,
            options=[
                *default_java_options(),
                *options,
                f"-XX:MaxMetaspaceSize={_METASPACE}m",
                f"-Djava.io.tmpdir={self._folder / 'tmp'}",
                f"-Dlog.file={logs / name}.log",
                f"-Dlog4j.configurationFile={conf / 'log4j.properties'}",
            ],
        )
        daemon = Daemon(name, command, folder=self._folder, log=logs / f"{name}.out", environment=self._environment)
        self._stack.callback(daemon.stop)
        return daemon
