"""A real, highly available HDFS for tests: two NameNodes and a DataNode in one JVM, on free ports, owned by the run.

The jars come from Maven once and stay in the user's cache folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.maven import jars
from tests.servers import LOCALHOST, await_condition, free_port

_SOURCES = Path(__file__).parent / "integration" / "files"
HADOOP = "hadoop-3.4.2"
HADOOP_POM = _SOURCES / "hadoop-pom.xml"
_START_SECONDS = 120
_ANSWER_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class HDFS:
    """A running HDFS; `hadoop_config` is what a job's `hadoopConfig` says."""

    default_fs: str
    hadoop_config: Mapping[str, str]
    _process: subprocess.Popen[str]
    _answers: Path

    def failover(self, number: int) -> None:
        """Make NameNode `number` (0 or 1) the active one."""
        self._command(f"failover {number}")

    def _command(self, line: str) -> None:
        assert self._process.stdin is not None
        before = self._answers.read_text().count("\n")
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        await_condition(lambda: self._answers.read_text().count("\n") > before, _ANSWER_SECONDS, line)


@contextlib.contextmanager
def hdfs_server() -> Iterator[HDFS]:
    """Start an HDFS; it ends with the block, or when this process ends and its standard input closes."""
    hadoop = jars(HADOOP_POM, HADOOP)
    ports = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="flinkx-hdfs-") as name:
        folder = Path(name)
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [
                    "java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                    "--add-opens", "java.base/java.lang=ALL-UNNAMED", "-cp", f"{hadoop}/*",
                    str(_SOURCES / "HDFSServer.java"), str(folder), *map(str, ports),
                ],
                cwd=folder, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, text=True,
                start_new_session=True,
            )  # fmt: skip
            try:
                yield _await_ready(process, folder, ports)
            finally:
                process.kill()
                process.wait()


def _await_ready(process: subprocess.Popen[str], folder: Path, ports: tuple[int, int]) -> HDFS:
    answers = folder / "answers"

    def ready() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"HDFS ended with {process.returncode}:\n{(folder / 'log').read_text()[-3000:]}")
        return answers.exists() and answers.read_text() != ""

    await_condition(ready, _START_SECONDS, "HDFS", interval=0.2)
    settings = {
        "dfs.nameservices": "ns1",
        "dfs.ha.namenodes.ns1": "nn1,nn2",
        "dfs.namenode.rpc-address.ns1.nn1": f"{LOCALHOST}:{ports[0]}",
        "dfs.namenode.rpc-address.ns1.nn2": f"{LOCALHOST}:{ports[1]}",
        "dfs.client.failover.proxy.provider.ns1": (
            "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"
        ),
        "dfs.replication": "1",
    }
    return HDFS("hdfs://ns1", settings, process, answers)
