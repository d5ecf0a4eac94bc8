"""Judges a deployment as it is written, and its provider's clock. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from app.doctor.finding import Finding, Status
from app.doctor.mint import Place
from app.errors import InvalidRequest, UpstreamError
from app.models import Deployment
from app.providers.base import on_this_machine
from app.providers.registry import PROVIDERS, UNVERIFIED

WARN_SKEW_SECONDS: Final = 5.0
FAIL_SKEW_SECONDS: Final = 60.0
# A Date has whole seconds, so its clock was half a second later on average.
_HALF: Final = 0.5
_PLACEHOLDER: Final = re.compile(r"(?i)\.\.\.|…|your[-_ ]|change[-_ ]?me|example|placeholder|<.*>|xxxx")
_OPENAI_HOST: Final = "api.openai.com"
_LEAST_KEY: Final = 20
# What is not verified of these concerns no usual call.
_USUAL: Final = frozenset({"openai", "azure"})


def target_findings(deployment: Deployment, aliases: Sequence[str], *, place: Place) -> Iterator[Finding]:
    """What the deployment is, and whether its key would travel unencrypted. Pure."""
    model = f" as {deployment.upstream_model}" if deployment.upstream_model else ""
    names = ", ".join(aliases) or "no model"
    region = f" (region {deployment.region})" if deployment.region is not None else ""
    text = f"{deployment.provider} at {deployment.base_url}{region}{model}, for {names}"
    yield Finding("deployment", "target", "ok", text, subject=deployment.name)
    unverified = () if deployment.provider in _USUAL else UNVERIFIED.get(deployment.provider, ())
    if unverified:
        text = f"never tried at the real service: {'; '.join(unverified)}".replace("`", "")
        yield Finding("deployment", "unverified", "ok", text, subject=deployment.name)
    parts = urlsplit(deployment.base_url)
    if parts.scheme == "http" and not on_this_machine(parts.hostname):
        sent = "the provider's key" if deployment.has_credential else "sessions and offers"
        text = f"http:// sends {sent} unencrypted, as CLOAKROOM_PLAIN_HTTP_HOSTS allows"
        yield Finding(
            "deployment", "TLS", "warn", text, f"set {place('base_url')} to https://", deployment.name
        )


def signs_in_by(deployment: Deployment) -> tuple[str, str]:
    """Whose access tokens it uses, in words, and the field of its settings that says so."""
    if PROVIDERS[deployment.provider].traits.is_azure:
        return "Microsoft Entra ID", "entra"
    return "OpenAI's workload identity federation", "workload_identity"


def credential_finding(deployment: Deployment, place: Place) -> Finding:
    """Whether the key has the form of that provider's keys. The key is never shown. Pure."""
    finding = partial(Finding, "deployment", "credential", subject=deployment.name)
    if not deployment.has_credential:
        return finding("ok", "none is set, and none is sent")
    if deployment.api_key is None:
        return finding("ok", signs_in_by(deployment)[0])
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


def hangup_findings(deployment: Deployment, limited: Sequence[str], place: Place) -> Iterator[Finding]:
    """Whether calls here can be ended, where these models want that. Pure."""
    if limited and not _hangs_up(deployment):
        text = f"calls here cannot be ended, so max_call_seconds does not hold for {', '.join(limited)}"
        fix = f"limit calls at {place('base_url')}, or use another provider for these models"
        yield Finding("deployment", "hang-up", "warn", text, fix, deployment.name)


def _hangs_up(deployment: Deployment) -> bool:
    try:
        PROVIDERS[deployment.provider].hangup_request(deployment, "call")
    except InvalidRequest:
        return False
    except UpstreamError:
        # There is no credential yet: another row tells.
        return True
    return True


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
    theirs = epoch_of(date_header)
    if not deployment.ephemeral_keys:
        return finding("ok", f"answers {request}; its clock does not matter, since it mints nothing")
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


def epoch_of(date_header: str | None) -> float | None:
    """Epoch seconds of a ``Date`` header; None for none, and for one that cannot be read."""
    try:
        date = parsedate_to_datetime(date_header or "")
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
