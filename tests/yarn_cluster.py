"""A real, highly available YARN with a Flink session for tests: ZooKeeper, two ResourceManagers, a NodeManager.

Each daemon is a Java process of ours, on free ports, in a temporary folder; it can be killed and started again.
There is no HDFS: the default file system is the local one, which all daemons share. When the test process dies the
NodeManager is asked to end, and not killed as the others are: so it ends the containers before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import psutil

from tests.daemons import QUICK, Daemon, find_java_home, java
from tests.flink_cluster import default_java_options, flink_home, write_config
from tests.hdfs_server import HADOOP, HADOOP_POM
from tests.maven import jars
from tests.servers import await_condition, free_port

HOST = "localhost"  # YARN names nodes, and resolves a bare address back to a name
QUEUES = ("default", "other")
SESSION_NAME = "Flink session cluster"
_CLIENT_POM = Path(__file__).parent / "integration" / "clusters" / "hadoop-client-pom.xml"
_YARN = "org.apache.hadoop.yarn.server"
_ZOOKEEPER = "org.apache.zookeeper.server.ZooKeeperServerMain"
_SESSION = "org.apache.flink.yarn.cli.FlinkYarnSessionCli"
_RPC_ADDRESSES = ("address", "scheduler.address", "resource-tracker.address", "admin.address")
_ACTIVE = "Transitioned to active state"
_OPENS = ("--add-opens", "java.base/java.lang=ALL-UNNAMED")
_START_SECONDS = 120
_KILLED_SECONDS = 10
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
#: Small containers: with these a JobManager's process stays under 800 MB and a TaskManager's under 1 GB.
_SESSION_SETTINGS = {
    "jobmanager.memory.process.size": "768m",
    "taskmanager.memory.process.size": "1024m",
    "taskmanager.memory.managed.size": "64m",
    "taskmanager.memory.network.max": "64m",
    "taskmanager.memory.jvm-metaspace.size": "224m",
    "taskmanager.memory.framework.off-heap.size": "64m",
    "taskmanager.numberOfTaskSlots": 2,
    "rest.bind-address": "0.0.0.0",
    "classloader.check-leaked-classloader": False,
    "heartbeat.interval": "1 s",
    "heartbeat.timeout": "10 s",
    "metrics.fetcher.update-interval": "1 s",
}


@dataclasses.dataclass(frozen=True)
class Session:
    """A Flink session as it was started, and where it runs."""

    application_id: str
    name: str
    rest_address: str
    yarn: YarnCluster


@dataclasses.dataclass
class YarnCluster:
    """A running YARN.

    Attributes:
        conf_folder: yarn-site.xml and core-site.xml for a client, as `-yarnconf` takes them.
        web_addresses: `http://host:port` of each ResourceManager.
    """

    zookeeper: Daemon
    resource_managers: tuple[Daemon, ...]
    node_manager: Daemon
    web_addresses: tuple[str, ...]
    conf_folder: Path
    _folder: Path
    _session: Session | None = None

    def session(self) -> Session:
        """The session that tests share; what a test killed is started again."""
        self.repair()
        if self._session is None or _get(f"{self._session.rest_address}/v1/overview") is None:
            self._session = self.start_session()
        return self._session

    def active(self) -> int | None:
        """Index of the active ResourceManager, if there is one."""
        for index, address in enumerate(self.web_addresses):
            information = _get(f"{address}/ws/v1/cluster/info")
            if information and information["clusterInfo"]["haState"] == "ACTIVE":
                return index
        return None

    def get(self, path: str) -> Any:
        """JSON of `/ws/v1/cluster…` from the active ResourceManager; None while there is none."""
        index = self.active()
        return None if index is None else _get(f"{self.web_addresses[index]}/ws/v1/cluster{path}")

    def repair(self) -> None:
        """Start what a test killed, and wait until the node is in use again."""
        for daemon in (self.zookeeper, *self.resource_managers, self.node_manager):
            if not daemon.process.running:
                daemon.start()
        self.node_manager.process.await_ready(self._ready, "YARN")

    def _ready(self) -> bool:
        metrics = self.get("/metrics")
        return bool(metrics) and metrics["clusterMetrics"]["activeNodes"] == 1

    def containers(self, main_class: str) -> list[int]:
        """Process ids of the containers' JVMs that run `main_class`, for example `YarnTaskExecutorRunner`."""
        return [
            process.pid
            for process in psutil.Process(self.node_manager.pid).children(recursive=True)
            if process.name() == "java" and any(part.endswith(main_class) for part in process.cmdline())
        ]

    def kill_node(self) -> None:
        """End the NodeManager and all containers, faster than it would by itself."""
        started = psutil.Process(self.node_manager.pid).children(recursive=True)
        self.node_manager.kill()
        for process in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(started, _KILLED_SECONDS)

    def start_session(
        self, name: str = SESSION_NAME, *, queue: str = QUEUES[0], settings: Mapping[str, object] | None = None
    ) -> Session:
        """Start a Flink session and wait until its JobManager answers."""
        home, conf = flink_home(), self._folder / "flink-conf"
        conf.mkdir(exist_ok=True)
        shutil.copy(home / "conf" / "log4j.properties", conf)
        places = {
            "yarn.staging-directory": (self._folder / "staging").as_uri(),
            "yarn.properties-file.location": str(self._folder),
            "env.java.opts.all": " ".join([*default_java_options(), *QUICK, *self._options()]),
        }
        write_config(conf, {**_SESSION_SETTINGS, **places, **(settings or {})})
        class_path = f"{home / 'lib'}/*:{self.conf_folder}:{_client_jars()}/*"
        (dist,) = (home / "lib").glob("flink-dist*.jar")
        command = java(
            _SESSION,
            *("-j", str(dist), "-d", "-nm", name, "-qu", queue),
            class_path=class_path,
            heap_megabytes=256,
            options=[
                *self._options(),
                f"-Dlog.file={self._folder / 'session.log'}",
                f"-Dlog4j.configurationFile={conf / 'log4j.properties'}",
            ],
        )
        folders = {"FLINK_CONF_DIR": str(conf), "FLINK_LIB_DIR": str(home / "lib"), "FLINK_BIN_DIR": str(home / "bin")}
        environment = {**_environment(self._folder, self.conf_folder), **folders}
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_START_SECONDS,
            check=False,
        )
        output = done.stdout + done.stderr
        found = re.search(r"JobManager Web Interface: (https?://\S+)", output)
        if done.returncode or not found:
            raise RuntimeError(f"the Flink session did not start:\n{output[-5000:]}")
        (properties,) = self._folder.glob(".yarn-properties-*")
        application = re.search(r"application_\d+_\d+", properties.read_text())
        assert application
        return Session(application.group(), name, found.group(1), self)

    def _options(self) -> list[str]:
        return [f"-Djava.io.tmpdir={self._folder}"]

    def end_session(self, session: Session, tls: ssl.SSLContext | None = None) -> None:
        """Shut a session down and wait until YARN knows."""
        request = urllib.request.Request(f"{session.rest_address}/v1/cluster", method="DELETE")
        secure = urllib.request.HTTPSHandler(context=tls)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), secure)
        with contextlib.suppress(OSError), opener.open(request, timeout=10):
            pass

        def ended() -> bool:
            application = self.get(f"/apps/{session.application_id}")
            return bool(application) and application["app"]["finalStatus"] != "UNDEFINED"

        await_condition(ended, _START_SECONDS, f"end of {session.application_id}", interval=0.2)


@contextlib.contextmanager
def yarn_cluster() -> Iterator[YarnCluster]:
    """Start YARN; it ends with the block, or with the test process, and all its containers with it."""
    class_path = f"{jars(HADOOP_POM, HADOOP)}/*"
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="flinkx-yarn-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        client = folder / "conf"
        zookeeper_port, web_ports = free_port(), [free_port(), free_port()]
        settings = _yarn_settings(folder, client, zookeeper_port, web_ports)
        _write_conf(client, folder, settings)
        start = _Starter(folder, class_path, stack)
        cluster = YarnCluster(
            start.zookeeper(zookeeper_port),
            tuple(start.resource_manager(index, settings) for index in range(len(web_ports))),
            start.node_manager(client),
            tuple(f"http://{HOST}:{port}" for port in web_ports),
            client,
            folder,
        )
        stack.callback(cluster.kill_node)
        cluster.repair()
        yield cluster


class _Starter:
    """Starts Hadoop's daemons on one folder; they may all start at once, and wait for one another."""

    def __init__(self, folder: Path, class_path: str, stack: contextlib.ExitStack) -> None:
        self._folder = folder
        self._class_path = class_path
        self._stack = stack

    def zookeeper(self, port: int) -> Daemon:
        conf = self._folder / "zoo.cfg"
        conf.write_text(
            f"tickTime=500\ndataDir={self._folder / 'zookeeper'}\nclientPort={port}\n"
            "clientPortAddress=127.0.0.1\nadmin.enableServer=false\n"
        )
        return self._start("zookeeper", self._folder, _ZOOKEEPER, str(conf), heap=64)

    def resource_manager(self, index: int, settings: Mapping[str, object], options: Sequence[str] = ()) -> Daemon:
        """Its own id must be in its own yarn-site.xml: its web proxy reads that file again."""
        conf = self._folder / f"conf-{index}"
        _write_conf(conf, self._folder, {**settings, "yarn.resourcemanager.ha.id": f"rm{index}"})
        main_class = f"{_YARN}.resourcemanager.ResourceManager"
        return self._start(f"resourcemanager-{index}", conf, main_class, heap=192, options=options)

    def node_manager(self, conf: Path) -> Daemon:
        main_class = f"{_YARN}.nodemanager.NodeManager"
        return self._start("nodemanager", conf, main_class, heap=192, stop_signal=signal.SIGTERM)

    def _start(
        self,
        name: str,
        conf: Path,
        main_class: str,
        *arguments: str,
        heap: int,
        options: Sequence[str] = (),
        stop_signal: signal.Signals = signal.SIGKILL,
    ) -> Daemon:
        daemon = Daemon(
            name,
            java(
                main_class,
                *arguments,
                class_path=f"{conf}:{self._class_path}",
                heap_megabytes=heap,
                options=[
                    *_OPENS,
                    *options,
                    f"-Djava.io.tmpdir={self._folder}",
                    f"-Dlog4j.configuration={(self._folder / 'conf' / 'log4j.properties').as_uri()}",
                ],
            ),
            folder=self._folder,
            log=self._folder / f"{name}.log",
            environment=_environment(self._folder, conf),
            stop_signal=stop_signal,
        )
        self._stack.callback(daemon.stop)
        return daemon


def _yarn_settings(folder: Path, client: Path, zookeeper_port: int, web_ports: list[int]) -> dict[str, object]:
    settings: dict[str, object] = {
        "yarn.resourcemanager.ha.enabled": "true",
        "yarn.resourcemanager.cluster-id": "flinkx",
        "yarn.resourcemanager.ha.rm-ids": ",".join(f"rm{index}" for index in range(len(web_ports))),
        "hadoop.zk.address": f"127.0.0.1:{zookeeper_port}",
        "hadoop.zk.timeout-ms": 3000,
        "hadoop.zk.num-retries": 100,
        "hadoop.zk.retry-interval-ms": 200,
        "yarn.resourcemanager.recovery.enabled": "true",
        "yarn.resourcemanager.store.class": f"{_YARN}.resourcemanager.recovery.ZKRMStateStore",
        "yarn.resourcemanager.connect.retry-interval.ms": 500,
        "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms": 200,
        "yarn.client.failover-sleep-base-ms": 100,
        "yarn.client.failover-sleep-max-ms": 1000,
        "yarn.nodemanager.address": f"{HOST}:{free_port()}",
        "yarn.nodemanager.localizer.address": f"{HOST}:{free_port()}",
        "yarn.nodemanager.webapp.address": f"{HOST}:{free_port()}",
        "yarn.nodemanager.resource.memory-mb": 8192,
        "yarn.nodemanager.resource.cpu-vcores": 16,
        "yarn.nodemanager.vmem-check-enabled": "false",
        "yarn.nodemanager.pmem-check-enabled": "false",
        "yarn.nodemanager.disk-health-checker.enable": "false",
        "yarn.nodemanager.local-dirs": folder / "node",
        "yarn.nodemanager.log-dirs": folder / "container-logs",
        "yarn.node-attribute.fs-store.root-dir": (folder / "attributes").as_uri(),
        "yarn.scheduler.minimum-allocation-mb": 128,
        "yarn.application.classpath": f"{client},{_client_jars()}/*",
    }
    for index, web_port in enumerate(web_ports):
        settings[f"yarn.resourcemanager.hostname.rm{index}"] = HOST
        settings[f"yarn.resourcemanager.webapp.address.rm{index}"] = f"{HOST}:{web_port}"
        for name in _RPC_ADDRESSES:
            settings[f"yarn.resourcemanager.{name}.rm{index}"] = f"{HOST}:{free_port()}"
    return settings


def _write_conf(conf: Path, folder: Path, yarn_settings: Mapping[str, object]) -> None:
    conf.mkdir()
    scheduler: dict[str, object] = {
        "yarn.scheduler.capacity.root.queues": ",".join(QUEUES),
        "yarn.scheduler.capacity.maximum-am-resource-percent": "1.0",
    }
    for queue in QUEUES:
        scheduler[f"yarn.scheduler.capacity.root.{queue}.capacity"] = 100 / len(QUEUES)
        scheduler[f"yarn.scheduler.capacity.root.{queue}.maximum-capacity"] = 100
    write_site(conf / "core-site.xml", {"fs.defaultFS": "file:///", "hadoop.tmp.dir": folder / "tmp"})
    write_site(conf / "yarn-site.xml", yarn_settings)
    write_site(conf / "capacity-scheduler.xml", scheduler)
    (conf / "log4j.properties").write_text(
        "log4j.rootLogger=INFO,console\nlog4j.appender.console=org.apache.log4j.ConsoleAppender\n"
        "log4j.appender.console.layout=org.apache.log4j.PatternLayout\n"
        "log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n\n"
    )


def write_site(path: Path, settings: Mapping[str, object]) -> None:
    """Write a Hadoop configuration file."""
    lines = (
        f"<property><name>{escape(name)}</name><value>{escape(str(value))}</value></property>"
        for name, value in settings.items()
    )
    path.write_text("\n".join(['<?xml version="1.0"?>', "<configuration>", *lines, "</configuration>", ""]))


def _client_jars() -> Path:
    return jars(_CLIENT_POM, "hadoop-client-3.4.2")


def _environment(folder: Path, conf: Path) -> dict[str, str]:
    left_out = ("FLINK_", "PYTHON", "HADOOP_", "YARN_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    places = {"JAVA_HOME": find_java_home(), "HADOOP_CONF_DIR": conf, "YARN_CONF_DIR": conf, "TMPDIR": folder}
    return {**kept, **{name: str(path) for name, path in places.items()}, "HADOOP_USER_NAME": "flinkx"}


def _get(address: str) -> Any:
    """JSON from an address; None when there is no (good) answer."""
    with contextlib.suppress(OSError, ValueError), _NO_PROXY.open(address, timeout=5) as answer:
        return json.load(answer)
    return None


@contextlib.contextmanager
def protected_resource_manager(keytab: Path, kerberos_configuration: Path) -> Iterator[Path]:
    """Start a ResourceManager alone whose web interface asks for Kerberos; yields a client's configuration folder.

    Args:
        keytab: keys of the principal HTTP/localhost.
        kerberos_configuration: krb5.conf.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="flinkx-yarn-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        port, conf, secret = free_port(), folder / "conf", folder / "secret"
        secret.write_text("the key that cookies are signed with")
        settings = {f"yarn.resourcemanager.{name}": f"{HOST}:{free_port()}" for name in _RPC_ADDRESSES}
        settings |= {
            "yarn.resourcemanager.webapp.address": f"{HOST}:{port}",
            "hadoop.http.filter.initializers": "org.apache.hadoop.security.AuthenticationFilterInitializer",
            "hadoop.http.authentication.type": "kerberos",
            "hadoop.http.authentication.kerberos.principal": f"HTTP/{HOST}",
            "hadoop.http.authentication.kerberos.keytab": str(keytab),
            "hadoop.http.authentication.signature.secret.file": str(secret),
        }
        _write_conf(conf, folder, settings)
        start = _Starter(folder, f"{jars(HADOOP_POM, HADOOP)}/*", stack)
        daemon = start.resource_manager(0, settings, [f"-Djava.security.krb5.conf={kerberos_configuration}"])
        daemon.process.await_ready(lambda: _ACTIVE in daemon.process.log.read_text(), "ResourceManager")
        yield conf
