"""A handle as a row of the listing. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.broker.desk import handle_document
from app.cli.columns import Column
from app.cli.listing import Shape
from app.cli.times import ago, span
from app.store.views import HandleView

STATE_STYLES: Final = {"live": "green", "spent": "yellow", "revoked": "red"}


def _row(view: HandleView, now: float) -> Sequence[str]:
    calls = f"{view.calls}/{view.max_calls}" if view.max_calls else f"{view.calls}"
    return (
        view.id,
        view.state,
        view.client,
        view.subject,
        view.model,
        view.deployment,
        ago(view.minted_at, now),
        span(view.life),
        calls,
    )


HANDLES: Final[Shape[HandleView]] = Shape(
    noun="handle",
    columns=(
        Column("ID", most=22),
        Column("STATE", styles=STATE_STYLES, most=7),
        Column("CLIENT", rank=1, most=20),
        Column("SUBJECT", rank=4, most=24),
        Column("MODEL", rank=3, most=24),
        Column("DEPLOYMENT", rank=6, most=20),
        Column("MINTED", rank=5, most=16),
        Column("LEFT", right=True, most=12),
        Column("CALLS", rank=2, right=True, most=9),
    ),
    row=_row,
    as_json=handle_document,
    id_of=lambda view: view.id,
)
