"""Checks one deployment: its settings, the way to its provider, the provider's clock, and a trial mint."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from app.broker.routing.retirement import ask_for_ends
from app.doctor.deployment_rows import (
    credential_finding,
    hangup_findings,
    signs_in_by,
    skew_finding,
    target_findings,
)
from app.doctor.endings import Foresight, ending_findings, no_foresight
from app.doctor.finding import FIX_REACH_FIRST, Check, Finding, guarded
from app.doctor.mint import MintTrials, Place, Trial, mint_finding
from app.doctor.source import Origin
from app.errors import UpstreamError
from app.models import Deployment
from app.outbound.addresses import SETTING
from app.outbound.client import UpstreamClient
from app.outbound.egress import Egress
from app.outbound.reach import Reached, Unreachable, reach
from app.outbound.upstream import NoAnswer, NotConnected
from app.providers.base import UpstreamRequest

_ASK_FOR_MINT: Final = "add --mint: one real key per deployment, which lives 10 s and is thrown away"


@dataclass(frozen=True, slots=True)
class Look:
    """What the checks of all deployments share.

    ``seconds`` is the deadline of each check; ``proxied`` says that the environment names a proxy that the
    service does not use; ``egress`` is the way that it takes; ``ends`` knows which models end.
    ``max_call_seconds`` is the service's, None for no limit.
    """

    upstream: UpstreamClient
    seconds: float
    mint: bool
    proxied: bool
    clock: Callable[[], float]
    egress: Egress = field(default_factory=Egress)
    ends: Foresight = no_foresight
    max_call_seconds: int | None = None


class DeploymentDoctor:
    """The checks of one deployment.

    Args:
        trials: the names to mint under; empty where only ``*`` leads here.
        aliases: the models that lead here.
        place: returns the name of a field's setting.
        origin: whose configuration file describes it.
    """

    def __init__(
        self,
        look: Look,
        deployment: Deployment,
        *,
        trials: Sequence[Trial],
        aliases: Sequence[str],
        place: Place,
        origin: Origin = "ours",
    ) -> None:
        self._look = look
        self._deployment = deployment
        self._trials = trials
        self._aliases = aliases
        self._place = place
        self._origin = origin
        self._finding = partial(Finding, "deployment", subject=deployment.name)

    async def examine(self) -> list[Finding]:
        """Every row of this deployment."""
        deployment = self._deployment
        written = target_findings(deployment, self._aliases, place=self._place)
        checks = [self._row("reach", self._reach), self._row("clock", self._clock)]
        if deployment.webrtc_url is not None:
            checks.append(self._row("reach for offers", self._reach_for_offers))
        found = await asyncio.gather(*checks, self._credentialed())
        rows = [*written, credential_finding(deployment, self._place)]
        rows += hangup_findings(deployment, self._limited(), self._place)
        return [*rows, *(finding for several in found for finding in several)]

    def _limited(self) -> list[str]:
        """The models that lead here whose calls may last only so long."""
        usual = self._look.max_call_seconds
        return [trial.alias for trial in self._trials if trial.policy.max_call_seconds or usual]

    async def _credentialed(self) -> list[Finding]:
        """The token, then the mint that needs it."""
        tokens = self._deployment.tokens
        if tokens is None:
            return await self._with_credential()
        try:
            row = await self._row("token", self._token)
            return [*row, *(await self._with_credential())]
        finally:
            await tokens.close()

    async def _with_credential(self) -> list[Finding]:
        ends, mints = await asyncio.gather(self._row("model ends", self._ends), self._mint())
        return [*ends, *mints]

    async def _ends(self) -> list[Finding]:
        look, deployment = self._look, self._deployment
        # The list is not read without a key, and without --mint none is sent.
        told = (
            await ask_for_ends(deployment, partial(look.upstream.get, timeout=look.seconds))
            if look.mint
            else None
        )
        found = look.ends(deployment.name, told or {})
        return list(
            ending_findings(
                deployment, found, told=told, now=look.clock(), place=self._place, origin=self._origin
            )
        )

    async def _mint(self) -> list[Finding]:
        look, deployment = self._look, self._deployment
        if not look.mint and deployment.ephemeral_keys:
            return [self._finding("mint", "skipped", "not asked for", _ASK_FOR_MINT)]
        if not self._trials:
            fix = "name one: --model NAME, or CLOAKROOM_DEFAULT_MODEL"
            return [self._finding("mint", "warn", "any name leads here, so there is none to try", fix)]
        mints = MintTrials(look.upstream, deadline=look.seconds, clock=look.clock, monotonic=time.monotonic)
        rows = [
            self._row("mint", partial(mint_finding, mints, deployment, trial, self._place, self._origin))
            for trial in self._trials
        ]
        return [finding for several in await asyncio.gather(*rows) for finding in several]

    async def _row(self, name: str, check: Check) -> list[Finding]:
        fix = f"check {self._place('base_url')}, and that this host may reach it"
        # One second more than the deadline of the check, whose message says more than a timeout here.
        return await guarded(
            "deployment", name, check, seconds=self._look.seconds + 1, fix=fix, subject=self._deployment.name
        )

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
            return self._finding(name, "fail", f"{host}: {failure}", self._way_out(failure, place))
        return self._finding(name, "ok", _times(host, found))

    def _way_out(self, failure: Unreachable, place: str) -> str:
        stage = failure.stage
        if stage == "tls" and "client certificate" in str(failure):
            return f"set CLOAKROOM_PROVIDER_CLIENT_CERT_FILE to one that {place} accepts"
        if stage == "address":
            return (
                f"if {place} is meant to lead there, list the address's network in {SETTING}; if not, find "
                "out who answers for the name"
            )
        if stage == "name":
            return f"check the host in {place}, and this machine's name resolution"
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
            response = await self._look.upstream.get(
                UpstreamRequest(url=url, headers={}, body=b""), timeout=self._look.seconds
            )
        except NotConnected:
            return self._finding("clock", "skipped", "no connection", FIX_REACH_FIRST)
        except NoAnswer as failure:
            text = "no answer in time" if failure.timed_out else "the answer is not HTTP"
            fix = f"check that {self._place('base_url')} leads to the provider"
            if url.startswith("https:") and not failure.timed_out:
                # With TLS 1.3 a missing certificate looks like this.
                fix += ", and CLOAKROOM_PROVIDER_CLIENT_CERT_FILE if it asks for a client certificate"
            return self._finding("clock", "fail", text, fix)
        ours = (before + self._look.clock()) / 2
        asked = f"GET {urlsplit(url).path or '/'} without a key"
        return skew_finding(self._deployment, response.headers.get("Date"), ours=ours, request=asked)

    async def _token(self) -> Finding:
        tokens = self._deployment.tokens
        if tokens is None:
            raise TypeError("a deployment with a key has no token")
        issuer, field = signs_in_by(self._deployment)
        started = time.perf_counter()
        await tokens.start(wait=self._look.seconds)
        try:
            tokens.current()
        except UpstreamError as error:
            return self._finding("token", "fail", error.message, f"check {self._place(field)}")
        text = f"given by {issuer} in {(time.perf_counter() - started) * 1000:.0f} ms"
        return self._finding("token", "ok", text)


def _times(host: str, found: Reached) -> str:
    if found.proxy is not None and found.tunnel is not None:
        way = f"{host}: proxy {found.proxy} {found.tunnel * 1000:.0f} ms"
        return f"{way}, TLS {found.tls * 1000:.0f} ms" if found.tls is not None else way
    tls = f", TLS {found.tls * 1000:.0f} ms" if found.tls is not None else ""
    return f"{host}: name {found.name * 1000:.0f} ms, TCP {found.connect * 1000:.0f} ms{tls}"
