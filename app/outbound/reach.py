"""Tries how far a provider's host can be reached, for ``cloakroom doctor``. The host gets no request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from app.outbound.dialer import Dialer, DialFailed, Stage
from app.outbound.egress import Egress
from app.outbound.http1 import target_of


@dataclass(frozen=True, slots=True)
class Reached:
    """The address that answered, and the seconds of each stage.

    Through a proxy, ``proxy`` is its host and port, ``address`` its address, and ``tunnel`` the seconds to
    reach it and open a tunnel; ``name`` and ``connect`` are then 0. ``tls`` is None for http.
    """

    address: str
    name: float
    connect: float
    tls: float | None
    proxy: str | None = None
    tunnel: float | None = None


class Unreachable(Exception):
    """``stage`` is the one that failed.

    The message is one clause, with no address but a proxy's, or one that may not be dialled.
    """

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(reason)
        self.stage: Final = stage


class _Visit(asyncio.Protocol):
    """A connection that says nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's, so isinstance cannot tell.
        self.transport = cast(asyncio.Transport, transport)


async def reach(
    url: str,
    *,
    seconds: float,
    egress: Egress | None = None,
    now: Callable[[], float] = time.perf_counter,
) -> Reached:
    """Connect as the service does, and hang up.

    Args:
        url: http or https.
        seconds: deadline of each stage.
        egress: the way out; directly where it is left out.
        now: returns seconds.

    Raises:
        Unreachable: says at which stage.
    """
    egress, loop = egress or Egress(), asyncio.get_running_loop()
    origin = target_of(url).origin
    proxy = egress.proxy_for(origin)
    begun: dict[Stage, float] = {}
    dialer = Dialer(egress)
    try:
        async with asyncio.timeout(seconds) as deadline:

            def entering(stage: Stage) -> None:
                begun[stage] = now()
                deadline.reschedule(loop.time() + seconds)

            visit = await dialer.dial(origin, _Visit, entering=entering)
    except TimeoutError:
        stage, silent = list(begun)[-1], f"no answer within {seconds:.1f} s"
        raise Unreachable(stage, f"the proxy {proxy}: {silent}" if stage == "proxy" else silent) from None
    except DialFailed as failure:
        raise Unreachable(failure.stage, str(failure)) from None
    finally:
        await dialer.close()
    address = visit.transport.get_extra_info("peername")[0]
    visit.transport.abort()
    return _times(str(address), begun, now(), str(proxy) if proxy is not None else None)


def _times(address: str, begun: dict[Stage, float], ended: float, proxy: str | None) -> Reached:
    ends = [*list(begun.values())[1:], ended]
    took = {stage: end - start for (stage, start), end in zip(begun.items(), ends, strict=True)}
    return Reached(
        address,
        took.get("name", 0.0),
        took.get("connect", 0.0),
        took.get("tls"),
        proxy=proxy,
        tunnel=took.get("proxy"),
    )
