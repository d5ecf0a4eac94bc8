"""W3C Trace Context (https://www.w3.org/TR/trace-context/): what is well-formed, and nothing else.

A leaf module. Both headers are the caller's, so they are checked letter by letter before they go anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

# Version, trace id, parent id, flags; a later version may have more after another dash (section 3.2.4).
_PARENT = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<parent>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-[\x21-\x7e]*)?\Z"
)
_MEMBER = re.compile(
    r"(?P<key>[a-z0-9][a-z0-9_*/-]{0,240}(?:@[a-z][a-z0-9_*/-]{0,13})?|[a-z0-9][a-z0-9_*/-]{0,255})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]\Z"
)
# Section 3.3.1.1, and a cap of ours on what a caller can have us carry, in characters.
_MOST_MEMBERS: Final = 32
_LONGEST_PARENT: Final = 256
_LONGEST_STATE: Final = 4096
_SAMPLED: Final = 0x01


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The trace that a request belongs to. Ids are lower-case hexadecimal, of 32 and 16 digits.

    ``parent`` is the header as it came; ``state`` is the other one, empty where there is none to pass on.
    """

    trace_id: str
    parent_id: str
    sampled: bool
    parent: str
    state: str = field(default="", repr=False)

    def headers(self) -> dict[str, str]:
        """What passes the trace on unchanged."""
        return outgoing(self.parent, self.state)


def outgoing(parent: str, state: str) -> dict[str, str]:
    """The headers of a request that belongs to a trace."""
    return {TRACEPARENT: parent, TRACESTATE: state} if state else {TRACEPARENT: parent}


def read_trace_context(parents: Sequence[str], states: Sequence[str]) -> TraceContext | None:
    """Read the values of both headers; None where ``traceparent`` is not there once and well-formed.

    A malformed ``tracestate`` alone is left out, as the standard has it.
    """
    if len(parents) != 1 or len(parents[0]) > _LONGEST_PARENT:
        return None
    found = _PARENT.match(parents[0])
    if found is None or (found["version"] == "00" and found["more"] is not None):
        return None
    return TraceContext(
        trace_id=found["trace"],
        parent_id=found["parent"],
        sampled=bool(int(found["flags"], 16) & _SAMPLED),
        parent=parents[0],
        state=_state(states),
    )


def _state(values: Sequence[str]) -> str:
    """Several headers are one list; an empty member is allowed, a key twice is not."""
    whole = ",".join(values)
    members = [member for part in whole.split(",") if (member := part.strip(" \t"))]
    if len(whole) > _LONGEST_STATE or len(members) > _MOST_MEMBERS:
        return ""
    keys: Mapping[str, None] = dict.fromkeys(
        found["key"] for member in members if (found := _MEMBER.match(member)) is not None
    )
    return whole if len(keys) == len(members) else ""
