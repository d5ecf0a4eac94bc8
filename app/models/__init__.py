"""Frozen values that the parts share. Of ours they import only ``app.reports``.

No behaviour beyond checks of their own fields, and nothing that reads or writes.
"""

from app.models.base import (
    CALLS_PATH,
    LIVE_PATH,
    LONGEST_CALL_SECONDS,
    MAX_KEY_SECONDS,
    MIN_KEY_SECONDS,
    SHORTEST_CALL_SECONDS,
    TRANSLATION_CALLS_PATH,
    USUAL_KEY_SECONDS,
    USUAL_MODEL,
    Clocks,
    Secret,
    value,
)
from app.models.client import NO_LIMITS, CallLimits, Client
from app.models.deployment import USUAL_FAMILIES, BearerTokens, Deployment, Family
from app.models.requests import (
    NOT_BOUND,
    Answer,
    Binding,
    EphemeralKey,
    HandleClaims,
    MintRequest,
    Offer,
    Sender,
    StandardCall,
)

__all__ = [
    "Answer",
    "BearerTokens",
    "Binding",
    "CALLS_PATH",
    "CallLimits",
    "Client",
    "Clocks",
    "Deployment",
    "EphemeralKey",
    "Family",
    "HandleClaims",
    "LIVE_PATH",
    "LONGEST_CALL_SECONDS",
    "MAX_KEY_SECONDS",
    "MIN_KEY_SECONDS",
    "MintRequest",
    "NOT_BOUND",
    "NO_LIMITS",
    "Offer",
    "SHORTEST_CALL_SECONDS",
    "Secret",
    "Sender",
    "StandardCall",
    "TRANSLATION_CALLS_PATH",
    "USUAL_FAMILIES",
    "USUAL_KEY_SECONDS",
    "USUAL_MODEL",
    "value",
]
