"""Judges one deployment as it is written, and the provider's clock. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from app.doctor.finding import Finding, Status
from app.models import Deployment
from app.providers.registry import PROVIDERS

WARN_SKEW_SECONDS: Final = 5.0
FAIL_SKEW_SECONDS: Final = 60.0
# A Date has whole seconds: its clock stood half a second later on the average.
_HALF: Final = 0.5
_PLACEHOLDER: Final = re.compile(r"(?i)\.\.\.|…|your[-_ ]|change[-_ ]?me|example|placeholder|<.*>|xxxx")
_OPENAI_HOST: Final = "api.openai.com"
_LEAST_KEY: Final = 20
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

Place = Callable[[str], str]


def target_findings(
    deployment: Deployment, aliases: Sequence[str], *, production: bool, place: Place
) -> Iterator[Finding]:
    """What the deployment is, and whether its key would travel in clear."""
    model = f" as {deployment.upstream_model}" if deployment.upstream_model else ""
    names = ", ".join(aliases) or "no model"
    text = f"{deployment.provider} at {deployment.base_url}{model}, for {names}"
    yield Finding("deployment", "target", "ok", text, subject=deployment.name)
    parts = urlsplit(deployment.base_url)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        status: Status = "fail" if production else "warn"
        text = "http:// sends the provider's key in clear over the network"
        yield Finding(
            "deployment", "TLS", status, text, f"set {place('base_url')} to https://", deployment.name
        )


def credential_finding(deployment: Deployment, place: Place) -> Finding:
    """Whether the key has the form of that provider's keys. The key itself is never shown."""
    if deployment.api_key is None:
        text = "Microsoft Entra ID"
        return Finding("deployment", "credential", "ok", text, subject=deployment.name)
    key = deployment.api_key.reveal()
    doubt = _doubt(deployment, key)
    if doubt is None:
        text = f"an api_key of {len(key)} characters"
        return Finding("deployment", "credential", "ok", text, subject=deployment.name)
    status, text = doubt
    return Finding("deployment", "credential", status, text, f"set {place('api_key')}", deployment.name)


def _doubt(deployment: Deployment, key: str) -> tuple[Status, str] | None:
    if _PLACEHOLDER.search(key):
        return "fail", "the api_key is a placeholder out of an example"
    if key.startswith(("ek_", "ek-")):
        return "fail", "the api_key is an ephemeral key, which cannot mint"
    if key.startswith("eyJ"):
        return "fail", "the api_key is a token, which ends within the hour"
    if PROVIDERS[deployment.provider].traits.is_azure and key.startswith("sk-"):
        return "fail", "the api_key has the form of OpenAI's, and this is an Azure resource"
    if urlsplit(deployment.base_url).hostname == _OPENAI_HOST and not key.startswith("sk-"):
        return "warn", "the api_key does not begin with sk-, as OpenAI's do"
    if len(key) < _LEAST_KEY:
        return "warn", f"the api_key has only {len(key)} characters"
    return None


def skew_finding(deployment: Deployment, date_header: str | None, *, ours: float, request: str) -> Finding:
    """The provider's clock against ours.

    A key's life is reckoned on the provider's clock, so handles are right all the same; but their ``exp`` is
    on ours, and a clock that is minutes off cuts their life at the next replica, or makes tokens invalid.

    Args:
        date_header: ``Date`` of the provider's answer.
        ours: epoch seconds, half way between the request and its answer.
        request: what was asked, in words.
    """
    name = deployment.name
    theirs = _epoch(date_header)
    if theirs is None:
        fix = "none needed, if the row 'mint' is well: our own clock is taken for the provider's"
        return Finding("deployment", "clock", "warn", f"no usable Date in the answer to {request}", fix, name)
    skew = theirs + _HALF - ours
    if abs(skew) <= WARN_SKEW_SECONDS:
        return Finding("deployment", "clock", "ok", f"in step with ours (Date of {request})", subject=name)
    status: Status = "fail" if abs(skew) > FAIL_SKEW_SECONDS else "warn"
    text = f"the provider's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} ours"
    fix = "let NTP set this host's clock (timedatectl, chronyc tracking), on every replica"
    return Finding("deployment", "clock", status, f"{text} (Date of {request})", fix, name)


def _epoch(date_header: str | None) -> float | None:
    try:
        date = parsedate_to_datetime(date_header or "")
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
