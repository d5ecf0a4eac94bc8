"""The readers of URLs: where the store, the proxy and a provider are is the same for all who read it."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from yarl import URL

from app.identity.keys import is_safe_url
from app.outbound.egress import parse_proxy
from app.outbound.http1 import Unsendable, target_of
from app.providers.base import SplitsHosts, http_url
from app.providers.federation import token_url
from app.providers.registry import PROVIDERS
from app.store.address import parse_address
from tests.fuzz.target import PLANTED, Target, kind_and_rest, without_secrets

_PORTS: Final = {"http": 80, "https": 443}
# Where the planted credential is a password and no name of a host.
_AS_PASSWORD: Final = re.compile(rf"[^/?#:@]*://[^/?#@]*:{re.escape(PLANTED)}@[^/?#@]*(?:[/?#]|\Z)")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x20\x7f]")


def check(data: bytes) -> None:
    """``s``: the store's. ``p``: a proxy's. ``b``: a deployment's. ``i``: an issuer's. ``t``: any to ask."""
    kind, rest = kind_and_rest(data, "spbit")
    text = rest.decode("utf-8", "surrogateescape")
    is_password = _AS_PASSWORD.match(text) is not None
    if kind == "s":
        _check_store(text, is_password)
    elif kind == "p":
        _check_proxy(text, is_password)
    elif kind == "b":
        _check_base_urls(text, is_password)
    elif kind == "i":
        _check_issuers(text)
    else:
        _check_target(text)


def _check_store(text: str, is_password: bool) -> None:
    try:
        address = parse_address(text)
    except ValueError as error:
        if is_password:
            without_secrets(error)
        return
    if is_password:
        without_secrets(address, address.shown)
        assert address.kind == "memory" or address.password == PLANTED
    assert address.kind == "memory" or address.hosts
    assert all(host and 0 <= port <= 65_535 for host, port in address.hosts)
    assert address.database >= 0


def _check_proxy(text: str, is_password: bool) -> None:
    try:
        proxy = parse_proxy(text)
    except ValueError as error:
        without_secrets(error)
        return
    if is_password:
        without_secrets(proxy, repr(proxy))
    theirs = URL(proxy.url.reveal())
    assert _canonical((theirs.raw_host or "").lower()) == _canonical(proxy.origin.host)
    assert theirs.port == proxy.origin.port
    request = proxy.connect_request(target_of("https://api.openai.com/v1").origin)
    lines = request.split(b"\r\n")
    # The credentials are one line, whatever they hold.
    assert len(lines) == (5 if proxy.authorization is not None else 4)
    assert b"\n" not in request.replace(b"\r\n", b"")


def _check_base_urls(text: str, is_password: bool) -> None:
    for provider in PROVIDERS.values():
        readers: list[Callable[[str], str]] = [provider.base_url]
        if isinstance(provider, SplitsHosts):
            readers.append(provider.webrtc_url)
        for read in readers:
            try:
                url = read(text)
            except ValueError as error:
                if is_password:
                    without_secrets(error)
                continue
            _check_base_url(url)
            assert read(url) == url, "what was read is read in another way"


def _check_base_url(url: str) -> None:
    parts = http_url(url)
    assert parts is not None
    assert "@" not in parts.netloc
    assert not parts.query
    assert not parts.fragment
    try:
        target = target_of(f"{url}/realtime/calls")
    except Unsendable:
        return
    # What the check saw and what is dialled are one host, though two libraries read it.
    host = _canonical((parts.hostname or "").rstrip("."))
    assert target.origin.host == host, f"checked {host!r}, dialled {target.origin.host!r}"
    assert target.origin.port == (parts.port if parts.port is not None else _PORTS[parts.scheme])
    assert target.origin.secure == (parts.scheme == "https")


def _canonical(host: str) -> str:
    """An address in the one form that has no other; a name as it is."""
    try:
        return str(ip_address(host))
    except ValueError:
        return host


def _check_issuers(text: str) -> None:
    if is_safe_url(text):
        parts = urlsplit(text)
        assert parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")
        assert "@" not in parts.netloc
    try:
        url = token_url(text)
    except ValueError:
        return
    assert http_url(url) is not None
    assert token_url(url) == url


def _check_target(text: str) -> None:
    try:
        target = target_of(text)
    except Unsendable as error:
        without_secrets(error)
        return
    assert target.head.isascii()
    lines = target.head.split("\r\n")
    assert "\n" not in target.head.replace("\r\n", "")
    assert lines[0].startswith(" ")
    assert lines[0].endswith(" HTTP/1.1")
    assert not _UNPRINTABLE.search(lines[0].removesuffix(" HTTP/1.1")[1:])
    assert lines[1].startswith("Host: ")
    assert "@" not in lines[1]
    assert 0 <= target.origin.port <= 65_535


_URLS: Final = (
    "https://api.openai.com/v1",
    "http://127.0.0.1:8080/v1/",
    "https://acme-voice.openai.azure.com",
    "https://acme-voice.openai.azure.com/openai/v1/",
    "https://acme.services.ai.azure.com/",
    "https://eastus2.realtimeapi-preview.ai.azure.com/v1/realtimertc",
    f"https://user:{PLANTED}@host.example/v1",
    "https://[::1]:8443/v1",
    "https://[fe80::1%25eth0]/",
    "https://host.example:99999/",
    "https://host.example:/v1",
    "https://host.example./v1",
    "https://HOST.example/V1?x=1#y",
    "https://b\u00fccher.example/",
    "https://host.example\\@evil.example/",
    "https://host.example@evil.example/",
    "https://169.254.169.254/latest",
    "https://0x7f.1/",
    "https://1/",
    "https://host.example/a b",
    "https://host.example/%0d%0aX: y",
    "https://host.example/../x",
)

TARGET: Final = Target(
    name="urls",
    check=check,
    share=0.1,
    longest=512,
    seeds=(
        *(
            b"s" + url.encode()
            for url in (
                "redis://cache",
                f"redis://:{PLANTED}@cache:7000/3",
                f"rediss://app:{PLANTED}@cache.example/?ca=/etc/ssl/redis.pem",
                f"redis+sentinel://:{PLANTED}@s1,s2:26380,s3/voice/2",
                f"redis+cluster://n1:7001,n2:7002,[::1]:7003?ca={PLANTED}",
                "memory://",
                "redis://cache/\u0663",
                f"redis://a:{PLANTED}@[/",
                f"redis://a:{PLANTED}@h:port",
                "redis://h/0?x=1",
            )
        ),
        *(
            b"p" + url.encode()
            for url in (
                "proxy.example:3128",
                f"http://user:{PLANTED}@proxy.example:3128",
                "https://us%3Aer:p@proxy.example",
                f"http://u%0d%0a:{PLANTED}@proxy.example/",
                "socks5://proxy.example",
                "http://[::1]:3128",
            )
        ),
        *(kind + url.encode() for kind in (b"b", b"i", b"t") for url in _URLS),
    ),
    words=(
        b"https://",
        b"http://",
        b"redis://",
        b"redis+cluster://",
        b"@",
        b"[::1]",
        b"%0d%0a",
        b":443",
        b"?ca=",
    ),
)
