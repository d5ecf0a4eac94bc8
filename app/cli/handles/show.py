"""``cloakroom handles show``: first whether a handle works, and if not, why; then what happened to it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from cyclopts import Parameter
from rich.text import Text

from app.broker.desk import story_document
from app.cli.arguments import UnverifiedHandle, read_unverified
from app.cli.calls.records import answer_and_end
from app.cli.display import fact_lines, print_lines
from app.cli.failure import CliFailure
from app.cli.handles.list import STATE_STYLES
from app.cli.output import document, write
from app.cli.reach.base import HandleStory
from app.cli.reach.target import NOWHERE_ELSE, Target, operate
from app.cli.times import ago, exact_span, utc
from app.store.listing.views import HandleView, RelayNote
from app.store.records.record import CallRecord
from app.telemetry.redaction import legible

# What to do about the outcomes that are not the caller's own; docs/errors.md has all codes.
_ADVICE: Final[Mapping[str, str]] = {
    "handle_spent": "its calls are used up; the page must mint again",
    "handle_revoked": "it was revoked; the page must mint again",
    "wrong_certificate": "the offer is of another peer than the one that the handle is bound to",
    "wrong_origin": "the offer is of another page than the one that the handle is bound to",
    "wrong_session_family": "the page posts to the path of another kind of session",
    "invalid_offer": "the provider does not take the browser's offer",
    "upstream_unreachable": "no connection to the provider was made; the use was given back",
    "upstream_timeout": "the provider did not answer in time; the call may exist",
    "outcome_unknown": "the connection broke after the offer was sent; the call may exist",
    "upstream_error": "the provider refused; its logs and ours have the request id",
}


# What each kind of security event means; docs/security-events.md says what to do.
_SUSPICIONS: Final[Mapping[str, str]] = {
    "wrong_certificate": "an offer of another browser came with it",
    "wrong_origin": "an offer of another site's page came with it",
    "spent_elsewhere": "it came again, from elsewhere than its first use",
    "revoked_elsewhere": "it came after its revocation, from elsewhere than its first use",
    "record_refused": "its record, or that of its call, was changed in the store",
}


def show_handle(
    handle: str,
    /,
    *,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative=())] = False,
    target: Target = NOWHERE_ELSE,
) -> None:
    """Show a handle's whole story: when and by whom it was minted, what is left, each relay, why it fails.

    Exit status 1 when there is no such handle.

    Args:
        handle: Its id, the handle itself, or a pasted Authorization header; only the id is sent anywhere.
        as_document: Print one JSON document.
        quiet: Print only its state: live, spent, revoked, or unknown where a newer release wrote the record.
    """
    unverified = read_unverified(handle)
    story = operate(target, lambda operator: operator.handle(unverified.id))
    now = time.time()
    if story is None:
        raise CliFailure(gone(unverified, now))
    if as_document:
        write(document(story_document(story.handle, story.calls)))
    elif quiet:
        write(f"{story.handle.state}\n")
    else:
        print_lines(story_lines(story, now=now))


def gone(unverified: UnverifiedHandle, now: float) -> str:
    """What can be said of a handle that is not in the store. ``now`` is epoch seconds."""
    text = f"there is no handle {unverified.id}: it expired or never existed."
    expiry = unverified.unverified_expires_at
    if expiry is None:
        return text
    if expiry <= now:
        return f"{text} Its token says (unverified) that it expired {utc(expiry)}, {ago(expiry, now)}."
    return (
        f"{text} Its token says (unverified) that it lives until {utc(expiry)}: check whether this is the "
        "store, or the service, that minted it."
    )


def story_lines(story: HandleStory, *, now: float) -> list[Text]:
    """The lines to print. ``now`` is epoch seconds."""
    view = story.handle
    head = Text(f"Handle {legible(view.id)} is ").append(view.state, style=STATE_STYLES[view.state])
    lines = [head.append(f": {verdict(view, now)}"), Text(), *fact_lines(_facts(view, now))]
    return [*lines, Text(), *_relays(story, now)] if view.known_version else lines


def verdict(view: HandleView, now: float) -> str:
    """Why a relay with it fails, or how much is left of it; one clause without the state itself."""
    life = f"{exact_span(view.life)} left"
    if not view.known_version:
        return f"a newer release wrote its record (version {view.version}); ask a replica of it; {life}"
    if view.revoked_at is not None:
        by = legible(view.revoked_by) or "an unknown operator"
        return f"by {by} {ago(view.revoked_at, now)}; every relay is refused (handle_revoked)"
    if view.max_calls and view.calls >= view.max_calls:
        return f"{_used(view)}; every relay is refused (handle_spent); {life}"
    uses = "as many calls as the provider allows" if not view.max_calls else _plural(view.uses_left, "call")
    return f"{life}, for {uses}" + (_last_trouble(view, now) or "")


def _last_trouble(view: HandleView, now: float) -> str | None:
    if not view.relays or view.relays[-1].outcome == "answered":
        return None
    last = view.relays[-1]
    return f"; its last relay failed {ago(last.at, now)}: {_explained(last.outcome)}"


def _facts(view: HandleView, now: float) -> Iterator[tuple[str, str]]:
    minted = f"{utc(view.minted_at)} ({ago(view.minted_at, now)})" if view.minted_at else "?"
    yield "minted", f"{minted} by {view.minted_by or '?'}"
    yield "expires", f"{utc(view.expires_at) if view.expires_at else '?'} (in {exact_span(view.life)})"
    yield "client", view.client
    yield "subject", view.subject or "none was given"
    yield "model", view.model
    where = f"{view.provider}, region {view.region}" if view.region else view.provider
    yield "through", f"deployment {view.deployment} ({where}), for {view.family} sessions"
    yield "origin", view.origin or "none: minted by a backend"
    if not view.known_version:
        return
    yield from _bearer_facts(view)
    last = ""
    if view.last_call_at is not None:
        last = f"; the last {ago(view.last_call_at, now)} by {view.last_call_by or '?'}"
    yield "calls", _used(view) + last
    if view.max_call_seconds:
        yield "call limit", f"a call is hung up after {view.max_call_seconds} s"
    if view.refusals:
        note = view.last_refusal
        latest = f"; the last {ago(note.at, now)}: {_explained(note.outcome)}" if note is not None else ""
        yield "refused", f"{_plural(view.refusals, 'claim')}{latest}"
    if view.suspicions:
        latest = f"; the last {ago(view.suspected_at, now)}: " if view.suspected_at is not None else ": "
        yield "suspicious", f"{_plural(view.suspicions, 'time')}{latest}{_suspected(view.suspicion)}"
    if view.revoked_at is not None:
        yield "revoked", f"{utc(view.revoked_at)} ({ago(view.revoked_at, now)}) by {view.revoked_by or '?'}"
    if view.calls_revoked_by:
        yield "", f"together with its calls, by {view.calls_revoked_by}"


def _bearer_facts(view: HandleView) -> Iterator[tuple[str, str]]:
    """Whose offers it takes, and who used it first."""
    label = "bound to"
    for name, text in (("page", view.bind_origin), ("certificate", view.bind_fingerprint)):
        if text:
            yield label, f"{name} {text}"
            label = ""
    if view.used_origin:
        yield "first use", f"page {view.used_origin}"
        yield "", f"certificate {view.used_fingerprint}"


def _relays(story: HandleStory, now: float) -> Iterator[Text]:
    view = story.handle
    if not view.relays:
        yield Text("No relay so far.")
        return
    kept = f", the last {len(view.relays)} of them" if len(view.relays) < view.relays_count else ""
    yield Text(f"{_plural(view.relays_count, 'relay')}{kept}:")
    for note in view.relays:
        style = "" if note.outcome == "answered" else "red"
        line = Text(f"  {utc(note.at)}  {ago(note.at, now):<12}  ")
        yield line.append(legible(note.outcome), style=style).append(_call(note, story.calls, now))


def _call(note: RelayNote, calls: Mapping[str, CallRecord], now: float) -> str:
    if not note.call_id:
        return "" if note.outcome != "answered" else "  (the provider named no call)"
    call = calls.get(note.call_id)
    if call is None:
        state = "no longer on record"
    elif call.ended_at is not None:
        state = f"ended {ago(call.ended_at, now)} by {call.ended_by or '?'}"
    else:
        state = "not hung up"
    by = f", relayed by {call.relayed_by}" if call is not None and call.relayed_by else ""
    told = "".join(f"; {words}" for words in answer_and_end(call)) if call is not None else ""
    if call is not None and call.report is not None and call.report.failed:
        told += f"; its page reported {call.report.outcome}"
    return legible(f"  call {note.call_id} ({state}{by}{told})")


def _used(view: HandleView) -> str:
    if view.max_calls:
        return f"{view.calls} of {_plural(view.max_calls, 'call')} used"
    return f"{_plural(view.calls, 'call')} made, no limit but the provider's"


def _explained(code: str) -> str:
    return f"{code} ({_ADVICE[code]})" if code in _ADVICE else code


def _suspected(kind: str) -> str:
    return f"{kind} ({_SUSPICIONS[kind]})" if kind in _SUSPICIONS else kind


def _plural(count: int | None, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
