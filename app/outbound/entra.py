"""Microsoft Entra ID: one access token, through ``azure-identity`` (an extra), and what its refusals mean.

Each fetch makes a new credential and closes it: the library's cache would hide a failed refresh for as long
as the old token lasts. The library decides the authority: ``AZURE_AUTHORITY_HOST``, or
login.microsoftonline.com.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol
from urllib.parse import urlsplit

from app.models import Secret
from app.outbound.addresses import LOOPBACK, AddressRefused, Guard, Network, parse_network
from app.outbound.egress import Egress, Proxy
from app.outbound.http1 import target_of
from app.outbound.keeping.tokens import Fetch, FreshToken, TokenFault

# Contracts, section 2: what Azure OpenAI accepts tokens for.
SCOPE: Final = "https://cognitiveservices.azure.com/.default"
# Seconds for one fetch with the library's own retries: IMDS and the Azure CLI are slow.
FETCH_SECONDS: Final = 30.0
# A token without a refresh time is renewed this many seconds before its end, or at half of a short life.
_AHEAD_SECONDS: Final = 300.0
# Azure's instance metadata service, and the variables in which App Service, Container Apps, Arc and others
# say where theirs is.
_IMDS: Final = parse_network("169.254.169.254/32")
_PLATFORM_NAMES: Final = (
    "IDENTITY_ENDPOINT",
    "MSI_ENDPOINT",
    "IMDS_ENDPOINT",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
)
# An error of the library has two or three causes, one behind the other.
_MOST_CAUSES: Final = 8
_AADSTS: Final = re.compile(r"\bAADSTS[0-9]{4,8}\b")
# Source: Microsoft's page "Microsoft Entra authentication and authorization error codes".
_MEANINGS: Final[Mapping[str, str]] = {
    "AADSTS7000215": "the client secret is wrong, set {place}.client_secret to its value, not its id",
    "AADSTS7000222": "the client secret has expired, make a new one and set {place}.client_secret",
    "AADSTS700016": "the directory has no such application, check {place}.client_id and {place}.tenant_id",
    "AADSTS90002": "there is no such directory, check {place}.tenant_id",
    "AADSTS900023": "the directory's name is malformed, check {place}.tenant_id",
    "AADSTS500011": "the directory does not know Azure AI services, check {place}.tenant_id",
    "AADSTS70021": "no federated credential fits the workload's token, check {place}.client_id and the "
    "application's federated credentials",
    "AADSTS700213": "no federated credential fits the workload's subject, check {place}.client_id and the "
    "application's federated credentials",
    "AADSTS50173": "the signed-in session was revoked, sign in anew",
    "AADSTS700082": "the signed-in session has expired, sign in anew",
}
# What to do where nothing was sent to Entra, since there was nothing to sign in with.
_UNAVAILABLE: Final[Mapping[str, str]] = {
    "default": "nothing to sign in with was found: no AZURE_... variables, no workload or managed identity, "
    "no Azure CLI; set {place}.kind and what it needs",
    "client_secret": "the client secret could not be used, check {place}",
    "workload_identity": "the workload's token cannot be read, check AZURE_FEDERATED_TOKEN_FILE, {place} "
    "and the pod's label azure.workload.identity/use",
    "azure_cli": "the Azure CLI is not installed or not signed in, run 'az login'",
}


class MissingExtra(Exception):
    """``azure-identity`` is not installed."""


def entra_installed() -> bool:
    """Whether ``azure-identity`` is there; it is not loaded for that."""
    try:
        return importlib.util.find_spec("azure.identity") is not None
    except ModuleNotFoundError:
        return False


@dataclass(frozen=True, slots=True)
class EntraIdentity:
    """The identity that signs in. ``place`` is the setting's name, for messages."""

    place: str
    kind: Literal["default", "client_secret", "workload_identity", "azure_cli"]
    tenant_id: str | None = None
    client_id: str | None = None
    client_secret: Secret | None = None


class _TokenInfo(Protocol):
    token: str
    expires_on: int
    refresh_on: int | None


class _Credential(Protocol):
    async def get_token_info(self, *scopes: str) -> _TokenInfo: ...


def entra_fetch(
    identity: EntraIdentity, *, clock: Callable[[], float], egress: Egress | None = None
) -> Fetch:
    """Return a function that asks for one token.

    Args:
        clock: returns epoch seconds.
        egress: the way out, as for providers; directly where it is left out.

    Raises:
        MissingExtra: at once, when ``azure-identity`` is not installed.
    """
    try:
        import azure.identity.aio
    except ImportError:
        raise MissingExtra from None
    # The library logs each failure, and so does the keeper.
    logging.getLogger("azure").setLevel(logging.ERROR)

    async def fetch() -> FreshToken:
        try:
            async with (
                _way_out(identity, egress or Egress()) as options,
                _credential(azure.identity.aio, identity, options) as credential,
            ):
                info = await credential.get_token_info(SCOPE)
        except Exception as error:
            # The library lets errors of its transports, files and subprocesses through; each means no token.
            raise TokenFault(_meaning(identity, error, _proxy(egress or Egress()))) from None
        return _fresh(info, now=clock())

    return fetch


def _credential(
    library: Any, identity: EntraIdentity, options: Mapping[str, Any]
) -> AbstractAsyncContextManager[_Credential]:
    names = {"tenant_id": identity.tenant_id, "client_id": identity.client_id}
    known: dict[str, Any] = {name: value for name, value in names.items() if value is not None}
    made: AbstractAsyncContextManager[_Credential]
    match identity.kind:
        case "client_secret":
            secret = identity.client_secret.reveal() if identity.client_secret else ""
            made = library.ClientSecretCredential(**known, client_secret=secret, **options)
        case "workload_identity":
            made = library.WorkloadIdentityCredential(**known, **options)
        case "azure_cli":
            # A program of Microsoft's: it reads HTTPS_PROXY itself.
            known.pop("client_id", None)
            made = library.AzureCliCredential(**known)
        case "default":
            # A name that is None would override the library's environment variables.
            chain = {"client_id": "managed_identity_client_id", "tenant_id": "workload_identity_tenant_id"}
            made = library.DefaultAzureCredential(
                **{chain[name]: value for name, value in known.items()}, **options
            )
    return made


def _proxy(egress: Egress) -> Proxy | None:
    """The proxy on the way to the authority."""
    authority = os.environ.get("AZURE_AUTHORITY_HOST") or "login.microsoftonline.com"
    return egress.proxy_for(target_of(authority if "://" in authority else f"https://{authority}").origin)


def guard_for(identity: EntraIdentity, egress: Egress, environ: Mapping[str, str]) -> Guard:
    """Which addresses a sign-in may dial.

    A managed identity is asked at an address of the machine or of its platform, so the kind that asks for one
    opens that address, and nothing else does.
    """
    # The library sends https alone through a proxy, and only what a managed identity is asked goes directly.
    guard = egress.guard if _proxy(egress) is None else egress.guard.for_proxies
    return guard.with_networks(_platform(environ)) if identity.kind == "default" else guard


def _platform(environ: Mapping[str, str]) -> Iterator[Network]:
    """Where the library asks for a managed identity: the metadata service, or what the platform names."""
    yield _IMDS
    for name in _PLATFORM_NAMES:
        # A malformed URL opens nothing, and nor does a name: the usual rules hold for where it leads.
        with contextlib.suppress(ValueError):
            host = urlsplit(environ.get(name, "")).hostname or ""
            yield from LOOPBACK if host == "localhost" else (parse_network(host),)


@asynccontextmanager
async def _way_out(identity: EntraIdentity, egress: Egress) -> AsyncIterator[dict[str, Any]]:
    """The library's options for our proxy, our CA and our guard.

    It must not read the environment's proxies itself.
    """
    import aiohttp
    from azure.core.pipeline.transport import AioHttpTransport

    options: dict[str, Any] = {"use_env_settings": False, "retry_total": 1}
    proxy = _proxy(egress)
    if proxy is not None:
        # Only https: a managed identity is asked at an address of the machine, by http.
        options["proxies"] = {"https": proxy.url.reveal()}
    guard = guard_for(identity, egress, os.environ)
    # The library's own option for a CA file would trust this file alone.
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=egress.certificates.trust(), socket_factory=guard.open_socket),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    ) as session:
        yield {**options, "transport": AioHttpTransport(session=session, session_owner=False)}


def _fresh(info: _TokenInfo, *, now: float) -> FreshToken:
    expires_at = float(info.expires_on)
    latest = expires_at - min(_AHEAD_SECONDS, (expires_at - now) / 2)
    refresh_at = latest if info.refresh_on is None else min(float(info.refresh_on), latest)
    return FreshToken(Secret(info.token), expires_at=expires_at, refresh_at=refresh_at)


def _meaning(identity: EntraIdentity, error: Exception, proxy: Proxy | None) -> str:
    """One clause that takes nothing of the error's text but its code: the text can quote what was sent."""
    from azure.core.exceptions import AzureError, ClientAuthenticationError

    found = _AADSTS.search(str(error))
    if found is not None:
        meaning = _MEANINGS.get(found[0], "Entra refused to sign in, check {place}")
        return f"{meaning.format(place=identity.place)} ({found[0]})"
    refused = _refused(error)
    if refused is not None:
        return f"Entra may not be asked: {refused.reason}"
    if isinstance(error, AzureError) and not isinstance(error, ClientAuthenticationError):
        way = f" through the proxy {proxy}" if proxy is not None else ""
        return f"Entra cannot be reached{way} or failed ({type(error).__name__}), check AZURE_AUTHORITY_HOST"
    return f"{_UNAVAILABLE[identity.kind].format(place=identity.place)} ({type(error).__name__})"


def _refused(error: BaseException | None) -> AddressRefused | None:
    """The guard's refusal among the causes of the library's error."""
    seen = 0
    while error is not None and seen < _MOST_CAUSES:
        if isinstance(error, AddressRefused):
            return error
        cause = getattr(error, "os_error", None)
        error, seen = cause if isinstance(cause, AddressRefused) else error.__cause__, seen + 1
    return None
