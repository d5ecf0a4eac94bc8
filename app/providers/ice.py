"""ICE servers: which STUN and TURN servers a browser may use for a call, and the forms in which it is told.

Pure. The forms are the JSON that ``RTCPeerConnection`` takes (WebRTC 1.0, section 4.2.4), and
``Link`` headers (RFC 9725, section 4.6). The URLs are those of RFC 7064 and RFC 7065.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from app.models import Answer, value

# A provider that names more of either is not believed.
MAX_SERVERS: Final = 16
MAX_URLS: Final = 16
_HOST: Final = r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?)"
_STUN: Final = re.compile(rf"stuns?:{_HOST}(?::[0-9]{{1,5}})?\Z")
_TURN: Final = re.compile(rf"turns?:{_HOST}(?::[0-9]{{1,5}})?(?:\?transport=(?:udp|tcp))?\Z")
_PORT: Final = re.compile(r":([0-9]{1,5})(?:\?|\Z)")
# What can stand in a header and in a browser's configuration.
_TEXT: Final = re.compile(r"[\x20-\x7e]{1,512}\Z")
# What is escaped in a quoted-string (RFC 9110, section 5.6.4).
_QUOTED: Final = re.compile(r'(["\\])')


@dataclass(frozen=True, slots=True)
class IceServer:
    """One entry of ``RTCConfiguration.iceServers``: URLs that share a credential, or need none."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = field(default=None, repr=False)


@value
class AnswerWithServers(Answer):
    """An answer beside which the provider named the ICE servers of the call."""

    ice_servers: tuple[IceServer, ...] = field(default=(), repr=False)


def as_json(server: IceServer) -> dict[str, Any]:
    """An ``RTCIceServer``."""
    if server.credential is None:
        return {"urls": list(server.urls)}
    return {"urls": list(server.urls), "username": server.username, "credential": server.credential}


def as_links(server: IceServer) -> Iterator[str]:
    """The value of a ``Link`` header for each URL."""
    for url in server.urls:
        link = f'<{url}>; rel="ice-server"'
        if server.credential is not None and is_turn(url):
            link += f"; username={_quoted(server.username or '')}; credential={_quoted(server.credential)}"
            link += '; credential-type="password"'
        yield link


def is_turn(url: str) -> bool:
    """Whether it is a relay's, which needs a credential."""
    return url.startswith("turn")


def is_ice_url(url: str) -> bool:
    """Whether browsers take this URL of a STUN or TURN server."""
    if not (_STUN.match(url) or _TURN.match(url)):
        return False
    port = _PORT.search(url.partition(":")[2].rpartition("]")[2])
    return port is None or 0 < int(port[1]) < 65_536


def read_ice_servers(found: Any) -> tuple[IceServer, ...]:
    """Read a list of ``RTCIceServer`` from JSON. What no browser would take is left out."""
    entries = found if isinstance(found, list) else []
    servers = (_read(entry) for entry in entries[:MAX_SERVERS] if isinstance(entry, dict))
    return tuple(server for server in servers if server is not None)


def _read(entry: dict[str, Any]) -> IceServer | None:
    given = entry.get("urls")
    urls = [given] if isinstance(given, str) else given
    if not isinstance(urls, list):
        return None
    username, credential = entry.get("username"), entry.get("credential")
    whole = _is_text(username) and _is_text(credential)
    fit = [
        url
        for url in urls[:MAX_URLS]
        if isinstance(url, str) and is_ice_url(url) and (whole or not is_turn(url))
    ]
    if not fit:
        return None
    return IceServer(tuple(fit), username, credential) if whole else IceServer(tuple(fit))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and _TEXT.match(value) is not None


def turn_credential(secret: bytes, user: str, *, expires_at: int) -> tuple[str, str]:
    """A username and a password that a TURN server with the same shared secret accepts until ``expires_at``.

    Source: "A REST API For Access To TURN Services" (draft-uberti-behave-turn-rest-00, section 2.2), as
    coturn's ``use-auth-secret`` has it. ``expires_at`` is epoch seconds.
    """
    username = f"{expires_at}:{user}"
    password = hmac.digest(secret, username.encode(), "sha1")
    return username, base64.b64encode(password).decode("ascii")


def _quoted(text: str) -> str:
    return '"' + _QUOTED.sub(r"\\\1", text) + '"'
