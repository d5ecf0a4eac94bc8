"""Which pages may use the service: by their origin (CORS), and by the name that they call. Pure.

CORS is ours, because aiohttp-cors sends no ``Vary: Origin`` and ignores paths without a route, where a
browser then shows "CORS error" instead of the 404's message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

ANY: Final = "*"
ALLOW_METHODS: Final = "GET, POST, DELETE, OPTIONS"
# Location carries the call id. A page can read it only when it is exposed.
MAX_CALL_SECONDS_HEADER: Final = "x-cloakroom-max-call-seconds"
EXPOSE_HEADERS: Final = (
    f"Location, Link, x-request-id, x-upstream-request-id, Retry-After, {MAX_CALL_SECONDS_HEADER}"
)
MAX_AGE_SECONDS: Final = "600"
_DEFAULT_ALLOW_HEADERS: Final = "Authorization, Content-Type"
_MAX_REQUESTED: Final = 50

# For operators and scrapers: no page may read these, whatever origins are allowed elsewhere.
_FOR_NO_PAGE: Final = ("/admin/", "/metrics")

# What SDKs send: X-OpenAI-Agents-SDK, X-Stainless-..., OpenAI-Safety-Identifier, trace context.
_ALLOWED_HEADER = re.compile(
    r"(?:authorization|content-type|accept|api-key|traceparent|tracestate|openai-[a-z0-9-]+|x-[a-z0-9-]+)\Z"
)
# Probes of load balancers and of Kubernetes ask these by any name, and they tell nothing.
_FOR_ANY_NAME: Final = frozenset({"/livez", "/readyz"})
_BELOW: Final = "*."
# RFC 9110, section 7.2. An IPv6 address stands in brackets, except where it comes from a whole URL.
_HOST: Final = re.compile(
    r"(?:\[?(?P<address>[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)\]?|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]*)?\Z"
)


class CorsPolicy:
    """Which origins may call, from ``CLOAKROOM_CORS_ORIGINS``.

    Args:
        origins: ``https://app.example.com`` and the like, or ``*``.
        own_origin: the service's own public origin, always allowed.
    """

    def __init__(self, origins: Iterable[str], *, own_origin: str | None) -> None:
        self._origins = frozenset(origin.lower() for origin in origins)
        self._any = ANY in self._origins
        self._own = own_origin.lower() if own_origin else None

    def allowed_origin(self, origin: str, *, host: str, path: str) -> str | None:
        """The value of ``Access-Control-Allow-Origin`` for this origin, None when it is refused.

        ``host`` is the request's Host header: pages that the service serves itself are allowed.
        ``path`` is the request's, decoded as the router sees it.
        """
        if for_no_page(path):
            return None
        if self._any:
            return ANY
        lowered = origin.lower()
        # "null" and other origins without an authority are never ours, nor is a request without a Host.
        authority = lowered.partition("://")[2]
        if lowered in self._origins or lowered == self._own or (authority and authority == host.lower()):
            return origin
        return None


def for_no_page(path: str) -> bool:
    """Whether pages are refused at this path, whatever their origin."""
    return path.startswith(_FOR_NO_PAGE)


def allow_headers(requested: str | None) -> str:
    """The allowed ones of the header names that a preflight asks for, in lower case."""
    if not requested:
        return _DEFAULT_ALLOW_HEADERS
    names = [name.strip().lower() for name in requested.split(",")[:_MAX_REQUESTED]]
    return ", ".join(name for name in names if _ALLOWED_HEADER.match(name)) or _DEFAULT_ALLOW_HEADERS


class HostPolicy:
    """The names of the service, from ``CLOAKROOM_ALLOWED_HOSTS``, against DNS rebinding.

    A page whose name is made to lead to this service is of the same origin as what it reads here, so CORS
    does not stop it. Its requests still have its own name in ``Host``.

    Args:
        names: ``voice.example.com``, and ``*.example.com`` for all below it.
        public_url: the service's own origin, whose name is always one of them.
    """

    def __init__(self, names: Iterable[str], *, public_url: str | None) -> None:
        own = urlsplit(public_url).hostname if public_url is not None else None
        lowered = [name.lower() for name in (*names, *filter(None, [own]))]
        self._names = frozenset(name for name in lowered if not name.startswith(_BELOW))
        self._endings = tuple(name[1:] for name in lowered if name.startswith(_BELOW))

    def allows(self, host: str, path: str) -> bool:
        """Whether a request is for this service.

        An address is: to lead a page here takes a name, and probes call a pod by its address.

        Args:
            host: the request's ``Host``.
            path: the request's.
        """
        name, _, port = host.partition(":")
        if name in self._names and (not port or port.isdigit()):
            return True
        return path in _FOR_ANY_NAME or self._allows(host)

    def _allows(self, host: str) -> bool:
        found = _HOST.match(host)
        if found is None:
            return False
        name = (found["name"] or "").lower().removesuffix(".")
        return name in self._names or name.endswith(self._endings) or _is_address(found["address"] or name)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
