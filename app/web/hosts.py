"""Under which names the service answers, against DNS rebinding. Pure.

A page whose name is made to lead to this service is of the same origin as what it reads here, so CORS does
not stop it. Its requests still have its own name in ``Host``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

# Probes of load balancers and of Kubernetes ask these by any name, and they tell nothing.
_FOR_ANY_NAME: Final = frozenset({"/livez", "/readyz"})
_BELOW: Final = "*."
# RFC 9110, section 7.2. An IPv6 address stands in brackets, except where it comes from a whole URL.
_HOST: Final = re.compile(
    r"(?:\[?(?P<address>[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)\]?|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]*)?\Z"
)


class HostPolicy:
    """The names of the service, from ``CLOAKROOM_ALLOWED_HOSTS``.

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
        name = host.partition(":")[0]
        if name in self._names:
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
