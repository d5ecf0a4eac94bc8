"""Every metric of ours: name, type, labels and meaning. ``docs/metrics.md`` says the same, by a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. ``name`` is what is queried; a histogram's gets its suffixes."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str


_OPERATION: Final = ("model", "deployment", "outcome", "code")

MINTS: Final = Family("cloakroom_mints_total", "counter", _OPERATION, "Mints that were answered.")
RELAYS: Final = Family("cloakroom_relays_total", "counter", _OPERATION, "Offers that were answered.")
HANGUPS: Final = Family("cloakroom_hangups_total", "counter", _OPERATION, "Hang-ups that were answered.")
CLAIMS_REFUSED: Final = Family(
    "cloakroom_claims_refused_total",
    "counter",
    ("reason",),
    "Offers that their handle did not open a call for.",
)
RESPONSES: Final = Family(
    "cloakroom_http_responses_total", "counter", ("handler", "status"), "HTTP answers of every kind."
)
REFUSALS: Final = Family(
    "cloakroom_http_refusals_total",
    "counter",
    ("code",),
    "Errors of what is no mint, relay or hang-up, or never became one.",
)
DURATION: Final = Family(
    "cloakroom_request_duration_seconds",
    "histogram",
    ("operation", "outcome"),
    "All of a request, from its headers to its answer, the waits included.",
)
OVERHEAD: Final = Family(
    "cloakroom_overhead_seconds",
    "histogram",
    ("operation",),
    "What this service itself adds: a request less its waits for provider, store and the caller's body.",
)
PROVIDER: Final = Family(
    "cloakroom_provider_duration_seconds",
    "histogram",
    ("operation", "deployment"),
    "One request to a provider, whatever came of it; a retry is one more.",
)
STORE: Final = Family(
    "cloakroom_store_duration_seconds", "histogram", ("step",), "One step at the store, failed ones too."
)
TRIES: Final = Family(
    "cloakroom_provider_tries_total",
    "counter",
    ("operation", "deployment", "result"),
    "Requests to providers; a retry or a failover is one more.",
)
STORE_UP: Final = Family(
    "cloakroom_store_up",
    "gauge",
    (),
    "1 while the store is thought to be there, 0 while its breaker is open.",
)
DEPLOYMENT_UP: Final = Family(
    "cloakroom_deployment_up",
    "gauge",
    ("deployment",),
    "1 when the last request to the deployment was answered, with a refusal too; 0 when it failed.",
)
DEPLOYMENT_COOLING: Final = Family(
    "cloakroom_deployment_cooling",
    "gauge",
    ("deployment",),
    "1 while mints try the deployment after its alternatives, since it just failed.",
)
IN_FLIGHT: Final = Family(
    "cloakroom_requests_in_flight", "gauge", (), "HTTP requests that are being answered, this one included."
)
IN_FLIGHT_LIMIT: Final = Family(
    "cloakroom_requests_in_flight_limit", "gauge", (), "How many there may be; one more is refused."
)
DRAINING: Final = Family("cloakroom_draining", "gauge", (), "1 once the replica is shutting down.")
HANDLES_ALIVE: Final = Family(
    "cloakroom_handles_alive", "gauge", (), "Handles that live in the store, of all replicas together."
)
CALLS_ALIVE: Final = Family(
    "cloakroom_calls_alive", "gauge", (), "Calls that may still go on, of all replicas together."
)
SETTLEMENTS_PENDING: Final = Family(
    "cloakroom_settlements_pending",
    "gauge",
    (),
    "Writes that follow an answer of a provider and are not stored yet.",
)
SETTLEMENTS_GIVEN_UP: Final = Family(
    "cloakroom_settlements_given_up_total",
    "counter",
    (),
    "Such writes that the store did not take for a minute.",
)
BUILD: Final = Family("cloakroom_build_info", "gauge", ("version", "python"), "Always 1; what runs here.")

FAMILIES: Final = (
    MINTS,
    RELAYS,
    HANGUPS,
    CLAIMS_REFUSED,
    RESPONSES,
    REFUSALS,
    DURATION,
    OVERHEAD,
    PROVIDER,
    STORE,
    TRIES,
    STORE_UP,
    DEPLOYMENT_UP,
    DEPLOYMENT_COOLING,
    IN_FLIGHT,
    IN_FLIGHT_LIMIT,
    DRAINING,
    HANDLES_ALIVE,
    CALLS_ALIVE,
    SETTLEMENTS_PENDING,
    SETTLEMENTS_GIVEN_UP,
    BUILD,
)
