"""Where a request comes from: the peer of its connection, or the caller behind proxies that are trusted.

Each proxy appends the address that it was called from, so the last entries of the header are the proxies',
and all before them is what the caller wrote. Behind two proxies the caller is the second from the right.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final, Literal

from aiohttp import web

from app.web.appkeys import SETTINGS

# Which header the proxies write. One is read and never both: a proxy that writes one passes the other on as
# the caller wrote it.
HeaderName = Literal["x-forwarded-for", "forwarded"]

# Where the transport does not know its peer, which is gone already.
UNKNOWN: Final = "unknown"
# A network of IPv6 that one subscriber has, who may use any address in it.
_SUBSCRIBER_BITS: Final = 64
_LONGEST_ADDRESS: Final = 64
# ``for`` of one element of RFC 7239, in quotes or not.
_FOR: Final = re.compile(r'(?:^|;)\s*for\s*=\s*("?)([^";,\s]+)\1\s*(?:;|$)', re.IGNORECASE)


def caller_address(request: web.Request) -> str:
    """The address that a request comes from, in its usual spelling, without port and zone.

    Behind ``trusted_proxies`` proxies it is their word. Where the header has fewer entries, or the entry is
    no address, the request did not come through all of them. Then it is the peer's address, which nobody
    can forge.
    """
    settings = request.app[SETTINGS]
    header, proxies = settings.forwarded_header, settings.trusted_proxies
    entries: Sequence[str] = request.headers.getall(header, ()) if proxies else ()
    return address_behind(request.remote, entries, proxies, header=header)


def address_behind(
    peer: str | None, entries: Sequence[str], proxies: int, *, header: HeaderName = "x-forwarded-for"
) -> str:
    """The caller's address.

    Args:
        peer: the address of the connection's other end; None where it is not known.
        entries: the header's values, in their order.
        proxies: how many of them are trusted.
    """
    told = _from_the_right(entries, proxies) if proxies else None
    if told is not None and header == "forwarded":
        found = _FOR.search(told)
        told = found[2] if found is not None else None
    address = parse_address(told) if told is not None else None
    return address or parse_address(peer or "") or peer or UNKNOWN


def parse_address(text: str) -> str | None:
    """An address in its usual spelling; None where the text is none.

    Proxies also write ``192.0.2.1:4711``, ``[2001:db8::1]:4711`` and ``fe80::1%eth0``.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST_ADDRESS:
        return None
    if text.startswith("["):
        text, closed, port = text[1:].partition("]")
        if not closed or (port and not _is_port(port.removeprefix(":"))):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(port):
            return None
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # A server that listens on :: sees its callers of IPv4 so.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def counted_as(address: str) -> str:
    """What an address is counted under: itself, or the /64 network of an IPv6 address."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.IPv6Network((address, _SUBSCRIBER_BITS), strict=False))
    except ValueError:
        return address


def _from_the_right(entries: Sequence[str], number: int) -> str | None:
    """The entry at this place, counted from the last one; None where there are fewer."""
    # The text before the last entries is the caller's: no quote in it may swallow a comma behind it.
    last = ",".join(entries).rsplit(",", number)
    return last[-number] if len(last) >= number else None


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5
