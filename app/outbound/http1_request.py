"""Writes requests of HTTP/1.1 (RFC 9112) as bytes: no sockets, no clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from yarl import URL

from app import __version__

# Compressing 2 kB costs more than it saves, and an unasked-for encoding has a smaller surface.
_ALWAYS: Final = f"User-Agent: cloakroom/{__version__}\r\nAccept-Encoding: identity\r\n"
_ANYTHING: Final = "Accept: */*\r\n"
# Field lines: a token, and a value without control characters, so that no value can begin another line.
_FIELD_LINES: Final = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n)*\Z")
# URLs are those of deployments, and of calls that are hung up: those pass through.
_TARGETS: Final = 256


class Unsendable(ValueError):
    """This cannot be written as a request; nothing was sent. Quotes nothing of it."""


class Origin(NamedTuple):
    """Whom a connection leads to; connections are kept for each."""

    secure: bool
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL comes to. ``head`` are the lines that every request to it has, but the first word."""

    origin: Origin
    head: str = field(repr=False)


@lru_cache(maxsize=_TARGETS)
def target_of(text: str) -> Target:
    """Take a URL apart; names in other scripts and unusual paths are put in their ASCII form.

    Raises:
        Unsendable: it is no http or https URL with a host.
    """
    try:
        url = URL(text)
        host, port, authority = url.raw_host, url.port, url.host_port_subcomponent
    except ValueError:
        raise Unsendable("no usable URL") from None
    if url.scheme not in ("http", "https") or not host or port is None or authority is None:
        raise Unsendable("no usable URL")
    head = f" {url.raw_path_qs} HTTP/1.1\r\nHost: {authority}\r\n{_ALWAYS}"
    if not head.isascii() or head.count(" ") != _ALWAYS.count(" ") + 3 or head.count("\n") != 4:
        raise Unsendable("no usable URL")
    return Target(Origin(url.scheme == "https", host.rstrip("."), port), head)


def written(method: str, target: Target, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """The whole request, so that one write sends it; ``body`` None: it has none, and no length.

    Raises:
        Unsendable: a field's name or value cannot be sent.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    # The count: a value that holds whole lines would pass for fields of its own.
    if not _FIELD_LINES.match(lines) or lines.count("\n") != len(headers):
        raise Unsendable("a header field has a name or a value that no request may have")
    accept = "" if "Accept" in headers else _ANYTHING
    length = f"Content-Length: {len(body)}\r\n\r\n" if body is not None else "\r\n"
    head = f"{method}{target.head}{accept}{lines}{length}".encode()
    return head + body if body else head
