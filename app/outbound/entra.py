"""Microsoft Entra ID: one access token, through ``azure-identity`` (an extra), and what its refusals mean.

Every fetch makes a credential of its own and closes it. The library's own cache would hide a failed refresh
for as long as the old token lasts, and an hour's pause between two fetches is no use for a connection.
The authority is the library's: ``AZURE_AUTHORITY_HOST``, or login.microsoftonline.com.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from app.models import Secret
from app.outbound.tokens import Fetch, FreshToken, TokenFault

# Contracts, section 2: what Azure OpenAI accepts tokens for.
SCOPE: Final = "https://cognitiveservices.azure.com/.default"
# One fetch, with the library's own retries: IMDS and the Azure CLI take their seconds.
FETCH_SECONDS: Final = 30.0
# Without a refresh time of its own, a token is renewed this long before its end, or at half of a short life.
_AHEAD_SECONDS: Final = 300.0
_AADSTS = re.compile(r"\bAADSTS[0-9]{4,8}\b")
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
    """Who signs in. ``place`` is the setting's name, for messages."""

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


def entra_fetch(identity: EntraIdentity, *, clock: Callable[[], float], trusted: str | None = None) -> Fetch:
    """Return what asks for one token.

    Args:
        clock: returns epoch seconds.
        trusted: a file of CA certificates for the authority; None for the system's.

    Raises:
        MissingExtra: at once, when ``azure-identity`` is not installed.
    """
    try:
        import azure.identity.aio
    except ImportError:
        raise MissingExtra from None
    # It warns of each failure in its own words; the keeper logs the same in ours.
    logging.getLogger("azure").setLevel(logging.ERROR)

    async def fetch() -> FreshToken:
        try:
            async with _credential(azure.identity.aio, identity, trusted) as credential:
                info = await credential.get_token_info(SCOPE)
        except Exception as error:
            # The library raises what its transports, files and subprocesses raise: any of it means no token.
            raise TokenFault(_meaning(identity, error)) from None
        return _fresh(info, now=clock())

    return fetch


def _credential(
    library: Any, identity: EntraIdentity, trusted: str | None
) -> AbstractAsyncContextManager[_Credential]:
    names = {"tenant_id": identity.tenant_id, "client_id": identity.client_id}
    known: dict[str, Any] = {name: value for name, value in names.items() if value is not None}
    # As our own session: no proxy of the environment. And it is the keeper who tries again.
    options: dict[str, Any] = {
        "use_env_settings": False,
        "connection_verify": trusted or True,
        "retry_total": 1,
    }
    made: AbstractAsyncContextManager[_Credential]
    match identity.kind:
        case "client_secret":
            secret = identity.client_secret.reveal() if identity.client_secret else ""
            made = library.ClientSecretCredential(**known, client_secret=secret, **options)
        case "workload_identity":
            made = library.WorkloadIdentityCredential(**known, **options)
        case "azure_cli":
            known.pop("client_id", None)
            made = library.AzureCliCredential(**known)
        case "default":
            # An absent name must stay absent: None would override the library's own environment names.
            chain = {"client_id": "managed_identity_client_id", "tenant_id": "workload_identity_tenant_id"}
            made = library.DefaultAzureCredential(
                **{chain[name]: value for name, value in known.items()}, **options
            )
    return made


def _fresh(info: _TokenInfo, *, now: float) -> FreshToken:
    expires_at = float(info.expires_on)
    latest = expires_at - min(_AHEAD_SECONDS, (expires_at - now) / 2)
    refresh_at = latest if info.refresh_on is None else min(float(info.refresh_on), latest)
    return FreshToken(Secret(info.token), expires_at=expires_at, refresh_at=refresh_at)


def _meaning(identity: EntraIdentity, error: Exception) -> str:
    """One clause without anything of the error's own text but its code: the text can quote what was sent."""
    from azure.core.exceptions import AzureError, ClientAuthenticationError

    found = _AADSTS.search(str(error))
    if found is not None:
        meaning = _MEANINGS.get(found[0], "Entra refused to sign in, check {place}")
        return f"{meaning.format(place=identity.place)} ({found[0]})"
    if isinstance(error, AzureError) and not isinstance(error, ClientAuthenticationError):
        return f"Entra cannot be reached or failed ({type(error).__name__}), check AZURE_AUTHORITY_HOST"
    return f"{_UNAVAILABLE[identity.kind].format(place=identity.place)} ({type(error).__name__})"
