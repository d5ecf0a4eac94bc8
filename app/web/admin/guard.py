"""Who may use the admin API, and the audit line of each request to it, refused ones included."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from aiohttp import web

from app.broker.clients import ClientRegistry
from app.errors import AdminDisabled, CloakroomError, InternalError, InvalidApiKey
from app.web.appkeys import DESK, REQUEST_ID, TIMINGS
from app.web.incoming import credential

# Audit lines are written at every CLOAKROOM_LOG_LEVEL.
log = structlog.wrap_logger(
    None,
    wrapper_class=structlog.make_filtering_bound_logger(0),
    logger_factory_args=("cloakroom.audit",),
)

_DISABLED: Final = (
    "The admin API is off, because no operator has a key. Set CLOAKROOM_ADMIN_KEYS to name:key pairs; "
    "'cloakroom keys new' makes one."
)
_WHO: Final = (
    "The admin API needs an operator's key: send 'Authorization: Bearer <key of CLOAKROOM_ADMIN_KEYS>'."
)


@dataclass(slots=True)
class Act:
    """What an operator does with one request, for the audit line. It must hold no secret.

    ``admin`` is empty until the key is known. ``event`` is the event's name for those who watch, if any.
    """

    action: str
    admin: str = ""
    outcome: str = "done"
    fields: dict[str, Any] = field(default_factory=dict)
    event: str | None = None

    def begun(self, request: web.Request) -> None:
        """Write a line now, for a request that takes long."""
        _write(request, self, "begun", None)


View = Callable[[web.Request, Act], Awaitable[web.StreamResponse]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guarded(action: str, view: View) -> Handler:
    """Let only operators use the view, and write the audit line when it is done."""

    async def handler(request: web.Request) -> web.StreamResponse:
        act, started = Act(action), time.perf_counter()
        try:
            act.admin = _admin(request)
            response = await view(request, act)
        except CloakroomError as error:
            _audit(request, act, started, error.answer_status, error.answer_code)
            raise
        except Exception:
            # The gate answers the caller and logs the cause.
            _audit(request, act, started, InternalError.status, InternalError.code)
            raise
        _audit(request, act, started, response.status, None)
        return response

    return handler


def _admin(request: web.Request) -> str:
    """The operator's name.

    Raises:
        AdminDisabled, InvalidApiKey
    """
    admins: ClientRegistry | None = request.app[DESK].admins
    if admins is None:
        raise AdminDisabled(_DISABLED)
    admin = admins.find(credential(request))
    if admin is None:
        raise InvalidApiKey(_WHO)
    return admin.name


def _audit(request: web.Request, act: Act, started: float, status: int, code: str | None) -> None:
    _write(request, act, code or act.outcome, status)
    feed = request.app[DESK].feed
    if act.event is None or not feed.wanted:
        return
    timings = request[TIMINGS]
    feed.offer(
        act.event,
        {
            **act.fields.get("filters", {}),
            **act.fields,
            "request_id": request[REQUEST_ID],
            "status": status,
            "code": code,
            "outcome": act.outcome if code is None else None,
            "by": act.admin or None,
            "total_ms": round((time.perf_counter() - started) * 1000, 2),
            "provider_ms": round(timings.provider * 1000, 2),
            "store_ms": round(timings.store * 1000, 2),
        },
    )


def _write(request: web.Request, act: Act, outcome: str, status: int | None) -> None:
    log.info(
        "audit",
        admin=act.admin or None,
        action=act.action,
        outcome=outcome,
        status=status,
        request_id=request[REQUEST_ID],
        **act.fields,
    )
