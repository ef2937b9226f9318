"""What the REST client makes of JobManagers that answer with errors."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from airflow_provider_flinkx.clusters.rest import FlinkRest, run_coroutine
from airflow_provider_flinkx.exceptions import ClusterUnreachableError, JobLostError

LEADER = (200, {"flink-version": "2.3.0", "taskmanagers": 1, "slots-total": 4, "slots-available": 3})
#: What a JobManager says that sends questions on to one that is dead.
FOLLOWER = (500, {"errors": ["Internal server error.", "<Exception on server side:\nCaused by: no route\n\tat a.b(c)"]})


@contextlib.contextmanager
def job_manager(status: int, answer: Mapping[str, Any]) -> Iterator[str]:
    """The address of a server that always gives the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_next_address_is_asked_when_one_fails() -> None:
    with job_manager(*FOLLOWER) as follower, job_manager(*LEADER) as leader:
        rest = FlinkRest([follower, leader])
        assert run_coroutine(rest.overview()).free_slots == 3
        assert rest.address == leader


def test_a_cluster_that_fails_to_answer_is_one_to_wait_for() -> None:
    with job_manager(*FOLLOWER) as follower, pytest.raises(ClusterUnreachableError) as caught:
        run_coroutine(FlinkRest([follower]).overview())
    assert str(caught.value) == f"no Flink answers at {follower}: it answers 500, no route"


def test_a_job_that_is_not_there_is_lost() -> None:
    with job_manager(404, {"errors": ["Job 00 not found"]}) as address, pytest.raises(JobLostError, match="00"):
        run_coroutine(FlinkRest([address]).get("/jobs/00/exceptions"))
