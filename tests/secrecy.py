"""Where a password could be seen by somebody whom it does not concern: processes, Flink's REST interface, files."""

from __future__ import annotations

import base64
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil

#: A place, and what stands there.
Text = tuple[str, bytes]

_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_TIMEOUT = 10

#: Flink's "REST API" page, all that GET gives; {job}, {vertex}, {manager} and {log} stand for each that there is.
_PATHS = (
    "/config", "/overview", "/jars", "/datasets", "/jobs/overview", "/jobmanager/config", "/jobmanager/environment",
    "/jobmanager/metrics", "/jobmanager/thread-dump", "/jobmanager/log", "/jobmanager/stdout", "/jobmanager/logs",
)  # fmt: skip
_JOB_PATHS = (
    "", "/config", "/plan", "/exceptions?maxExceptions=20", "/accumulators?includeSerializedValue=true", "/checkpoints",
    "/checkpoints/config", "/execution-result", "/status", "/metrics", "/jobmanager/config", "/jobmanager/environment",
    "/resource-requirements", "/rescales/overview",
)  # fmt: skip
_VERTEX_PATHS = (
    "", "/accumulators", "/subtasks/accumulators", "/subtasktimes", "/taskmanagers", "/metrics", "/subtasks/metrics",
    "/watermarks", "/backpressure", "/subtasks/0", "/subtasks/0/metrics",
)  # fmt: skip
_MANAGER_PATHS = ("", "/metrics", "/thread-dump", "/log", "/stdout", "/logs")


def places(texts: Iterable[Text], secret: str) -> list[str]:
    """The places where a secret stands, plainly, in Base64 or in UTF-16."""
    wanted = _spellings(secret)
    return [place for place, text in texts if any(one in text for one in wanted)]


def _spellings(secret: str) -> list[bytes]:
    plain = secret.encode()
    # In Base64 a text has three forms, by what stands before it; the outer letters depend on its neighbours.
    encoded = [base64.b64encode(b" " * shift + plain)[4:-4] for shift in range(3)]
    return [plain, *encoded, secret.encode("utf-16-le"), secret.encode("utf-16-be")]


def family(pids: Iterable[int]) -> Iterator[psutil.Process]:
    """Living processes and all that they have started, in turn."""
    for pid in pids:
        try:
            process = psutil.Process(pid)
            yield from (process, *process.children(recursive=True))
        except psutil.NoSuchProcess:
            continue


def of_processes(processes: Iterable[psutil.Process]) -> Iterator[Text]:
    """Arguments and environment of processes."""
    for process in processes:
        for name in ("cmdline", "environ"):
            try:
                text = Path(f"/proc/{process.pid}/{name}").read_bytes()
            except OSError:  # It has just ended.
                continue
            program = re.sub(rb"\0.*", b"", text, flags=re.DOTALL).decode(errors="replace") if name == "cmdline" else ""
            yield f"{name} of {process.pid} {program}", text


def of_files(folder: Path) -> Iterator[Text]:
    """All files below a folder; their names as well."""
    for path in folder.rglob("*"):
        try:
            content = path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:
            continue
        yield str(path), str(path).encode() + b"\n" + content


def of_rest(address: str) -> Iterator[Text]:
    """Every answer of Flink's REST interface that somebody who may only look can get.

    Args:
        address: `http://host:port` of a JobManager.
    """
    for path in _all_paths(address):
        text = _get(address, path)
        if text is not None:
            yield path, text


def _all_paths(address: str) -> Iterator[str]:
    yield from _PATHS
    yield from _logs(address, "/jobmanager")
    for job in _json(address, "/jobs/overview")["jobs"]:
        base = f"/jobs/{job['jid']}"
        yield from (base + path for path in _JOB_PATHS)
        for vertex in _json(address, base)["vertices"]:
            yield from (f"{base}/vertices/{vertex['id']}{path}" for path in _VERTEX_PATHS)
    for manager in _json(address, "/taskmanagers")["taskmanagers"]:
        base = f"/taskmanagers/{manager['id']}"
        yield from (base + path for path in _MANAGER_PATHS)
        yield from _logs(address, base)


def _logs(address: str, base: str) -> Iterator[str]:
    for log in _json(address, f"{base}/logs")["logs"]:
        yield f"{base}/logs/{urllib.parse.quote(log['name'])}"


def _json(address: str, path: str) -> Any:
    text = _get(address, path)
    assert text is not None, f"Flink has no {path}"
    return json.loads(text)


def _get(address: str, path: str) -> bytes | None:
    """An answer, an error's text as well; None where this version of Flink has nothing."""
    try:
        with _NO_PROXY.open(f"{address}/v1{path}", timeout=_TIMEOUT) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as error:
        return None if error.code == 404 else error.read()
