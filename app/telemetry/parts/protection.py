"""The metrics of what is refused to keep the service open for others."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

from app.telemetry.metrics import Family, Metrics

CREDENTIALS: Final = Family(
    "cloakroom_credentials_refused_total",
    "counter",
    ("answer",),
    "Keys, tokens and handles of no value, by their answer: 429 where their address had sent too many.",
)
CONNECTIONS: Final = Family(
    "cloakroom_connections_cut_total", "counter", ("reason",), "Connections that we ended, by why."
)
SHARES: Final = Family(
    "cloakroom_fair_share_total",
    "counter",
    ("verdict",),
    "Requests while the replica was full or shed load: those within their client's share were served.",
)

ANSWERS: Final = ("401", "429")
# ``head``: it came too slowly; ``unread``: the caller did not read its answer; ``address``: its peer has too
# many; ``room``: it was idle longest, and one more came than the port may have.
CUTS: Final = ("head", "unread", "address", "room")
VERDICTS: Final = ("served", "refused")


class ProtectionMetrics:
    """Counts them. Each is a counter by itself, because ``labels()`` takes longer than ``inc()``."""

    def __init__(self, metrics: Metrics) -> None:
        credentials, connections, shares = (
            Counter(family.name, family.meaning, family.labels, registry=metrics.registry)
            for family in (CREDENTIALS, CONNECTIONS, SHARES)
        )
        self.refused, self.limited = (credentials.labels(answer) for answer in ANSWERS)
        self.cut = {reason: connections.labels(reason) for reason in CUTS}
        self.share_served, self.share_refused = (shares.labels(verdict) for verdict in VERDICTS)
