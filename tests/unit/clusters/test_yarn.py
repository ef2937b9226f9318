"""What a real YARN cannot be made to show: answers as recorded from Hadoop 3.4.2, over real HTTP."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flinkx.clusters.settings import Tls
from airflow_provider_flinkx.clusters.yarn import find_session, resource_managers
from airflow_provider_flinkx.exceptions import (
    ClusterError,
    ClusterUnreachableError,
    JobFileError,
    MissingDriverError,
)
from tests.yarn_cluster import write_site

_HA = {"yarn.resourcemanager.ha.enabled": "true", "yarn.resourcemanager.ha.rm-ids": "rm1, rm2"}
_INFO = "/ws/v1/cluster/info"
_APPS = "/ws/v1/cluster/apps"
Answer = tuple[int, Mapping[str, str], object]


@pytest.mark.parametrize(
    ("settings", "addresses"),
    [
        pytest.param({"yarn.resourcemanager.hostname": "rm"}, ["http://rm:8088"], id="default port"),
        pytest.param({"yarn.resourcemanager.webapp.address": "rm:80"}, ["http://rm:80"], id="port"),
        pytest.param(
            {"yarn.resourcemanager.hostname": "rm", "yarn.resourcemanager.webapp.address": "0.0.0.0:80"},
            ["http://rm:80"],
            id="listens everywhere",
        ),
        pytest.param(
            {"yarn.resourcemanager.hostname": "rm", "yarn.http.policy": "HTTPS_ONLY"}, ["https://rm:8090"], id="https"
        ),
        pytest.param(
            {
                **_HA,
                "yarn.resourcemanager.hostname.rm1": "one",
                "yarn.resourcemanager.webapp.address.rm2": "two:80",
                "yarn.resourcemanager.webapp.https.address.rm2": "two:443",
            },
            ["http://one:8088", "http://two:80"],
            id="two",
        ),
        pytest.param(
            {
                **_HA,
                "yarn.http.policy": "HTTPS_ONLY",
                "yarn.resourcemanager.hostname.rm1": "one",
                "yarn.resourcemanager.webapp.address.rm2": "two:80",
                "yarn.resourcemanager.webapp.https.address.rm2": "two:443",
            },
            ["https://one:8090", "https://two:443"],
            id="two with https",
        ),
    ],
)
def test_addresses(settings: dict[str, str], addresses: list[str]) -> None:
    assert list(resource_managers(settings)) == addresses


@pytest.mark.parametrize(
    "settings",
    [{}, {"yarn.resourcemanager.hostname": "0.0.0.0"}, {"yarn.resourcemanager.webapp.address": "${unknown}:8088"}],
)
def test_no_address(settings: dict[str, str]) -> None:
    with pytest.raises(JobFileError, match="names no ResourceManager"):
        resource_managers(settings)


def test_text_that_is_no_application_id(tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match=r"'\.\./info' is no YARN application id"):
        find_session(tmp_path, application_id="../info")


def test_most_memory_among_those_named_so(tmp_path: Path) -> None:
    apps = [
        _app(1, "Flink session cluster", allocatedMB=1024),
        _app(2, "Flink session of the night", allocatedMB=4096),
        _app(3, "A larger one", allocatedMB=9999),
    ]
    with _yarn(tmp_path, {_APPS: _json(apps)}):
        assert find_session(tmp_path).application_id == "application_1795385978915_0002"


def test_the_one_with_more_cores_among_equals(tmp_path: Path) -> None:
    apps = [
        _app(1, "Flink session", allocatedMB=1024, allocatedVCores=1),
        _app(2, "Flink session", allocatedMB=1024, allocatedVCores=2),
    ]
    with _yarn(tmp_path, {_APPS: _json(apps)}):
        assert find_session(tmp_path).application_id == "application_1795385978915_0002"


def test_an_application_of_its_own_is_no_session(tmp_path: Path) -> None:
    with _server({"/v1/jobmanager/config": _json([{"key": "execution.target", "value": "yarn-application"}])}) as place:
        apps = [_app(1, "nightly load", amRPCAddress=place)]
        with (
            _yarn(tmp_path, {_APPS: _json(apps)}),
            pytest.raises(
                ClusterError, match=r"no Flink session, but 'nightly load' \(application_1795385978915_0001\)"
            ),
        ):
            find_session(tmp_path)


def test_a_session_that_waits_for_its_container_is_waited_for(tmp_path: Path) -> None:
    apps = [_app(1, "Flink session", state="ACCEPTED", amRPCAddress="N/A:-1", allocatedMB=-1)]
    with (
        _yarn(tmp_path, {_APPS: _json(apps)}),
        pytest.raises(ClusterUnreachableError, match="has no JobManager yet: it is ACCEPTED"),
    ):
        find_session(tmp_path)


def test_no_application_at_all(tmp_path: Path) -> None:
    with (
        _yarn(tmp_path, {_APPS: (200, {}, {"apps": None})}),
        pytest.raises(ClusterError, match="no Flink session in queue etl, but no Flink application at all"),
    ):
        find_session(tmp_path, queue="etl")


def test_application_of_another_type(tmp_path: Path) -> None:
    app = _app(1, "word count", applicationType="MAPREDUCE")
    with (
        _yarn(tmp_path, {f"{_APPS}/{app['id']}": (200, {}, {"app": app})}),
        pytest.raises(ClusterError, match="is of type MAPREDUCE"),
    ):
        find_session(tmp_path, application_id=app["id"])


def test_a_standby_is_not_followed(tmp_path: Path) -> None:
    with (
        _yarn(tmp_path, {_INFO: (307, {"Location": "http://192.0.2.1:8088/"}, {})}) as place,
        pytest.raises(ClusterUnreachableError, match=f"http://{place} answers 307"),
    ):
        find_session(tmp_path)


def test_a_server_that_never_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        write_site(tmp_path / "yarn-site.xml", {"yarn.resourcemanager.webapp.address": place})

        with pytest.raises(ClusterUnreachableError, match=f"http://{place} does not answer"):
            find_session(tmp_path)


def test_kerberos_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", None)
    with (
        _yarn(tmp_path, {_INFO: (401, {"WWW-Authenticate": "Negotiate"}, {})}),
        pytest.raises(MissingDriverError, match=r"pip install 'airflow-provider-flinkx\[kerberos\]'"),
    ):
        find_session(tmp_path)


def test_refused_without_kerberos(tmp_path: Path) -> None:
    with (
        _yarn(tmp_path, {_INFO: (401, {"WWW-Authenticate": "PseudoAuth"}, {})}) as place,
        pytest.raises(ClusterError, match=f"http://{place} refuses us \\(401 Unauthorized\\)"),
    ):
        find_session(tmp_path)


def test_https_needs_the_authority_of_the_certificate(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=localhost", "-days", "2"),
            *("-addext", "subjectAltName=DNS:localhost", "-out", certificate, "-keyout", key),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with _yarn(tmp_path, {_APPS: _json([_app(1, "Flink session")])}, context):
        with pytest.raises(ClusterError, match=r"certificate of https://localhost:\d+ is not trusted"):
            find_session(tmp_path)

        assert find_session(tmp_path, tls=Tls(ca=certificate)).name == "Flink session"


def test_file_of_the_authority_is_missing(tmp_path: Path) -> None:
    write_site(tmp_path / "yarn-site.xml", {"yarn.resourcemanager.hostname": "localhost"})

    with pytest.raises(JobFileError, match=r"TLS files of the flink connection: .*No such file"):
        find_session(tmp_path, tls=Tls(ca=tmp_path / "none.pem"))


def _app(number: int, name: str, **fields: object) -> dict[str, Any]:
    return {
        "id": f"application_1795385978915_{number:04}",
        "name": name,
        "queue": "root.default",
        "state": "RUNNING",
        "trackingUrl": f"http://rm:8088/proxy/application_1795385978915_{number:04}/",
        "applicationType": "Apache Flink",
        "startedTime": 1795385985898,
        "amRPCAddress": "node1:45359",
        "allocatedMB": 768,
        "allocatedVCores": 1,
        "reservedMB": 0,
        "reservedVCores": 0,
        **fields,
    }


def _json(value: list[dict[str, Any]]) -> Answer:
    return 200, {}, {"apps": {"app": value}} if value and "id" in value[0] else value


@contextlib.contextmanager
def _yarn(folder: Path, answers: Mapping[str, Answer], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A ResourceManager that is active and gives these answers; `folder` names it."""
    active: Answer = (200, {}, {"clusterInfo": {"haState": "ACTIVE"}})
    with _server({_INFO: active, **answers}, tls) as place:
        settings = {"yarn.resourcemanager.webapp.address": place}
        if tls is not None:
            port = place.rpartition(":")[2]
            settings = {
                "yarn.http.policy": "HTTPS_ONLY",
                "yarn.resourcemanager.webapp.https.address": f"localhost:{port}",
            }
        write_site(folder / "yarn-site.xml", settings)
        yield place


@contextlib.contextmanager
def _server(answers: Mapping[str, Answer], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """`host:port` of a server that answers by path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answers[self.path.partition("?")[0]]
            text = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(text)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
