"""Checks one deployment: its settings, the way to its provider, the provider's clock, and a trial mint."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from app.doctor.finding import FIX_REACH_FIRST, Check, Finding, Status, guarded
from app.doctor.mint import MintTrials, Place, Trial, mint_finding
from app.doctor.source import Origin
from app.errors import UpstreamError
from app.models import Deployment
from app.outbound.client import UpstreamClient
from app.outbound.egress import Egress
from app.outbound.reach import Reached, Unreachable, reach
from app.outbound.upstream import NoAnswer, NotConnected
from app.providers.registry import PROVIDERS

_ASK_FOR_MINT: Final = "add --mint: one real key per deployment, which lives 10 s and is thrown away"
WARN_SKEW_SECONDS: Final = 5.0
FAIL_SKEW_SECONDS: Final = 60.0
# A Date has whole seconds, so its clock was half a second later on average.
_HALF: Final = 0.5
_PLACEHOLDER: Final = re.compile(r"(?i)\.\.\.|…|your[-_ ]|change[-_ ]?me|example|placeholder|<.*>|xxxx")
_OPENAI_HOST: Final = "api.openai.com"
_LEAST_KEY: Final = 20
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Look:
    """What the checks of all deployments share.

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
            response = await self._look.upstream.get(url, timeout=self._look.seconds)
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
        started = time.perf_counter()
        await tokens.start(wait=self._look.seconds)
        try:
            tokens.current()
        except UpstreamError as error:
            return self._finding("token", "fail", error.message, f"check {self._place('entra')}")
        text = f"given by Microsoft Entra ID in {(time.perf_counter() - started) * 1000:.0f} ms"
        return self._finding("token", "ok", text)


def _times(host: str, found: Reached) -> str:
    if found.proxy is not None and found.tunnel is not None:
        way = f"{host}: proxy {found.proxy} {found.tunnel * 1000:.0f} ms"
        return f"{way}, TLS {found.tls * 1000:.0f} ms" if found.tls is not None else way
    tls = f", TLS {found.tls * 1000:.0f} ms" if found.tls is not None else ""
    return f"{host}: name {found.name * 1000:.0f} ms, TCP {found.connect * 1000:.0f} ms{tls}"


def target_findings(
    deployment: Deployment, aliases: Sequence[str], *, production: bool, place: Place
) -> Iterator[Finding]:
    """What the deployment is, and whether its key would travel unencrypted. Pure."""
    model = f" as {deployment.upstream_model}" if deployment.upstream_model else ""
    names = ", ".join(aliases) or "no model"
    text = f"{deployment.provider} at {deployment.base_url}{model}, for {names}"
    yield Finding("deployment", "target", "ok", text, subject=deployment.name)
    parts = urlsplit(deployment.base_url)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        status: Status = "fail" if production else "warn"
        text, fix = "http:// sends the provider's key unencrypted", f"set {place('base_url')} to https://"
        yield Finding("deployment", "TLS", status, text, fix, deployment.name)


def credential_finding(deployment: Deployment, place: Place) -> Finding:
    """Whether the key has the form of that provider's keys. The key is never shown. Pure."""
    finding = partial(Finding, "deployment", "credential", subject=deployment.name)
    if deployment.api_key is None:
        return finding("ok", "Microsoft Entra ID")
    key = deployment.api_key.reveal()
    doubt = _doubt(deployment, key)
    if doubt is None:
        return finding("ok", f"an api_key of {len(key)} characters")
    return finding(*doubt, f"set {place('api_key')}")


def _doubt(deployment: Deployment, key: str) -> tuple[Status, str] | None:
    if _PLACEHOLDER.search(key):
        return "fail", "the api_key is a placeholder from an example"
    if key.startswith(("ek_", "ek-")):
        return "fail", "the api_key is an ephemeral key, which cannot mint"
    if key.startswith("eyJ"):
        return "fail", "the api_key is a token, which expires within the hour"
    if PROVIDERS[deployment.provider].traits.is_azure and key.startswith("sk-"):
        return "fail", "the api_key has the form of OpenAI's, and this is an Azure resource"
    if urlsplit(deployment.base_url).hostname == _OPENAI_HOST and not key.startswith("sk-"):
        return "warn", "the api_key does not begin with sk-, as OpenAI's do"
    if len(key) < _LEAST_KEY:
        return "warn", f"the api_key has only {len(key)} characters"
    return None


def skew_finding(deployment: Deployment, date_header: str | None, *, ours: float, request: str) -> Finding:
    """Compare the provider's clock with ours. Pure.

    A key's life counts by the provider's clock, so the handle's life is right. But ``exp`` of the handle
    counts by ours: if our clock is minutes off, other replicas end handles early or refuse them.

    Args:
        date_header: ``Date`` of the provider's answer.
        ours: epoch seconds, half way between the request and its answer.
        request: the request in words.
    """
    finding = partial(Finding, "deployment", "clock", subject=deployment.name)
    theirs = _epoch(date_header)
    if theirs is None:
        fix = "none needed if the row 'mint' is ok: our own clock is used instead"
        return finding("warn", f"no usable Date in the answer to {request}", fix)
    skew = theirs + _HALF - ours
    if abs(skew) <= WARN_SKEW_SECONDS:
        return finding("ok", f"in step with ours (Date of {request})")
    status: Status = "fail" if abs(skew) > FAIL_SKEW_SECONDS else "warn"
    text = f"the provider's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} ours"
    fix = "let NTP set this host's clock (timedatectl, chronyc tracking), on every replica"
    return finding(status, f"{text} (Date of {request})", fix)


def _epoch(date_header: str | None) -> float | None:
    try:
        date = parsedate_to_datetime(date_header or "")
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
