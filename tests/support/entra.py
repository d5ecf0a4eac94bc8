"""A token endpoint of Microsoft Entra ID, strict, over TLS with a certificate authority of its own.

It serves what ``azure-identity`` asks for with a client secret and with a workload's token, and refuses in
Entra's words and codes. Source: Microsoft's pages "OAuth 2.0 client credentials flow" and "Microsoft Entra
authentication and authorization error codes".
"""

from __future__ import annotations

import ssl
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.certificates import make_certificates

SCOPE: Final = "https://cognitiveservices.azure.com/.default"
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ALLOWED: Final = frozenset(
    {"grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "scope"}
)


@dataclass
class FakeEntra:
    """One directory with one application.

    Attributes:
        tokens: given out in turn, the last one again and again.
        life: ``expires_in`` of each, in seconds; ``refresh_in``: when it says to renew, None for not at all.
        outage: when set, every request is answered with this status and an HTML page.
        requests: the forms that came, without their secrets.
        at_once: how many requests were under way at the same time, at most.
    """

    tokens: list[str]
    tenant_id: str = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
    client_id: str = "0b3c5d1e-7a42-4c55-9d0f-3f2a1b6c7d8e"
    client_secret: str = "client~secret.of-the_test~run"
    assertion: str | None = None
    life: int = 3600
    refresh_in: int | None = None
    outage: int | None = None
    requests: list[dict[str, str]] = field(default_factory=list)
    at_once: int = 0
    _under_way: int = 0
    _issued: int = 0

    def app(self) -> web.Application:
        """The endpoint."""
        app = web.Application()
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._token)
        return app

    async def _token(self, request: web.Request) -> web.StreamResponse:
        self._under_way += 1
        self.at_once = max(self.at_once, self._under_way)
        try:
            form = {name: str(value) for name, value in (await request.post()).items()}
            self.requests.append({name: form[name] for name in form if name in ("grant_type", "scope")})
            if self.outage is not None:
                return web.Response(status=self.outage, text="<html>outage</html>", content_type="text/html")
            refusal = self._refusal(request, form)
            return refusal if refusal is not None else self._granted()
        finally:
            self._under_way -= 1

    def _granted(self) -> web.Response:
        token = self.tokens[min(self._issued, len(self.tokens) - 1)]
        self._issued += 1
        body: dict[str, Any] = {
            "token_type": "Bearer",
            "expires_in": self.life,
            "ext_expires_in": self.life,
            "access_token": token,
        }
        if self.refresh_in is not None:
            body["refresh_in"] = self.refresh_in
        return web.json_response(body)

    def _refusal(self, request: web.Request, form: dict[str, str]) -> web.Response | None:
        if request.match_info["tenant"] != self.tenant_id:
            tenant = request.match_info["tenant"]
            return _error(400, "invalid_request", f"AADSTS90002: Tenant '{tenant}' not found.")
        if request.content_type != "application/x-www-form-urlencoded" or not form.keys() <= _ALLOWED:
            return _error(400, "invalid_request", "AADSTS900144: The request body is malformed.")
        if form.get("grant_type") != "client_credentials":
            return _error(400, "unsupported_grant_type", "AADSTS70003: The grant type is not supported.")
        if form.get("scope") != SCOPE:
            return _error(400, "invalid_scope", "AADSTS70011: The provided scope is not valid.")
        if form.get("client_id") != self.client_id:
            client = form.get("client_id")
            return _error(
                400,
                "unauthorized_client",
                f"AADSTS700016: Application with identifier '{client}' was not found in the directory.",
            )
        return self._proof_refusal(form)

    def _proof_refusal(self, form: dict[str, str]) -> web.Response | None:
        if "client_assertion" in form:
            fits = form.get("client_assertion_type") == ASSERTION_TYPE and self.assertion is not None
            if fits and form["client_assertion"] == self.assertion and "client_secret" not in form:
                return None
            return _error(
                401,
                "invalid_client",
                "AADSTS700213: No matching federated identity record found for presented assertion subject.",
            )
        if form.get("client_secret") == self.client_secret:
            return None
        # It quotes what was sent, which Entra does not: nothing of such a text may be passed on.
        return _error(
            401,
            "invalid_client",
            f"AADSTS7000215: Invalid client secret provided: {form.get('client_secret')}. Ensure the secret "
            "being sent in the request is the client secret value, not the client secret ID.",
        )


@dataclass(frozen=True)
class RunningEntra:
    """Where it listens: ``authority`` is for ``AZURE_AUTHORITY_HOST``, ``trusted`` the file of its CA."""

    entra: FakeEntra
    server: TestServer
    authority: str
    trusted: Path


async def start_entra(entra: FakeEntra, folder: Path) -> RunningEntra:
    """Listen on the loopback address with TLS; close ``server`` at the end."""
    trusted, chain = make_certificates(folder)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(chain)
    server = TestServer(entra.app(), scheme="https")
    await server.start_server(ssl=tls)
    return RunningEntra(entra, server, f"https://127.0.0.1:{server.port}", trusted)


def _error(status: int, error: str, description: str) -> web.Response:
    """Entra's own shape of an error."""
    trace, correlation = uuid.uuid4(), uuid.uuid4()
    body = {
        "error": error,
        "error_description": f"{description} Trace ID: {trace} Correlation ID: {correlation}",
        "error_codes": [int(description.partition(":")[0].removeprefix("AADSTS"))],
        "trace_id": str(trace),
        "correlation_id": str(correlation),
    }
    return web.json_response(body, status=status)
