"""A real Kerberos for tests: MIT's KDC out of the Debian package, with a realm of its own, on a free port."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.servers import LOCALHOST, OwnedProcess, free_port, program

REALM = "FLINKX.TEST"


@dataclasses.dataclass(frozen=True)
class Kerberos:
    """A running KDC.

    Attributes:
        configuration: krb5.conf of its clients, for `KRB5_CONFIG` and `java.security.krb5.conf`.
    """

    configuration: Path
    _folder: Path
    _environment: dict[str, str]

    def keytab(self, principal: str) -> Path:
        """Make a principal (`name` or `HTTP/host`) and write its keys to a new file."""
        path = self._folder / f"{principal.replace('/', '-')}.keytab"
        _run(["kadmin.local", "-q", f"addprinc -randkey {principal}"], self._environment)
        _run(["kadmin.local", "-q", f"ktadd -k {path} {principal}"], self._environment)
        return path


@contextlib.contextmanager
def kerberos() -> Iterator[Kerberos]:
    """Start a KDC; it ends with the block, or with the test process."""
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="flinkx-kerberos-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        port = free_port()
        client, server = folder / "krb5.conf", folder / "kdc.conf"
        client.write_text(
            f"[libdefaults]\ndefault_realm = {REALM}\ndns_lookup_kdc = false\ndns_lookup_realm = false\n"
            "dns_canonicalize_hostname = false\nrdns = false\nudp_preference_limit = 1\n"
            f"[realms]\n{REALM} = {{\n kdc = {LOCALHOST}:{port}\n}}\n[domain_realm]\nlocalhost = {REALM}\n"
        )
        server.write_text(
            f"[kdcdefaults]\nkdc_listen = {LOCALHOST}:{port}\nkdc_tcp_listen = {LOCALHOST}:{port}\n"
            f"[realms]\n{REALM} = {{\n database_name = {folder / 'principals'}\n key_stash_file = {folder / 'stash'}\n"
            f" acl_file = {folder / 'acl'}\n}}\n[logging]\nkdc = STDERR\n"
        )
        environment = {**os.environ, "KRB5_CONFIG": str(client), "KRB5_KDC_PROFILE": str(server)}
        _run(["kdb5_util", "create", "-s", "-P", "master", "-r", REALM], environment)
        command = [program("krb5kdc", "krb5-kdc"), "-n", "-P", str(folder / "pid")]
        daemon = OwnedProcess(command, log=folder / "kdc.log", cwd=folder, environment=environment)
        stack.callback(daemon.stop)
        daemon.await_ready(lambda: daemon.listens_on(port), "krb5kdc")
        yield Kerberos(client, folder, environment)


def _run(command: list[str], environment: dict[str, str]) -> None:
    path = program(command[0], "krb5-kdc krb5-admin-server")
    done = subprocess.run([path, *command[1:]], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
