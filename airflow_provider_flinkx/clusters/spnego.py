"""Kerberos over HTTP (SPNEGO, RFC 4559), for servers that ask for it.

`httpx-gssapi` does the same, but keeps the reason of a failure to its log. The extra `kerberos` brings `gssapi`,
which is imported when a server asks.
"""

from __future__ import annotations

import base64
from collections.abc import Generator
from typing import Any

import httpx

from airflow_provider_flinkx.clusters.settings import KerberosLogin
from airflow_provider_flinkx.exceptions import AccessDeniedError, MissingDriverError


class NegotiateAuth(httpx.Auth):
    """Answers a server's `WWW-Authenticate: Negotiate`; other answers pass as they are.

    Args:
        login: who we are; None means the ticket cache.
    """

    def __init__(self, login: KerberosLogin | None = None) -> None:
        self._login = login or KerberosLogin()

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request, and once more with a token if the server wants one."""
        response = yield request
        wanted = response.headers.get("WWW-Authenticate", "").lower().startswith("negotiate")
        if response.status_code == 401 and wanted:
            token = base64.b64encode(_token(self._login, request.url.host)).decode()
            request.headers["Authorization"] = f"Negotiate {token}"
            yield request


def _token(login: KerberosLogin, host: str) -> bytes:
    """The first, and with Kerberos only, token for the HTTP service of `host`.

    Raises:
        MissingDriverError: gssapi is not installed.
        AccessDeniedError: Kerberos gives us no ticket.
    """
    try:
        import gssapi
    except ImportError as error:  # also when the system's Kerberos library is missing
        raise MissingDriverError(
            f"{host} asks for Kerberos, which needs the Python package 'gssapi': "
            f"pip install 'airflow-provider-flinkx[kerberos]' ({error})"
        ) from error
    try:
        service = gssapi.Name(f"HTTP@{host}", gssapi.NameType.hostbased_service)
        spnego = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")
        context = gssapi.SecurityContext(name=service, creds=_credentials(gssapi, login), mech=spnego, usage="initiate")
        token: bytes = context.step()
    except gssapi.exceptions.GSSError as error:
        who = login.principal or "the default principal"
        source = f"keytab {login.keytab}" if login.keytab else "the ticket cache"
        reason = " ".join(str(error).split())
        raise AccessDeniedError(f"Kerberos gives {who} of {source} no ticket for HTTP at {host}: {reason}") from error
    return token


def _credentials(gssapi: Any, login: KerberosLogin) -> Any:
    """Tickets by keytab live in memory only: nothing is written, and a ticket cache of the user is left alone."""
    name = login.principal and gssapi.Name(login.principal, gssapi.NameType.kerberos_principal)
    if login.keytab is None:
        return gssapi.Credentials(name=name, usage="initiate") if name else None
    # The cache belongs to this login: with a common one a second principal would get the first one's tickets.
    cache = f"MEMORY:flinkx-{login.principal}-{login.keytab}"
    store = {"client_keytab": f"FILE:{login.keytab}", "ccache": cache}
    return gssapi.Credentials(name=name, usage="initiate", store=store)
