"""The way out to providers: directly or through a proxy, to which addresses, whom we trust, what we show.

``app.outbound.dialer`` connects. A proxy's credentials are secrets: the text of a ``Proxy`` is its host and
port.
"""

from __future__ import annotations

import base64
import functools
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import (  # type: ignore[attr-defined]  # the annotations leave out the second name
    getproxies_environment,
    proxy_bypass_environment,
)

from yarl import URL

from app.models import Secret
from app.outbound.addresses import Guard
from app.outbound.http1 import Origin

_FORM: Final = "must look like http://user:password@proxy.example:3128, user and password percent-encoded"
_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[A-Za-z0-9.:_-]{1,253}\Z")
_NO_PROXIES: Final[Mapping[str, Proxy]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that opens tunnels by CONNECT (RFC 9110, section 9.3.6).

    ``origin`` is where it listens; ``authorization`` the value of ``Proxy-Authorization``, None without
    credentials; ``url`` the whole URL, for libraries that want one.
    """

    origin: Origin
    authorization: Secret | None
    url: Secret

    def __str__(self) -> str:
        return _authority(self.origin)

    def connect_request(self, target: Origin) -> bytes:
        """The request that opens a tunnel to ``target``."""
        where = _authority(target)
        lines = f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n"
        if self.authorization is not None:
            lines += f"Proxy-Authorization: {self.authorization.reveal()}\r\n"
        return f"{lines}\r\n".encode("ascii")


def parse_proxy(text: str) -> Proxy:
    """Read a proxy's URL; without a scheme it is http, as the environment's variables have it.

    Raises:
        ValueError: it is no such URL; the message says the form and quotes nothing.
    """
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        # The libraries that are handed the whole URL read it so, and take less.
        URL(url)
    except (ValueError, IndexError):
        raise ValueError(_FORM) from None
    if parts.scheme not in _PORTS or not host or not _HOST.match(host) or port == 0:
        raise ValueError(_FORM)
    if parts.path not in ("", "/") or parts.query or parts.fragment or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValueError(_FORM)
    origin = Origin(parts.scheme == "https", host, port or _PORTS[parts.scheme])
    return Proxy(origin, _basic(parts.username, parts.password), Secret(url))


def _basic(user: str | None, password: str | None) -> Secret | None:
    """Basic credentials (RFC 7617); a user's name cannot hold the colon that ends it."""
    if user is None:
        return None
    name = unquote(user)
    if ":" in name:
        raise ValueError(f"{_FORM}; a user's name cannot hold a colon")
    pair = f"{name}:{unquote(password or '')}".encode()
    return Secret(f"Basic {base64.b64encode(pair).decode('ascii')}")


def environment_proxies() -> tuple[dict[str, Proxy], str]:
    """The proxies of HTTP_PROXY and HTTPS_PROXY by scheme, and the text of NO_PROXY; lower case wins.

    Raises:
        ValueError: a variable holds no proxy's URL; the message begins with its name.
    """
    found = getproxies_environment()
    proxies = {}
    for scheme in _PORTS:
        if scheme in found:
            try:
                proxies[scheme] = parse_proxy(found[scheme])
            except ValueError as error:
                raise ValueError(f"{scheme.upper()}_PROXY: {error}") from None
    return proxies, found.get("no", "")


class BadFile(ValueError):
    """A certificate or key cannot be used. ``which`` is the argument of ``Certificates``."""

    def __init__(self, which: str, reason: str) -> None:
        super().__init__(reason)
        self.which = which


@dataclass(frozen=True, slots=True)
class Contexts:
    """What the certificates come to. ``trusting`` verifies the chain and the host's name, and shows nothing.

    ``showing`` does the same and shows the client certificate, where there is one.
    """

    trusting: ssl.SSLContext
    showing: ssl.SSLContext


class Certificates:
    """PEM files by their paths, and what was read of them last.

    New connections take what ``use`` was given last; those that are open stay as they are.

    Args:
        ca_file: is trusted besides the system's authorities (or those of SSL_CERT_FILE and SSL_CERT_DIR).
        client_cert_file: is shown to a provider that asks for one.
        client_key_file: its key, unless the key is in the same file.
    """

    def __init__(
        self,
        ca_file: str | None = None,
        client_cert_file: str | None = None,
        client_key_file: str | None = None,
    ) -> None:
        self.ca_file: Final = ca_file
        self.client_cert_file: Final = client_cert_file
        self.client_key_file: Final = client_key_file
        self._in_force: Contexts | None = None

    @property
    def files(self) -> dict[str, str]:
        """The paths that are given, by the argument's name."""
        names = ("ca_file", "client_cert_file", "client_key_file")
        return {name: path for name in names if (path := getattr(self, name)) is not None}

    def trust(self) -> ssl.SSLContext:
        """The context for a server that is shown no certificate. The first use reads the files.

        Raises:
            BadFile: a file cannot be used.
        """
        return self._contexts().trusting

    def trust_and_show(self) -> ssl.SSLContext:
        """The context for a provider. The first use reads the files.

        Raises:
            BadFile: a file cannot be used.
        """
        return self._contexts().showing

    def use(self, contexts: Contexts) -> None:
        """Use these for new connections from now on."""
        self._in_force = contexts

    def read(self) -> Contexts:
        """Read the files, which takes some milliseconds.

        Raises:
            BadFile: a file cannot be used.
        """
        trusting = self._trusting() if self.files else _trusting_the_system(*_system_places())
        if self.client_cert_file is None:
            return Contexts(trusting, trusting)
        showing = self._trusting()
        _readable("client_cert_file", self.client_cert_file)
        if self.client_key_file is not None:
            _readable("client_key_file", self.client_key_file)
        try:
            # Without a password OpenSSL would ask for one on the terminal.
            showing.load_cert_chain(self.client_cert_file, self.client_key_file, password="")
        except ssl.SSLError as error:
            raise self._unusable(error) from None
        return Contexts(trusting, showing)

    def _contexts(self) -> Contexts:
        if self._in_force is None:
            self._in_force = self.read()
        return self._in_force

    def _trusting(self) -> ssl.SSLContext:
        context = _context()
        if self.ca_file is not None:
            _readable("ca_file", self.ca_file)
            try:
                context.load_verify_locations(cafile=self.ca_file)
            except ssl.SSLError:
                raise BadFile(
                    "ca_file", f"{self.ca_file} holds no certificate; it must be the CA's in PEM form"
                ) from None
        return context

    def _unusable(self, error: ssl.SSLError) -> BadFile:
        cert, key = self.client_cert_file or "", self.client_key_file
        if b"-----BEGIN CERTIFICATE-----" not in Path(cert).read_bytes():
            return BadFile("client_cert_file", f"{cert} holds no certificate; it must be PEM")
        if error.reason == "KEY_VALUES_MISMATCH":
            return BadFile("client_key_file", f"{key or cert} is not the key of the certificate in {cert}")
        return BadFile(
            "client_key_file", f"{key or cert} holds no usable key; it must be PEM, without a passphrase"
        )


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _system_places() -> tuple[str | None, str | None]:
    """Where OpenSSL finds the authorities, as far as the environment says so."""
    return os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")


# One for the process: to read the system's authorities takes 20 ms, in which nothing else runs.
@functools.cache
def _trusting_the_system(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    return _context()


def _readable(which: str, path: str) -> None:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BadFile(which, f"{path} cannot be read ({reason}); correct the path, or mount it") from None


@dataclass(frozen=True, slots=True)
class Egress:
    """How requests leave.

    ``proxies`` by the scheme of the provider's URL; ``no_proxy`` lists hosts that need none, in the form of
    NO_PROXY; ``source`` is the setting that the proxies come from, for messages. ``guard`` says which
    addresses may be dialled.
    """

    proxies: Mapping[str, Proxy] = field(default_factory=lambda: _NO_PROXIES)
    no_proxy: str = ""
    source: str = ""
    certificates: Certificates = field(default_factory=Certificates)
    guard: Guard = field(default_factory=Guard)

    def proxy_for(self, origin: Origin) -> Proxy | None:
        """The proxy that requests to this server go through; None: they go directly."""
        proxy = self.proxies.get("https" if origin.secure else "http")
        if proxy is None or not self.no_proxy:
            return proxy
        # It matches names with and without the port.
        excepted = proxy_bypass_environment(f"{origin.host}:{origin.port}", {"no": self.no_proxy})
        return None if excepted else proxy


def _authority(origin: Origin) -> str:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return f"{host}:{origin.port}"
