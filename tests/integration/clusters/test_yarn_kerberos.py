"""A real ResourceManager behind SPNEGO, and a real KDC."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_flinkx.clusters.settings import KerberosLogin
from airflow_provider_flinkx.clusters.yarn import find_session
from airflow_provider_flinkx.exceptions import AccessDeniedError, ClusterError
from tests.conftest import or_skip
from tests.kerberos import REALM, Kerberos, kerberos
from tests.yarn_cluster import protected_resource_manager

pytestmark = pytest.mark.kerberos


@pytest.fixture(scope="module")
def kdc() -> Iterator[Kerberos]:
    with or_skip(kerberos) as running:
        yield running


@pytest.fixture(scope="module")
def conf_folder(kdc: Kerberos) -> Iterator[Path]:
    with or_skip(lambda: protected_resource_manager(kdc.keytab("HTTP/localhost"), kdc.configuration)) as folder:
        yield folder


@pytest.fixture(autouse=True)
def realm(kdc: Kerberos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRB5_CONFIG", str(kdc.configuration))
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path / 'tickets'}")


@pytest.mark.parametrize("principal", ["flinkx", f"flinkx@{REALM}", None])
def test_keytab_opens_the_door(kdc: Kerberos, conf_folder: Path, tmp_path: Path, principal: str | None) -> None:
    login = KerberosLogin(principal, kdc.keytab("flinkx"))

    with pytest.raises(ClusterError, match="no Flink session, but no Flink application at all"):
        find_session(conf_folder, kerberos=login)

    assert not (tmp_path / "tickets").exists()


def test_ticket_cache_opens_the_door(
    kdc: Kerberos, conf_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _store_ticket(kdc.keytab("flinkx"), tmp_path / "tickets")

    with pytest.raises(ClusterError, match="no Flink session, but no Flink application at all"):
        find_session(conf_folder)


def test_nobody_is_refused(conf_folder: Path) -> None:
    with pytest.raises(AccessDeniedError, match="Kerberos gives the default principal of the ticket cache no ticket"):
        find_session(conf_folder)


def test_keytab_of_another(kdc: Kerberos, conf_folder: Path) -> None:
    login = KerberosLogin("somebody", kdc.keytab("flinkx"))

    with pytest.raises(
        AccessDeniedError, match=r"Kerberos gives somebody of keytab .* no ticket for HTTP at localhost"
    ):
        find_session(conf_folder, kerberos=login)


def _store_ticket(keytab: Path, cache: Path) -> None:
    """What `kinit -kt` does."""
    import gssapi

    name = gssapi.Name("flinkx", gssapi.NameType.kerberos_principal)
    store = {"client_keytab": f"FILE:{keytab}", "ccache": f"FILE:{cache}"}
    credentials = gssapi.Credentials(name=name, usage="initiate", store=store)
    with contextlib.suppress(gssapi.exceptions.GSSError):
        assert credentials.lifetime
