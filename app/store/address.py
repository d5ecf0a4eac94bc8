"""Reads ``CLOAKROOM_REDIS_URL``: which kind of store, and where. Knows nothing of a driver."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

Kind = Literal["server", "sentinel", "cluster", "memory"]

_KINDS: Final[dict[str, tuple[Kind, bool]]] = {
    "redis": ("server", False),
    "rediss": ("server", True),
    "redis+sentinel": ("sentinel", False),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
    "memory": ("memory", False),
}
_DEFAULT_PORTS: Final = {"sentinel": 26379}


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """A parsed store URL. ``shown`` is safe to log: kind and hosts, no user, no password."""

    kind: Kind
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    shown: str
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    database: int = 0
    service: str = "mymaster"
    tls_ca_file: str | None = None


def parse_address(url: str) -> StoreAddress:
    """Parse ``redis://[user:password@]host[:port][,host:port][/database or /service/database][?ca=FILE]``.

    Raises:
        ValueError: malformed; the message holds no part of the URL but its scheme.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        # The original message quotes user and password.
        raise ValueError("the store URL cannot be read; percent-encode user and password") from None
    if parts.scheme not in _KINDS:
        raise ValueError(f"a store URL cannot begin with {parts.scheme or 'nothing'}://")
    kind, tls = _KINDS[parts.scheme]
    if kind == "memory":
        return StoreAddress(kind=kind, tls=False, hosts=(), shown="memory://")
    userinfo, _, where = parts.netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    hosts = tuple(_host(text, _DEFAULT_PORTS.get(kind, 6379)) for text in where.split(",") if text)
    if not hosts:
        raise ValueError(f"the store URL {parts.scheme}://... names no host")
    if kind == "server" and len(hosts) > 1:
        raise ValueError(
            f"{parts.scheme}:// takes one host; redis+sentinel:// and redis+cluster:// take more"
        )
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    service = segments.pop(0) if kind == "sentinel" and segments else "mymaster"
    options = dict(parse_qsl(parts.query))
    if options.keys() - {"ca"}:
        raise ValueError("the store URL takes no option but ?ca=FILE")
    return StoreAddress(
        kind=kind,
        tls=tls,
        hosts=hosts,
        shown=f"{parts.scheme}://" + ",".join(f"{host}:{port}" for host, port in hosts),
        username=unquote(username) or None,
        password=unquote(password) or None,
        database=_database(segments),
        service=service,
        tls_ca_file=options.get("ca"),
    )


def _host(text: str, default_port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError:
        raise ValueError("a host or port in the store URL cannot be read") from None
    if port == 0:
        raise ValueError("a port in the store URL is 0; leave it out for the usual one")
    # Some releases of Python read x[::1] as the host ::1.
    if not parts.hostname or text.rfind("[") > 0:
        raise ValueError("the store URL has a host that cannot be read")
    return parts.hostname, port or default_port


def _database(segments: list[str]) -> int:
    if not segments:
        return 0
    if len(segments) > 1 or not segments[0].isdecimal():
        raise ValueError("the path of the store URL must be a database number")
    return int(segments[0])
