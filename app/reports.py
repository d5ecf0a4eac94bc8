"""What a page tells of its call after the relay: the words, the value, and its texts on the call's record.

A leaf module, pure. Nothing in a report is free text, and none of it is an address: each field is a number
with a bound or one of a few words, most of them WebRTC's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, cast, get_args

Outcome = Literal["connected", "ice_timeout", "dtls_timeout", "no_audio"]
# How calls are chosen by their report: by its outcome, or all whose outcome is a failure.
ReportChoice = Literal["connected", "ice_timeout", "dtls_timeout", "no_audio", "failed"]

OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
FAILURES: Final = frozenset(OUTCOMES) - {"connected"}
MAX_AFTER_MS: Final = 600_000
MAX_CANDIDATES: Final = 99
# RTCIceConnectionState and RTCDtlsTransportState of WebRTC 1.0 (sections 5.6.5 and 5.5.1).
ICE_STATES: Final = ("new", "checking", "connected", "completed", "disconnected", "failed", "closed")
DTLS_STATES: Final = ("new", "connecting", "connected", "closed", "failed")
PROTOCOLS: Final = ("udp", "tcp")
# RTCIceCandidateType of the same standard (section 4.8.1.3).
CANDIDATE_TYPES: Final = ("host", "srflx", "prflx", "relay")
MICROPHONES: Final = ("live", "muted", "ended", "none")

_REPORT: Final = re.compile(rf"([0-9]{{1,12}}) ({'|'.join(OUTCOMES)}) ([0-9]{{1,9}})\Z")
_COUNTS: Final = re.compile(" ".join(rf"{name}=([0-9]+)/([0-9]+)" for name in CANDIDATE_TYPES) + r"\Z")
# The texts' short names of the fields that are words.
_SHORT: Final[Mapping[str, str]] = {
    "ice_state": "ice",
    "dtls_state": "dtls",
    "protocol": "via",
    "candidate_type": "path",
    "microphone": "mic",
}


class Candidates(NamedTuple):
    """How many ICE candidates of each type one side had; the names are ``CANDIDATE_TYPES``."""

    host: int = 0
    srflx: int = 0
    prflx: int = 0
    relay: int = 0


@dataclass(frozen=True, slots=True)
class CallReport:
    """What became of a call, as its page saw it. Words are empty where the browser tells none.

    ``after_ms`` is milliseconds from the provider's answer to the outcome. ``protocol`` and
    ``candidate_type`` are of the browser's end of the path that was chosen. ``local`` and ``remote`` count
    candidates; there are both or none. ``at`` is epoch seconds, 0 until the report is on record.
    """

    outcome: Outcome
    after_ms: int
    ice_state: str = ""
    dtls_state: str = ""
    protocol: str = ""
    candidate_type: str = ""
    microphone: str = ""
    local: Candidates | None = None
    remote: Candidates | None = None
    at: int = 0

    @property
    def failed(self) -> bool:
        return self.outcome in FAILURES


def fits(wanted: ReportChoice | None, report: CallReport | None) -> bool:
    """Whether a call with this report is among those that are wanted; None wants all."""
    if wanted is None:
        return True
    if report is None:
        return False
    return report.failed if wanted == "failed" else report.outcome == wanted


def to_texts(report: CallReport) -> tuple[str, str, str]:
    """The report as three texts of at most 64 bytes, for the fields ``report``, ``report_states`` and
    ``report_candidates``; the last two may be empty.
    """
    states = [f"{short}={word}" for name, short in _SHORT.items() if (word := getattr(report, name))]
    counts: list[str] = []
    if report.local is not None and report.remote is not None:
        pairs = zip(CANDIDATE_TYPES, report.local, report.remote, strict=True)
        counts = [f"{name}={local}/{remote}" for name, local, remote in pairs]
    return f"{report.at} {report.outcome} {report.after_ms}", " ".join(states), " ".join(counts)


def from_texts(report: str, states: str, candidates: str) -> CallReport | None:
    """The report of these texts. None where the first is none of ours; what else is not is left out."""
    found = _REPORT.match(report)
    if found is None:
        return None
    words = dict(part.split("=", 1) for part in states.split(" ") if "=" in part)
    counts = _COUNTS.match(candidates)
    numbers = [int(number) for number in counts.groups()] if counts is not None else []
    return CallReport(
        outcome=cast(Outcome, found[2]),
        after_ms=int(found[3]),
        at=int(found[1]),
        local=Candidates(*numbers[0::2]) if numbers else None,
        remote=Candidates(*numbers[1::2]) if numbers else None,
        **{name: words.get(short, "") for name, short in _SHORT.items()},
    )
