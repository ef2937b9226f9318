"""The Flink session on YARN: found over the ResourceManagers' REST interface, without Hadoop on this machine.

Paths and fields are those of Hadoop's "ResourceManager REST API's" page. The session's JobManager is spoken to
directly: the ResourceManager's proxy passes GET requests only.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as FuturesTimeoutError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from airflow_provider_flinkx.clusters.hadoop_configuration import read_hadoop_configuration
from airflow_provider_flinkx.clusters.settings import KerberosLogin, Tls
from airflow_provider_flinkx.clusters.spnego import NegotiateAuth
from airflow_provider_flinkx.exceptions import ClusterError, ClusterUnreachableError, JobFileError

_APPLICATION_TYPE = "Apache Flink"
_SESSION_PREFIX = "Flink session"  # cli.md, "Modes"
Application = Mapping[str, Any]

#: A ResourceManager that took over shows running applications as accepted, until they have reported to it.
_LIVING = ("RUNNING", "ACCEPTED", "SUBMITTED", "NEW_SAVING", "NEW")
_TIMEOUT = 3.0
#: For all ResourceManagers together; with the questions that follow a search ends within 15 seconds.
_ACTIVE_SECONDS = 5.0
_PORTS = {"http": 8088, "https": 8090}
_SHOWN = 5


@dataclass(frozen=True)
class YarnSession:
    """A running Flink session.

    Args:
        application_id: YARN's id.
        name: the application's name.
        rest_address: `http://host:port` of its JobManager.
        tracking_url: its pages through the ResourceManager, for people.
    """

    application_id: str
    name: str
    rest_address: str
    tracking_url: str


def find_session(
    conf_folder: Path,
    *,
    application_id: str | None = None,
    name: str | None = None,
    queue: str | None = None,
    kerberos: KerberosLogin | None = None,
    tls: Tls | None = None,
) -> YarnSession:
    """Find a running Flink session, within 15 seconds even when a ResourceManager hangs.

    By id or by name; else by FlinkX's rule (cli.md, "Modes"): the one with most memory among those whose names begin
    with "Flink session", then among all sessions.

    Args:
        conf_folder: holds yarn-site.xml and, where it is needed, core-site.xml.
        application_id: as YARN prints it; name and queue are not looked at then.
        name: the whole name of the application.
        queue: last part or whole path of the queue's name; None means any.
        kerberos: who we are, if the ResourceManager asks (SPNEGO); None means the ticket cache.
        tls: for ResourceManagers that speak https.

    Raises:
        JobFileError: the folder's files name no ResourceManager, or the id is none.
        ClusterUnreachableError: no ResourceManager is active, or the session is not (again) known to run. Both pass
            within seconds after the active ResourceManager died.
        ClusterError: YARN refuses us, or has no such session.
        AccessDeniedError: Kerberos gives us no ticket.
        MissingDriverError: Kerberos is asked for and the extra `kerberos` is not installed.
    """
    if application_id is not None and not re.fullmatch(r"application_\d+_\d+", application_id):
        raise JobFileError(
            f"{application_id!r} is no YARN application id, which looks like application_1700000000000_0001"
        )
    addresses = resource_managers(read_hadoop_configuration(conf_folder))
    with httpx.Client(
        timeout=_TIMEOUT, verify=_verification(tls), trust_env=False, auth=NegotiateAuth(kerberos)
    ) as client:
        yarn = _ResourceManager(client, _active(client, addresses))
        if application_id is not None:
            return _session(yarn.application(application_id))
        apps = [app for app in yarn.flink_applications() if queue is None or _is_in(app, queue)]
    chosen = _chosen(apps, name)
    if chosen is None:
        raise ClusterError(_nothing_found(yarn.address, name, queue, apps))
    return _session(chosen)


def resource_managers(settings: Mapping[str, str]) -> tuple[str, ...]:
    """Web addresses (`http(s)://host:port`) of all ResourceManagers that yarn-site.xml names.

    Raises:
        JobFileError: when there is none.
    """
    ids = [""]
    if settings.get("yarn.resourcemanager.ha.enabled", "false").lower() == "true":
        ids = [f".{part.strip()}" for part in settings.get("yarn.resourcemanager.ha.rm-ids", "").split(",")]
    scheme = "https" if settings.get("yarn.http.policy", "HTTP_ONLY").upper() == "HTTPS_ONLY" else "http"
    return tuple(f"{scheme}://{_web_address(settings, suffix, scheme)}" for suffix in ids)


def _web_address(settings: Mapping[str, str], suffix: str, scheme: str) -> str:
    """`host:port` of the ResourceManager whose settings end with `suffix`."""
    key = "yarn.resourcemanager.webapp.https.address" if scheme == "https" else "yarn.resourcemanager.webapp.address"
    host, _, port = settings.get(key + suffix, "").partition(":")
    if host in ("", "0.0.0.0"):  # noqa: S104 - it listens everywhere, which is no place to go to
        host = settings.get(f"yarn.resourcemanager.hostname{suffix}", "")
    if host in ("", "0.0.0.0") or "${" in host + port:  # noqa: S104
        raise JobFileError(
            f"yarn-site.xml names no ResourceManager: neither {key}{suffix} nor yarn.resourcemanager.hostname{suffix} "
            "has a host"
        )
    return f"{host}:{port or _PORTS[scheme]}"


def _verification(tls: Tls | None) -> ssl.SSLContext | bool:
    if tls is None:
        return True
    try:
        return tls.context()
    except OSError as error:
        raise JobFileError(f"TLS files of the flink connection: {error}") from error


def _active(client: httpx.Client, addresses: Sequence[str]) -> str:
    """The active one of several ResourceManagers; all are asked at once, so one that hangs holds up nobody."""
    said = {address: f"{address} does not answer within {_ACTIVE_SECONDS:.0f} s" for address in addresses}
    pool = ThreadPoolExecutor(len(addresses), thread_name_prefix="resource-manager")
    try:
        futures = {pool.submit(_state, client, address): address for address in addresses}
        for future in as_completed(futures, _ACTIVE_SECONDS):
            address = futures[future]
            try:
                state = future.result()
            except ClusterUnreachableError as error:
                said[address] = str(error)
                continue
            if state == "ACTIVE":
                return address
            said[address] = f"{address} is {state}"
    except FuturesTimeoutError:
        pass
    finally:
        pool.shutdown(wait=False)
    raise ClusterUnreachableError(
        f"no active ResourceManager: {'; '.join(said.values())}; is YARN up, and yarnconf its folder?"
    )


def _state(client: httpx.Client, address: str) -> str:
    """ACTIVE or STANDBY."""
    return str(_json(client, f"{address}/ws/v1/cluster/info")["clusterInfo"]["haState"])


class _NotThereError(ClusterUnreachableError):
    """The server answers, but not at this path."""


class _ResourceManager:
    """The active ResourceManager."""

    def __init__(self, client: httpx.Client, address: str) -> None:
        self._client = client
        self.address = address

    def application(self, application_id: str) -> Application:
        """A Flink application that has not ended."""
        try:
            app: Application = _json(self._client, f"{self.address}/ws/v1/cluster/apps/{application_id}")["app"]
        except _NotThereError:
            raise ClusterError(
                f"YARN at {self.address} knows no {application_id}: `yarn application -list` shows what runs"
            ) from None
        if app["applicationType"] != _APPLICATION_TYPE:
            raise ClusterError(
                f"{_described(app)} on YARN is of type {app['applicationType']}, not {_APPLICATION_TYPE}"
            )
        if app["state"] not in _LIVING:
            raise ClusterError(f"{_described(app)} on YARN is {app['state']}, not RUNNING: start a session again")
        return app

    def flink_applications(self) -> Sequence[Application]:
        """All Flink applications that have not ended, the running ones first, and those with most memory."""
        wanted = {"applicationTypes": _APPLICATION_TYPE, "states": ",".join(_LIVING)}
        answer = _json(self._client, f"{self.address}/ws/v1/cluster/apps", wanted)
        apps = (answer["apps"] or {}).get("app") or []  # YARN says null for none
        return sorted(apps, key=_size, reverse=True)


def _json(client: httpx.Client, url: str, parameters: Mapping[str, str] | None = None) -> Any:
    """JSON of a GET request.

    Raises:
        _NotThereError: there is no such thing.
        ClusterUnreachableError: there is no answer, or one of a server that is not ready.
        ClusterError: we are refused, or do not trust it.
    """
    server = url.partition("/ws/")[0]
    try:
        response = client.get(url, params=parameters)
    except httpx.HTTPError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise ClusterError(
                f"the certificate of {server} is not trusted: name its authority's file (CA) in the flink connection"
            ) from error
        raise ClusterUnreachableError(f"{server} does not answer ({error or type(error).__name__})") from error
    if response.status_code in (401, 403):
        raise ClusterError(
            f"YARN's ResourceManager at {server} refuses us ({response.status_code} {response.reason_phrase}): "
            "give the flink connection a Kerberos principal and keytab that may see YARN's applications"
        )
    if response.status_code == 404:
        raise _NotThereError(f"{server} has no ResourceManager's interface (404)")
    if response.status_code != 200 or "json" not in response.headers.get("Content-Type", ""):
        raise ClusterUnreachableError(f"{server} answers {response.status_code} {response.reason_phrase}, without JSON")
    return response.json()


def _chosen(apps: Sequence[Application], name: str | None) -> Application | None:
    """The first of this name, else by FlinkX's rule; one that does not run (yet) only if no other will do."""
    if name is not None:
        return next((app for app in apps if app["name"] == name), None)
    named_so = (app for app in apps if app["name"].startswith(_SESSION_PREFIX))
    return next(named_so, None) or _first_session(apps) or next((app for app in apps if not _is_running(app)), None)


def _size(app: Application) -> tuple[bool, int, int, int]:
    """Running; memory, then cores as FlinkX has it; the newest of equals."""
    memory = app.get("allocatedMB", 0) + app.get("reservedMB", 0)
    cores = app.get("allocatedVCores", 0) + app.get("reservedVCores", 0)
    return _is_running(app), memory, cores, app.get("startedTime", 0)


def _is_running(app: Application) -> bool:
    state: str = app["state"]
    return state == "RUNNING"


def _is_in(app: Application, queue: str) -> bool:
    """YARN gives whole paths ("root.default"), users write the last part, as they may to submit."""
    path = app["queue"]
    return queue in (path, path.removeprefix("root."), path.rpartition(".")[2])


def _first_session(apps: Sequence[Application]) -> Application | None:
    """The first that is a session, whatever its name."""
    with ThreadPoolExecutor(thread_name_prefix="job-manager") as pool:
        sessions = pool.map(_is_session, apps)
        return next((app for app, is_session in zip(apps, sessions, strict=True) if is_session), None)


def _is_session(app: Application) -> bool:
    """Whether it is made for many jobs: one in application mode would end with its own job, and ours with it."""
    # Asked without `tls`, which is the ResourceManager's: a JobManager that wants TLS is to be named.
    try:
        settings = httpx.get(f"{_rest_address(app)}/v1/jobmanager/config", timeout=_TIMEOUT, trust_env=False).json()
    except (ClusterError, httpx.HTTPError, ValueError):
        return False
    return {"key": "execution.target", "value": "yarn-session"} in settings


def _session(app: Application) -> YarnSession:
    return YarnSession(app["id"], app["name"], _rest_address(app), app.get("trackingUrl") or "")


def _rest_address(app: Application) -> str:
    """Flink registers its REST address where YARN has the RPC address of an application."""
    address = app.get("amRPCAddress") or ""
    if not _is_running(app) or not re.fullmatch(r"\S+:[1-9]\d*", address):
        raise ClusterUnreachableError(f"{_described(app)} on YARN has no JobManager yet: it is {app['state']}")
    return f"http://{address}"


def _described(app: Application) -> str:
    return f"{app['name']!r} ({app['id']})"


def _nothing_found(address: str, name: str | None, queue: str | None, running: Sequence[Application]) -> str:
    wanted = "no Flink session" if name is None else f"no Flink session named {name!r}"
    place = "" if queue is None else f" in queue {queue}"
    others = ", ".join(_described(app) for app in running[:_SHOWN]) or "no Flink application at all"
    return (
        f"YARN at {address} runs {wanted}{place}, but {others}: "
        "start one with `yarn-session.sh -d`, or give the id or name of a running one"
    )
