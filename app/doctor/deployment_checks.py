"""Asks one deployment's provider: can it be reached, what time is it there, does it give us a key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from app.doctor.deployment_rows import Place, credential_finding, skew_finding, target_findings
from app.doctor.finding import Finding
from app.doctor.guard import Check, guarded
from app.doctor.mint_row import mint_finding
from app.doctor.mint_trial import MintTrials, Trial
from app.errors import UpstreamError
from app.models import Deployment
from app.outbound.client import UpstreamClient
from app.outbound.egress import Egress
from app.outbound.reach import Reached, Unreachable, reach
from app.outbound.upstream import NoAnswer, NotConnected

_ASK_FOR_MINT: Final = "add --mint: one real key a deployment, of 10 s, which is thrown away"


@dataclass(frozen=True, slots=True)
class Look:
    """What the checks of every deployment have in common.

    ``seconds`` is the deadline of each check; ``proxied`` says that the environment names a proxy that the
    service does not use; ``egress`` is the way that it takes.
    """

    upstream: UpstreamClient
    seconds: float
    mint: bool
    production: bool
    proxied: bool
    clock: Callable[[], float]
    egress: Egress = field(default_factory=Egress)


class DeploymentDoctor:
    """The checks of one deployment.

    Args:
        trials: the names to mint under; empty where only ``*`` leads here.
        aliases: the models that lead here.
        place: from a field to the name of its setting.
    """

    def __init__(
        self,
        look: Look,
        deployment: Deployment,
        *,
        trials: Sequence[Trial],
        aliases: Sequence[str],
        place: Place,
    ) -> None:
        self._look = look
        self._deployment = deployment
        self._trials = trials
        self._aliases = aliases
        self._place = place

    async def examine(self) -> list[Finding]:
        """Every row of this deployment."""
        deployment = self._deployment
        written = target_findings(
            deployment, self._aliases, production=self._look.production, place=self._place
        )
        checks = [self._row("reach", self._reach), self._row("clock", self._clock)]
        if deployment.webrtc_url is not None:
            checks.append(self._row("reach for offers", self._reach_for_offers))
        found = await asyncio.gather(*checks, self._credentialed())
        rows = [*written, credential_finding(deployment, self._place)]
        return [*rows, *(finding for several in found for finding in several)]

    async def _credentialed(self) -> list[Finding]:
        """The token, then the mint that needs it."""
        tokens = self._deployment.tokens
        if tokens is None:
            return await self._mint()
        try:
            row = await self._row("token", self._token)
            return [*row, *(await self._mint())]
        finally:
            await tokens.close()

    async def _mint(self) -> list[Finding]:
        look, deployment = self._look, self._deployment
        if not look.mint:
            return [Finding("deployment", "mint", "skipped", "not asked for", _ASK_FOR_MINT, deployment.name)]
        if not self._trials:
            fix = "name one: --model NAME, or CLOAKROOM_DEFAULT_MODEL"
            text = "any name leads here, so none is known"
            return [Finding("deployment", "mint", "warn", text, fix, deployment.name)]
        mints = MintTrials(look.upstream, deadline=look.seconds, clock=look.clock, monotonic=time.monotonic)
        rows = [
            self._row("mint", partial(mint_finding, mints, deployment, trial, self._place))
            for trial in self._trials
        ]
        return [finding for several in await asyncio.gather(*rows) for finding in several]

    async def _row(self, name: str, check: Check) -> list[Finding]:
        fix = f"check {self._place('base_url')}, and that this host may reach it"
        # One second more than the check gives itself, whose own words are the better ones.
        return await guarded(
            "deployment", name, check, seconds=self._look.seconds + 1, fix=fix, subject=self._deployment.name
        )

    def _fail(self, name: str, detail: str, fix: str) -> Finding:
        return Finding("deployment", name, "fail", detail, fix, self._deployment.name)

    async def _reach(self) -> Finding:
        return await self._reached("reach", self._deployment.base_url, self._place("base_url"))

    async def _reach_for_offers(self) -> Finding:
        place = f"{self._place('region')} or webrtc_url"
        return await self._reached("reach for offers", self._deployment.webrtc_url or "", place)

    async def _reached(self, name: str, url: str, place: str) -> Finding:
        host = urlsplit(url).netloc
        try:
            found = await reach(url, seconds=self._look.seconds / 3, egress=self._look.egress)
        except Unreachable as failure:
            return self._fail(name, f"{host}: {failure}", self._way_out(failure, place))
        return Finding("deployment", name, "ok", _times(host, found), subject=self._deployment.name)

    def _way_out(self, failure: Unreachable, place: str) -> str:
        stage = failure.stage
        if stage == "name":
            return f"check the host in {place}, and this machine's name resolution"
        if stage == "tls" and "client certificate" in str(failure):
            return f"set CLOAKROOM_PROVIDER_CLIENT_CERT_FILE to one that {place} accepts"
        if stage == "tls":
            return (
                f"check the scheme in {place}, or trust the network's own CA on this host (SSL_CERT_FILE, or "
                "CLOAKROOM_PROVIDER_CA_FILE)"
            )
        if stage == "credentials":
            return f"correct the user and the password in {self._look.egress.source}, percent-encoded"
        if stage == "proxy":
            source = self._look.egress.source
            return f"check host and port in {source}, and that the proxy lets this host connect to {place}"
        fix = f"check {place}, and that a firewall lets this host connect there"
        trust = "CLOAKROOM_TRUST_ENVIRONMENT_PROXY=true"
        unused = f"HTTPS_PROXY is set, and the service uses no proxy without {trust}"
        return f"{fix}; {unused}" if self._look.proxied else fix

    async def _clock(self) -> Finding:
        url = self._deployment.base_url
        before = self._look.clock()
        try:
            response = await self._look.upstream.get(url, timeout=self._look.seconds)
        except NotConnected:
            fix = "mend the row 'reach' first"
            return Finding("deployment", "clock", "skipped", "no connection", fix, self._deployment.name)
        except NoAnswer as failure:
            text = "no answer in time" if failure.timed_out else "what answers speaks no HTTP"
            fix = f"check that {self._place('base_url')} leads to the provider"
            if url.startswith("https:") and not failure.timed_out:
                # With TLS 1.3 a missing certificate looks like this.
                fix += ", and CLOAKROOM_PROVIDER_CLIENT_CERT_FILE if it asks for a client certificate"
            return self._fail("clock", text, fix)
        ours = (before + self._look.clock()) / 2
        asked = f"GET {urlsplit(url).path or '/'} without a key"
        return skew_finding(self._deployment, response.headers.get("Date"), ours=ours, request=asked)

    async def _token(self) -> Finding:
        tokens = self._deployment.tokens
        if tokens is None:
            raise TypeError("a deployment with a key has no token")
        started = time.perf_counter()
        await tokens.start(wait=self._look.seconds)
        try:
            tokens.current()
        except UpstreamError as error:
            fix = f"check {self._place('entra')}"
            return self._fail("token", error.message, fix)
        text = f"given by Microsoft Entra ID in {(time.perf_counter() - started) * 1000:.0f} ms"
        return Finding("deployment", "token", "ok", text, subject=self._deployment.name)


def _times(host: str, found: Reached) -> str:
    if found.proxy is not None and found.tunnel is not None:
        way = f"{host}: proxy {found.proxy} {found.tunnel * 1000:.0f} ms"
        return f"{way}, TLS {found.tls * 1000:.0f} ms" if found.tls is not None else way
    tls = f", TLS {found.tls * 1000:.0f} ms" if found.tls is not None else ""
    return f"{host}: name {found.name * 1000:.0f} ms, TCP {found.connect * 1000:.0f} ms{tls}"
