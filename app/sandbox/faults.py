"""Faults that a test arms: what may go wrong, where, and how often. How each is done is in `fault_wire`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Done instead of, or before, what the request asked for.
BEFORE = ("delay", "status", "drop_before", "stall", "html", "redirect")
# The request is acted on, and then the answer is spoilt.
AFTER = (
    "drop_after",
    "stall_after",
    "garble",
    "bad_header",
    "bad_json",
    "wrong_type",
    "no_location",
    "headers",
    "truncate",
    "trickle",
    "huge_body",
    "raw",
)
# The key is spoilt and the answer looks well.
MINT = ("expire_early", "past_expiry")
# The offer is answered well, and the call goes wrong afterwards, between the browser and the peer.
MEDIA = ("no_path", "wrong_fingerprint", "no_audio")
KINDS = (*BEFORE, *AFTER, *MINT, *MEDIA)
OPERATIONS = (
    "client_secrets",
    "calls",
    "hangup",
    "sideband",
    "voice_live",
    "sessions",
    "transcription_sessions",
    "translations_client_secrets",
    "translations_calls",
    "models",
    "token",
    "configuration",
    "jwks",
    "authorize",
    "signed_in",
    "user_token",
    "tokens",
    "ice_servers",
)
# Those that mint an ephemeral key.
MINTS = frozenset(
    {"client_secrets", "sessions", "transcription_sessions", "translations_client_secrets", "tokens"}
)
_OF_THE_ISSUER = frozenset({"configuration", "jwks", "authorize", "signed_in", "user_token"})
# What a service asks in the background, and what pages ask of the identity provider: a fault that names no
# operation must strike a caller's request.
BACKGROUND = frozenset({"models", "token", "ice_servers", *_OF_THE_ISSUER})


@dataclass(slots=True)
class Fault:
    """One armed fault.

    Attributes:
        kind: one of KINDS.
        path: the operation that it strikes, one of OPERATIONS; None strikes all but BACKGROUND.
        times: how many requests it strikes; 0 is until it is cleared.
        seconds: how long, for the kinds that take time.
        status, body, headers: what is answered, for the kinds that answer.
        location: where a redirect points.
        size: bytes of a huge body.
    """

    kind: str
    path: str | None = None
    times: int = 1
    seconds: float = 0.0
    status: int | None = None
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    location: str = "http://127.0.0.1:9/elsewhere"
    size: int = 32 * 1024 * 1024
    hits: int = 0

    def report(self) -> dict[str, object]:
        """The fault as the control API shows it."""
        return {name: getattr(self, name) for name in self.__slots__}


def read_fault(body: Any) -> Fault:
    """A fault from its JSON.

    Raises ValueError with a sentence, whatever is wrong: a misspelt fault that armed nothing would let a
    test pass for no reason.
    """
    if not isinstance(body, dict):
        raise ValueError("a fault is an object")  # noqa: TRY004 - bad input is one error
    if body.get("kind") not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}")
    if body.get("path") is not None and body["path"] not in OPERATIONS:
        raise ValueError(f"path must be one of {', '.join(OPERATIONS)}, or be left out")
    if body.get("path") == "sideband" and body["kind"] not in BEFORE:
        raise ValueError(f"a sideband's answer is no body to spoil: kind must be one of {', '.join(BEFORE)}")
    kinds: dict[str, tuple[type, ...]] = {
        "times": (int,),
        "seconds": (int, float),
        "status": (int,),
        "body": (str,),
        "headers": (dict,),
        "location": (str,),
        "size": (int,),
    }
    for name, value in body.items():
        if name in ("kind", "path"):
            continue
        if name not in kinds:
            raise ValueError(f"unknown field {name}")
        if not isinstance(value, kinds[name]) or isinstance(value, bool):
            raise ValueError(f"{name} has the wrong type")  # noqa: TRY004 - as above
    return Fault(**body)


class FaultBook:
    """The armed faults, in the order in which they were armed."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def arm(self, fault: Fault) -> None:
        """Add one; the first that matches a request strikes it, alone."""
        self._faults.append(fault)

    def take(self, operation: str) -> Fault | None:
        """The fault that strikes this request, if any; one that is used up is gone."""
        for fault in self._faults:
            if fault.path == operation or (fault.path is None and operation not in BACKGROUND):
                fault.hits += 1
                if fault.hits == fault.times:
                    self._faults.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        """Disarm all."""
        self._faults.clear()

    def reports(self) -> list[dict[str, object]]:
        """The armed faults."""
        return [fault.report() for fault in self._faults]
