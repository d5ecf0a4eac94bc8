"""``cloakroom calls list`` and ``calls show``: the calls that were relayed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Final

from cyclopts import Parameter
from rich.text import Text

from app.broker.desk import call_document
from app.cli.arguments import checked_names, read_call_id, read_unverified
from app.cli.display import Column, fact_lines, print_lines
from app.cli.failure import CliFailure
from app.cli.listing import USUAL, Amount, Shape, print_listing
from app.cli.output import document, write
from app.cli.reach.base import Operator
from app.cli.reach.target import NOWHERE_ELSE, Target, operate
from app.cli.times import ago, utc
from app.reports import CANDIDATE_TYPES, FAILURES, CallReport, Candidates, ReportChoice
from app.store.listing.views import CallFilter, CallState, call_state
from app.store.records.record import CallRecord
from app.telemetry.redaction import legible

NOT_ON_RECORD: Final = "there is no call with this id: it was never relayed here, or is no longer on record."
_STATE_STYLES: Final = {"open": "green", "ended": "dim", "unknown": "magenta"}
_HINTS: Final[Mapping[CallState, str]] = {
    "open": "it was not hung up here; it may have ended by itself",
    "ended": "it is over",
    "unknown": "a newer release wrote its record; ask a replica of that release",
}
_ENDED_BECAUSE: Final[Mapping[str, str]] = {
    "undelivered": "so it was hung up",
    "lost": "its answer came after its caller was told otherwise, so it was hung up",
    "remote": "it ended at the provider, as its sideband told",
    "replica": "the replica that held its socket ended",
    "max_call_seconds": "it had lasted as long as it may, so it was hung up",
    "operator": "an operator ended it",
}
_NOT_ENDED_BECAUSE: Final[Mapping[str, str]] = {
    "no_hangup": "it should be hung up, and its provider has no way to",
}
_REPORTED: Final[Mapping[str, str]] = {
    "ice_timeout": "no network path to the provider was found",
    "dtls_timeout": "a network path was found, and no encrypted connection over it",
    "no_audio": "it connected, and no audio came from the provider",
}
_NO_SIDEBAND: Final[Mapping[str, str]] = {
    "not_found": "its provider has no sideband for it; see call_key in docs/sideband.md",
}
_METERED: Final[Mapping[str, str]] = {
    "complete": "its usage is complete",
    "incomplete": "its usage is incomplete: no replica was attached for some time",
    "not_attachable": "its usage is not known: see call_key in docs/metering.md",
    "no_sideband": "its usage is not known: its provider has no sidebands",
}
_SPOKEN: Final[Mapping[str, str]] = {
    "speech_seconds": "of the speaker",
    "answer_seconds": "of the provider's voice",
    "transcription_seconds": "transcribed",
    "live_seconds": "of the Live session",
}


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Choice:
    """The options that choose calls."""

    client: Annotated[str | None, Parameter(help="Only those of this client's handles.")] = None
    subject: Annotated[
        str | None, Parameter(help="Only those of handles that were minted for this subject.")
    ] = None
    model: Annotated[
        str | None, Parameter(help="Only those of this model (the alias that clients ask for).")
    ] = None
    deployment: Annotated[str | None, Parameter(help="Only those at this deployment.")] = None
    handle: Annotated[str | None, Parameter(help="Only those of this handle: its id, or the handle.")] = None
    state: Annotated[
        CallState | None,
        Parameter(help="Only those that are open or have ended; unknown: a newer release wrote them."),
    ] = None
    report: Annotated[
        ReportChoice | None,
        Parameter(help="Only those whose page reported this outcome; failed: any but connected."),
    ] = None


_ALL: Final = Choice()


def list_calls(
    *,
    choice: Choice = _ALL,
    amount: Amount = USUAL,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative=())] = False,
    target: Target = NOWHERE_ELSE,
) -> None:
    """List the calls on record, the latest first.

    A call is open until it is hung up through the service. The service learns that the browser or the
    provider ended a call only where it has a sideband or is metered. No provider lets one last longer than an
    hour.

    Args:
        as_document: Print one JSON document.
        quiet: Print only the ids.
    """
    wanted = read_choice(choice)

    async def work(operator: Operator) -> None:
        fetch = partial(operator.calls, wanted)
        await print_listing(CALLS, fetch, amount, as_document=as_document, quiet=quiet)

    operate(target, work)


def read_choice(choice: Choice) -> CallFilter:
    """The filter that the options mean.

    Raises:
        CliFailure: a name looks like a secret, or ``handle`` is none.
    """
    names = checked_names(replace(choice, handle=None))
    handle = None if choice.handle is None else read_unverified(choice.handle).id
    return CallFilter(**{**names, "handle": handle})


def show_call(
    call: str,
    /,
    *,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative=())] = False,
    target: Target = NOWHERE_ELSE,
) -> None:
    """Show what is known of a call. Exit status 1 when it is not on record.

    Args:
        call: Its id, or the Location that the relay answered.
        as_document: Print one JSON document.
        quiet: Print only its state: open or ended.
    """
    call_id = read_call_id(call)
    found = operate(target, lambda operator: operator.call(call_id))
    if found is None:
        raise CliFailure(NOT_ON_RECORD)
    if as_document:
        write(document(call_document(found)))
    elif quiet:
        write(f"{call_state(found)}\n")
    else:
        print_lines(list(_lines(found, now=time.time())))


def _row(call: CallRecord, now: float) -> Sequence[str]:
    return (
        call.id,
        call_state(call),
        call.client,
        call.subject,
        call.model,
        call.deployment,
        ago(call.relayed_at, now) if call.relayed_at else "",
        call.relayed_by,
        call.handle,
        call.report.outcome if call.report is not None else "",
    )


CALLS: Final[Shape[CallRecord]] = Shape(
    noun="call",
    columns=(
        Column("ID", most=64),
        Column("STATE", styles=_STATE_STYLES, most=5),
        Column("CLIENT", rank=1, most=20),
        Column("SUBJECT", rank=4, most=24),
        Column("MODEL", rank=3, most=24),
        Column("DEPLOYMENT", rank=6, most=20),
        Column("RELAYED", rank=2, most=16),
        Column("BY", rank=7, most=20),
        Column("HANDLE", rank=5, most=22),
        Column("REPORT", rank=1, most=12, styles=dict.fromkeys(FAILURES, "red")),
    ),
    row=_row,
    as_json=call_document,
    id_of=lambda call: call.id,
)


def _lines(call: CallRecord, *, now: float) -> Iterator[Text]:
    state = call_state(call)
    head = Text(f"Call {legible(call.id)} is ").append(state, style=_STATE_STYLES[state])
    yield head.append(f": {_HINTS[state]}")
    yield Text()
    yield from fact_lines(_facts(call, now))


def answer_and_end(call: CallRecord) -> list[str]:
    """What is worth telling of how its answer was delivered, and of why it was or was not hung up."""
    told = []
    if call.delivered_at is not None:
        told.append("its answer was fetched by a second request")
    elif call.undelivered_at is not None:
        told.append("its answer reached no browser")
    if call.ended_because:
        told.append(_ENDED_BECAUSE.get(call.ended_because, call.ended_because))
    if call.not_ended_because:
        told.append(_NOT_ENDED_BECAUSE.get(call.not_ended_because, call.not_ended_because))
    if call.sideband:
        told.append(_NO_SIDEBAND.get(call.sideband, call.sideband))
    return told


def _usage(call: CallRecord) -> Iterator[tuple[str, str]]:
    lasted = f"{call.seconds:.1f} s" if call.seconds is not None else "how long is not known"
    yield "lasted", f"{lasted}; {_METERED.get(call.metered, call.metered)}"
    usage = call.usage
    if not usage:
        return
    cached = f", {usage['cached_tokens']:g} of them cached" if usage.get("cached_tokens") else ""
    read, made = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    yield "used", f"{usage.get('responses', 0):g} responses: {read:g} tokens in{cached}, {made:g} out"
    audio = [usage.get(f"{side}_audio_tokens", 0) for side in ("input", "output")]
    if any(audio):
        yield "audio", f"{audio[0]:g} tokens in, {audio[1]:g} out"
    spoken = [f"{usage[name]:g} s {what}" for name, what in _SPOKEN.items() if usage.get(name)]
    if spoken:
        yield "speech", ", ".join(spoken)


def _facts(call: CallRecord, now: float) -> Iterator[tuple[str, str]]:
    relayed = f"{utc(call.relayed_at)} ({ago(call.relayed_at, now)})" if call.relayed_at else "?"
    yield "relayed", f"{relayed} by {call.relayed_by or '?'}"
    yield "client", call.client
    yield "subject", call.subject or "none was given"
    yield "model", call.model
    yield "through", f"deployment {call.deployment}"
    yield "handle", call.handle
    if call.attached_at is not None:
        yield "sideband", f"since {utc(call.attached_at)} ({ago(call.attached_at, now)})"
    if call.ended_at is not None:
        yield "ended", f"{utc(call.ended_at)} ({ago(call.ended_at, now)}) by {call.ended_by or '?'}"
    elif call.ends_at is not None:
        yield "ends", f"{utc(call.ends_at)} at the latest, after {call.max_call_seconds} s"
    if call.metered:
        yield from _usage(call)
    if call.report is not None:
        yield from _report_facts(call.report, now)
    if call.hangup_asked_at is not None:
        asked = f"{utc(call.hangup_asked_at)} ({ago(call.hangup_asked_at, now)})"
        yield "to be ended", f"{asked} by operator {call.hangup_asked_by or '?'}"
    if call.hangup_failures:
        times = f"{call.hangup_failures:,} time{'' if call.hangup_failures == 1 else 's'}"
        yield "failed", f"to be hung up, {times}; the last: {call.last_hangup_failure or '?'}"
    if told := answer_and_end(call):
        yield "note", "; ".join(told)


def _report_facts(report: CallReport, now: float) -> Iterator[tuple[str, str]]:
    after = f"{report.after_ms / 1000:.1f} s after the answer"
    words = f": {_REPORTED[report.outcome]}" if report.failed else ""
    yield "its page", f"reported {report.outcome} {ago(report.at, now)}{words}, {after}"
    if report.protocol:
        yield "path", " ".join((report.protocol, report.candidate_type))
    states = (("ICE", report.ice_state), ("DTLS", report.dtls_state), ("microphone", report.microphone))
    if told := ", ".join(f"{name} {state}" for name, state in states if state):
        yield "states", told
    if report.local is not None and report.remote is not None:
        yield (
            "candidates",
            f"{_counted(report.local)} in the browser, {_counted(report.remote)} at the provider",
        )


def _counted(candidates: Candidates) -> str:
    pairs = zip(CANDIDATE_TYPES, candidates, strict=True)
    return ", ".join(f"{count} {kind}" for kind, count in pairs if count) or "none"
