"""What must be known of a cluster to run a job on it: what a `flink` connection or the `flinkx` flags become."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

Mode = Literal["local", "standalone", "yarn"]
MODES: tuple[Mode, ...] = get_args(Mode)

RECONNECT_SECONDS = 120.0
SLOT_SECONDS = 300.0


@dataclass(frozen=True)
class Tls:
    """TLS towards Flink's REST interface (and YARN's, with https).

    Args:
        ca: PEM file of the authorities that are trusted; None means those of the system.
        certificate: PEM file of the client's certificate, for mutual authentication.
        key: PEM file of its key; None when `certificate` holds it too.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """What an HTTP client needs.

        Raises:
            OSError: when a file cannot be read; ssl.SSLError, one of them, when it holds no certificate.
        """
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context


@dataclass(frozen=True)
class KerberosLogin:
    """Who we are for a Kerberos-protected ResourceManager.

    Args:
        principal: None means that of the ticket cache.
        keytab: file with its keys; None means the ticket cache.
    """

    principal: str | None = None
    keytab: Path | None = None


@dataclass(frozen=True)
class ClusterSettings:
    """Where jobs run, and how.

    Args:
        mode: a Flink of the job's own, a standalone cluster, or a session on YARN.
        rest_addresses: `http(s)://host:port` of each JobManager; standalone mode.
        flink_conf: folder with config.yaml or flink-conf.yaml; its REST address serves where none is given.
        yarn_conf: folder with yarn-site.xml and core-site.xml; yarn mode.
        application_id: the session's YARN application; None: looked for by name.
        application_name: the session's name; None: FlinkX's rule (cli.md).
        queue: YARN queue that the session must be in.
        python: interpreter that has apache-flink, for the driver process; None means this one.
        worker_python: interpreter on the nodes; with `worker_archive` a path in it.
        worker_archive: `.tgz` with the workers' Python, made by `flinkx pack`; a local path.
        tls: for https addresses.
        kerberos: None means that Hadoop's own setting decides, with the ticket cache.
        flink: Flink settings for the job, over all others.
        reconnect_timeout: seconds for which an unreachable cluster is waited for.
        slot_timeout: seconds for which free slots are waited for.
    """

    mode: Mode = "local"
    rest_addresses: tuple[str, ...] = ()
    flink_conf: Path | None = None
    yarn_conf: Path | None = None
    application_id: str | None = None
    application_name: str | None = None
    queue: str | None = None
    python: str | None = None
    worker_python: str | None = None
    worker_archive: Path | None = None
    tls: Tls | None = None
    kerberos: KerberosLogin | None = None
    flink: Mapping[str, str] = field(default_factory=dict)
    reconnect_timeout: float = RECONNECT_SECONDS
    slot_timeout: float = SLOT_SECONDS
