"""A standalone cluster, and a session on YARN, whose REST interface wants TLS, and a certificate of whoever asks."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flinkx.clusters.session import SessionCluster
from airflow_provider_flinkx.clusters.settings import ClusterSettings, Tls
from airflow_provider_flinkx.exceptions import ClusterError, ClusterUnreachableError
from tests.flink_cluster import FlinkCluster, flink_cluster
from tests.servers import LOCALHOST
from tests.yarn_cluster import HOST, YarnCluster

ROWS = 100
_STORE_PASSWORD = "changeit"
_KEY = ["-newkey", "rsa:2048", "-nodes"]


class Authority:
    """A certificate authority and what it signs, as files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._openssl("req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=tests")

    def sign(self, name: str) -> None:
        """Make `name`.key and `name`.pem, for a host of this machine."""
        (self.folder / "extensions").write_text(f"subjectAltName=IP:{LOCALHOST},DNS:{HOST}\n")
        self._openssl("req", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "extensions"]
        self._openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")

    def store(self, name: str) -> str:
        """A key store for Java; as a trust store it trusts `name`."""
        export = ["-in", f"{name}.pem", "-inkey", f"{name}.key", "-out", f"{name}.p12", "-name", name]
        self._openssl("pkcs12", "-export", *export, "-password", f"pass:{_STORE_PASSWORD}")
        return str(self.folder / f"{name}.p12")

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tls(authority: Authority) -> Tls:
    """What a client needs."""
    authority.sign("client")
    return Tls(authority.folder / "ca.pem", authority.folder / "client.pem", authority.folder / "client.key")


@pytest.fixture(scope="module")
def settings(authority: Authority) -> dict[str, Any]:
    """Of a cluster."""
    authority.sign("server")
    return {
        "security.ssl.rest.enabled": True,
        "security.ssl.rest.authentication-enabled": True,
        "security.ssl.rest.keystore": authority.store("server"),
        "security.ssl.rest.keystore-password": _STORE_PASSWORD,
        "security.ssl.rest.key-password": _STORE_PASSWORD,
        "security.ssl.rest.truststore": authority.store("ca"),
        "security.ssl.rest.truststore-password": _STORE_PASSWORD,
    }


@pytest.fixture(scope="module")
def cluster(settings: dict[str, Any], tls: Tls) -> Iterator[FlinkCluster]:
    with flink_cluster(task_managers=1, settings=settings, tls=tls.context()) as running:
        yield running


def job() -> dict[str, Any]:
    reader = {"column": [{"name": "id", "type": "id"}], "sliceRecordCount": [ROWS]}
    content = {
        "reader": {"name": "streamreader", "parameter": reader},
        "writer": {"name": "streamwriter", "parameter": {}},
    }
    return {"job": {"setting": {}, "content": [content]}}


def test_a_job_with_a_certificate(cluster: FlinkCluster, tls: Tls) -> None:
    session = SessionCluster(ClusterSettings(mode="standalone", flink_conf=cluster.conf_folder, tls=tls))
    assert session.run(job(), job_key="tls")["numWrite"] == ROWS
    assert session.address == cluster.rest_address
    assert cluster.rest_address.startswith("https:")


def test_an_address_without_https(cluster: FlinkCluster) -> None:
    address = cluster.rest_address.replace("https:", "http:")
    with pytest.raises(ClusterError, match=rf"Flink at {address} wants TLS: write its address as https://"):
        SessionCluster(ClusterSettings(mode="standalone", rest_addresses=(address,))).overview()


def test_a_job_in_a_session_on_yarn(shared_yarn: YarnCluster, settings: dict[str, Any], tls: Tls) -> None:
    shared_yarn.repair()
    running = shared_yarn.start_session("behind TLS", settings=settings)
    try:
        found = ClusterSettings(
            mode="yarn", yarn_conf=shared_yarn.conf_folder, application_id=running.application_id, tls=tls
        )
        with pytest.raises(ClusterError, match=r"add security\.ssl\.rest\.enabled=true to the Flink settings"):
            SessionCluster(found).overview()
        session = SessionCluster(dataclasses.replace(found, flink={"security.ssl.rest.enabled": "true"}))
        assert session.run(job(), job_key="tls")["numWrite"] == ROWS
        # YARN's proxy cannot show its pages.
        assert session.job_url("j").startswith(f"{running.rest_address}/#/job/")
    finally:
        shared_yarn.end_session(running, tls.context())


@pytest.mark.parametrize(
    ("left_out", "problem"), [({"certificate": None, "key": None}, "certificate"), ({"ca": None}, "verify failed")]
)
def test_without_a_certificate_or_an_authority(
    cluster: FlinkCluster, tls: Tls, left_out: dict[str, None], problem: str
) -> None:
    settings = ClusterSettings(
        mode="standalone", rest_addresses=cluster.rest_addresses, tls=dataclasses.replace(tls, **left_out)
    )
    with pytest.raises(ClusterUnreachableError, match=problem):
        SessionCluster(settings).overview()
