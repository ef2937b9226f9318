"""MariaDB that demands encryption, or forbids local files."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flinkx.exceptions import FlinkXError
from airflow_provider_flinkx.plugins.mysql.reader import MySQLReader
from tests.integration.relational.moving import move, reader, writer
from tests.servers import Database, ServerMissingError, mariadb_server

ROWS = [(1, "grün", "1.50"), (2, None, "-0.01"), (3, "x\ty\\n", "99999999.99")]


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def authority(folder: Path, name: str) -> None:
    openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.pem")  # fmt: skip


@pytest.fixture(scope="module")
def certificates() -> Iterator[Path]:
    """`ca.pem`, which signed the server's certificate, and `other.pem`, which did not."""
    folder = Path(tempfile.mkdtemp(prefix="flinkx-test-"))  # pytest's folders are closed to the server's user
    try:
        folder.chmod(0o755)
        authority(folder, "ca")
        authority(folder, "other")
        openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "server.key",
                "-out", "server.csr", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")  # fmt: skip
        openssl(folder, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", "2", "-copy_extensions", "copy", "-out", "server.pem")  # fmt: skip
        (folder / "server.key").chmod(0o644)
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server(certificates: Path) -> Iterator[Database]:
    files = {f"ssl_{kind}": certificates / f"{name}.pem" for kind, name in (("ca", "ca"), ("cert", "server"))}
    try:
        with mariadb_server(**files, ssl_key=certificates / "server.key") as database:
            yield database
    except ServerMissingError as error:
        pytest.skip(f"NOT TESTED, SERVER MISSING: {error}")


@pytest.fixture
def control(server: Database) -> Iterator[Any]:
    """A cursor of a connection that was there before; the server's settings are put back afterwards."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE TABLE source (id int PRIMARY KEY, name varchar(20), price decimal(10,2))")
        cursor.executemany("INSERT INTO source VALUES (%s, %s, %s)", ROWS)
        cursor.execute("CREATE OR REPLACE TABLE target LIKE source")
        yield cursor
        cursor.execute("SET GLOBAL require_secure_transport = OFF")
        cursor.execute("SET GLOBAL local_infile = ON")


def written(control: Any) -> list[Any]:
    control.execute("SELECT id, name, CAST(price AS CHAR) FROM target ORDER BY id")
    return list(control.fetchall())


@pytest.mark.parametrize("mode", [None, "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"])
def test_rows_move_over_encrypted_connections(
    server: Database, control: Any, certificates: Path, mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    control.execute("SET GLOBAL require_secure_transport = ON")
    monkeypatch.delattr(MySQLReader, "_rows_by_connectorx")  # it would make an open connection
    properties = {"sslMode": mode, "serverSslCert": str(certificates / "ca.pem")} if mode else {}

    moved = move(reader(server, "source", properties=properties), writer(server, "target", properties=properties))

    assert (moved.written, moved.rejects) == (3, [])
    assert written(control) == ROWS


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"sslMode": "VERIFY_CA", "serverSslCert": "other.pem"}, "certificate verify failed"),
        ({"sslMode": "VERIFY_IDENTITY", "serverSslCert": "other.pem"}, "certificate verify failed"),
        ({"serverSslCert": "other.pem"}, "certificate verify failed"),
        ({"sslMode": "DISABLED"}, "Access denied|insecure transport"),
    ],
)
def test_a_connection_that_is_not_as_safe_as_wanted_is_refused(
    server: Database, control: Any, certificates: Path, properties: dict[str, str], reason: str
) -> None:
    control.execute("SET GLOBAL require_secure_transport = ON")
    given = {name: str(certificates / value) if value.endswith("pem") else value for name, value in properties.items()}
    for action in (
        lambda: reader(server, "source", properties=given).schema,
        lambda: move(reader(server, "source", properties=given), writer(server, "target", properties=given)),
    ):
        with pytest.raises(FlinkXError, match=reason) as caught:
            action()
        message = str(caught.value)
        assert f"{server.host}:{server.port}" in message
        assert "\n" not in message
        assert server.password not in message
    assert written(control) == []


def test_without_local_files_rows_are_inserted(server: Database, control: Any) -> None:
    control.execute("SET GLOBAL local_infile = OFF")
    control.execute("SHOW GLOBAL STATUS LIKE 'Com_load'")
    loads = control.fetchall()

    assert move(reader(server, "source"), writer(server, "target")).written == 3

    assert written(control) == ROWS
    control.execute("SHOW GLOBAL STATUS LIKE 'Com_load'")
    assert control.fetchall() == loads


def test_a_login_without_a_password(server: Database, control: Any) -> None:
    control.execute("CREATE OR REPLACE USER nobody@'%' IDENTIFIED BY ''")
    control.execute("GRANT ALL ON *.* TO nobody@'%'")
    nobody = dataclasses.replace(server, user="nobody", password="")

    assert move(reader(nobody, "source"), writer(nobody, "target")).written == 3
    assert written(control) == ROWS
