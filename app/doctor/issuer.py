"""Checks an identity provider: whether its keys can be fetched and used, and its clock."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from app.doctor.deployment_rows import epoch_of
from app.doctor.finding import Finding, Status
from app.identity.issuers import Issuer
from app.outbound.egress import Egress
from app.outbound.keeping.issuer_keys import FetchedKeys, keys_fetch
from app.outbound.keeping.keeper import FetchFault

# A Date has whole seconds, so its clock was half a second later on average.
_HALF: Final = 0.5


async def examine_issuer(issuer: Issuer, *, egress: Egress, clock: Callable[[], float]) -> list[Finding]:
    """The rows ``tokens``, ``keys``, ``algorithms`` and ``clock``; without keys the first two."""
    finding = partial(Finding, "issuer", subject=issuer.name)
    rows = [finding("tokens", "ok", _uses(issuer))]
    try:
        fetched = await keys_fetch(issuer, clock=clock, egress=egress)()
    except FetchFault as fault:
        return [*rows, finding("keys", "fail", str(fault), f"correct {issuer.place}, or the way to it")]
    keys = fetched.keys
    others = f"; {keys.unusable} others cannot be used" if keys.unusable else ""
    rows.append(finding("keys", "ok", f"{len(keys.kids)} at {fetched.url}{others}"))
    return [*rows, algorithms_finding(issuer, fetched), clock_finding(issuer, fetched, ours=clock())]


def algorithms_finding(issuer: Issuer, fetched: FetchedKeys) -> Finding:
    """Which of the configured algorithms the issuer has keys for. Pure."""
    finding = partial(Finding, "issuer", "algorithms", subject=issuer.name)
    without = [one for one in issuer.algorithms if one not in fetched.keys.algorithms]
    found = ", ".join(fetched.keys.algorithms)
    if not without:
        return finding("ok", found)
    text = f"its keys are for {found}; none is for {', '.join(without)}"
    return finding("warn", text, f"leave them out of {issuer.place}.algorithms unless it will use them")


def clock_finding(issuer: Issuer, fetched: FetchedKeys, *, ours: float) -> Finding:
    """Compare its clock with ours: a token is refused once they differ by more than the leeway. Pure."""
    finding = partial(Finding, "issuer", "clock", subject=issuer.name)
    theirs = epoch_of(fetched.date)
    if theirs is None:
        return finding("ok", "not known: its answer has no usable Date")
    skew = theirs + _HALF - ours
    leeway = issuer.leeway
    shown = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} ours, and {leeway:g} s are let through"
    if abs(skew) <= max(leeway / 2, 1):
        return finding("ok", f"in step with ours; {leeway:g} s of difference are let through")
    status: Status = "fail" if abs(skew) > leeway else "warn"
    fix = "let NTP set this host's clock (timedatectl, chronyc tracking), on every replica"
    return finding(status, f"its clock is {shown}", fix)


def _uses(issuer: Issuer) -> str:
    """What its tokens are good for, in words."""
    parts = []
    if issuer.users is not None:
        named = dict.fromkeys([*issuer.users.clients.values(), *filter(None, [issuer.users.client])])
        parts.append(f"users mint as {', '.join(named)}")
    if issuer.rules:
        clients = dict.fromkeys(rule.client for rule in issuer.rules)
        parts.append(f"workloads get tokens of {', '.join(clients)}")
    return f"{'; '.join(parts)} (audience {', '.join(issuer.audiences)})"
