"""A call as a row of the listing. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.broker.desk import call_document
from app.cli.columns import Column
from app.cli.listing import Shape
from app.cli.times import ago
from app.models import CallRecord

STATE_STYLES: Final = {"open": "green", "ended": "dim"}


def _row(call: CallRecord, now: float) -> Sequence[str]:
    return (
        call.id,
        "open" if call.ended_at is None else "ended",
        call.client,
        call.subject,
        call.model,
        call.deployment,
        ago(call.relayed_at, now),
        call.relayed_by,
        call.handle,
    )


CALLS: Final[Shape[CallRecord]] = Shape(
    noun="call",
    columns=(
        Column("ID", most=64),
        Column("STATE", styles=STATE_STYLES, most=5),
        Column("CLIENT", rank=1, most=20),
        Column("SUBJECT", rank=4, most=24),
        Column("MODEL", rank=3, most=24),
        Column("DEPLOYMENT", rank=6, most=20),
        Column("RELAYED", rank=2, most=16),
        Column("BY", rank=7, most=20),
        Column("HANDLE", rank=5, most=22),
    ),
    row=_row,
    as_json=call_document,
    id_of=lambda call: call.id,
)
