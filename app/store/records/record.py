"""The records of a handle and of a call, as Redis keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Final

from app.models import value
from app.reports import CallReport
from app.store.records.bearers import packed

# What is counted of a call's usage, in the order in which it is shown. ``input_tokens`` are all that its
# responses read, and ``cached_tokens`` those of them that were cached; not every provider tells the parts by
# kind. Each response reads the conversation so far again.
USAGE_COUNTS: Final = ("responses", "transcriptions")
USAGE_TOKENS: Final = (
    *("input_tokens", "input_text_tokens", "input_audio_tokens", "input_image_tokens"),
    *("cached_tokens", "cached_text_tokens", "cached_audio_tokens", "cached_image_tokens"),
    *("output_tokens", "output_text_tokens", "output_audio_tokens"),
    *("transcription_input_tokens", "transcription_output_tokens"),
)
# With thousandths: of the speaker, as the provider's detection of speech tells; of audio whose transcription
# is billed by time; of the provider's voice; of a Live session, which is billed by them.
USAGE_SECONDS: Final = ("speech_seconds", "transcription_seconds", "answer_seconds", "live_seconds")
USAGE_FIGURES: Final = (*USAGE_COUNTS, *USAGE_TOKENS, *USAGE_SECONDS)


@value
class HandleRecord:
    """What Redis keeps of a handle. Times are epoch seconds on the minting replica's clock.

    ``sealed_key`` is ciphertext; everything else is plain for an SRE to read. ``region`` is the
    deployment's, empty where none is known. ``max_call_seconds`` is the leash of its calls, 0 for none.
    ``bind_origin`` and ``bind_fingerprint`` are whose offers it takes, empty for everybody's.
    """

    id: str
    model: str
    deployment: str
    provider: str
    family: str
    client: str
    subject: str
    origin: str
    minted_at: int
    expires_at: int
    minted_by: str
    max_calls: int
    sealed_key: str = field(repr=False)
    region: str = ""
    max_call_seconds: int = 0
    bind_origin: str = ""
    bind_fingerprint: str = ""

    @property
    def stated(self) -> tuple[str, ...]:
        """What its proof is about, as Redis keeps it: all that decides what the handle is good for."""
        return handle_statement(
            self.id,
            (self.model, self.deployment, self.family, self.client, self.subject),
            str(self.expires_at),
            str(self.max_calls or ""),
            str(self.max_call_seconds or ""),
            (self.bind_origin, packed(self.bind_fingerprint)),
        )


def handle_statement(
    handle_id: str,
    names: tuple[str, ...],
    expires_at: str,
    max_calls: str,
    max_call_seconds: str,
    bound: tuple[str, str],
) -> tuple[str, ...]:
    """The texts that the proof of a handle's record is about.

    ``names`` are model, deployment, family, client and subject; ``bound`` are the origin and the certificate.
    """
    return ("handle", handle_id, *names, expires_at, max_calls, max_call_seconds, *bound)


@value
class CallRecord:
    """What Redis keeps of a call that was relayed. Times are epoch seconds.

    ``ended_at`` is None until a hang-up by any replica; a call that ended by itself has none.
    ``ended_because`` is empty where a caller asked for it, else the reason of the call's deadline.
    ``hangup_asked_at``: an operator wants it to end; ``hangup_asked_by`` is the operator's name.
    ``hangup_failures`` counts hang-ups that failed and are repeated; ``last_hangup_failure`` is a code.
    ``undelivered_at``: its answer reached no browser; ``delivered_at``: the same offer fetched it later.
    ``not_ended_because``: why a call that should be hung up is not.
    ``report`` is what its page told became of it, None until then.
    ``max_call_seconds`` is the time after which it is hung up, 0 for never.
    ``seat`` is its place among the client's calls, empty where their number is not limited.
    ``attached_at``: a sideband was first opened; ``sideband`` is why there is none.
    ``version`` is the record's (``app.store.keys``): of one that is not known, the rest may be empty.
    ``metered`` is how its usage was counted, empty until it is over: ``complete``, ``incomplete``, or why it
    was not; ``seconds`` is how long it lasted, None where that is not known, and ``usage`` what it used, by
    ``USAGE_FIGURES``. ``to_meter`` is not kept: whether a new call is to be metered. ``proof`` is of
    ``stated``, empty where an older release relayed it.
    """

    id: str
    handle: str
    deployment: str
    model: str
    client: str
    subject: str
    relayed_at: int
    relayed_by: str
    ended_at: int | None = None
    ended_by: str = ""
    version: int = 1
    ended_because: str = ""
    undelivered_at: int | None = None
    delivered_at: int | None = None
    not_ended_because: str = ""
    hangup_asked_at: int | None = None
    hangup_asked_by: str = ""
    hangup_failures: int = 0
    last_hangup_failure: str = ""
    report: CallReport | None = None
    max_call_seconds: int = 0
    seat: str = field(default="", repr=False)
    attached_at: int | None = None
    sideband: str = ""
    metered: str = ""
    seconds: float | None = None
    usage: Mapping[str, float] = field(default_factory=dict)
    to_meter: bool = False
    proof: str = field(default="", repr=False)

    @property
    def stated(self) -> tuple[str, ...]:
        """What its proof is about: whose call it is, where it is, and how long it may last."""
        names = (self.handle, self.deployment, self.model, self.client, self.subject)
        return call_statement(self.id, names, self.relayed_at, self.max_call_seconds, self.seat)

    @property
    def ends_at(self) -> int | None:
        """When the call is hung up at the latest, epoch seconds; None without a limit of ours."""
        return self.relayed_at + self.max_call_seconds if self.max_call_seconds else None


def call_statement(
    call_id: str, names: tuple[str, ...], relayed_at: int, max_call_seconds: int, seat: str
) -> tuple[str, ...]:
    """The texts that the proof of a call's record is about.

    ``names`` are handle, deployment, model, client and subject.
    """
    return ("call", call_id, *names, str(relayed_at), str(max_call_seconds), seat)
