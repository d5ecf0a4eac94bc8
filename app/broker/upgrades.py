"""What a replica answers for a record that a newer release wrote, while an upgrade rolls out.

Such a replica is about to be replaced, and the newer ones can serve the request. So the caller is told to try
again, as by a replica that is draining: after ``Retry-After`` the load balancer may choose another one. The
handle is good, so the caller is not told to mint again. The store is well, so the error does not blame it.
"""

from __future__ import annotations

from typing import Final, Literal

import structlog

from app.errors import Draining
from app.store.keys import RECORD_VERSION

log = structlog.get_logger("cloakroom.upgrades")

RETRY_AFTER_SECONDS: Final = 1


def newer_release(what: Literal["handle", "call"], record_id: str, version: int | str | None) -> Draining:
    """Log that this replica cannot read the record, and return the error to raise.

    ``version`` is the record's, None where it was not read.
    """
    about = {"handle": record_id} if what == "handle" else {"call_id": record_id}
    log.warning("record_of_newer_release", **about, version=str(version), reads_up_to=RECORD_VERSION)
    return Draining(
        f"A newer release of this service wrote the record of this {what}, and this replica cannot read it. "
        "Try again: another replica can serve it.",
        retry_after=RETRY_AFTER_SECONDS,
    )
