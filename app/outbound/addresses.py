"""Which addresses the service may connect to: public ones, and those that the operator opens.

A name says nothing: its owner, or who answers for it, decides where it leads, and may decide anew at each
look-up. So what is checked is the address that is about to be dialled.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

import aiohappyeyeballs

SETTING: Final = "CLOAKROOM_PRIVATE_NETWORKS"

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_METADATA: Final = "a cloud's metadata service"
# Where clouds tell a machine its credentials: AWS, Azure and Google at the first; ECS; EKS; Azure's wire
# server; Alibaba; Oracle; AWS and EKS by IPv6; Google by IPv6.
_METADATA_ADDRESSES: Final = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
        ),
    )
)
# IANA's "IPv4 Special-Purpose Address Registry", and RFC 5771 for multicast. The first that fits counts.
_SPECIAL_IPV4: Final = tuple(
    (IPv4Network(network), kind)
    for network, kind in (
        ("127.0.0.0/8", "this machine"),
        ("0.0.0.0/8", "this machine"),
        ("10.0.0.0/8", "a private network"),
        ("172.16.0.0/12", "a private network"),
        ("192.168.0.0/16", "a private network"),
        ("100.64.0.0/10", "a carrier's shared network"),
        ("169.254.0.0/16", "the local link"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "reserved for documentation"),
        ("198.51.100.0/24", "reserved for documentation"),
        ("203.0.113.0/24", "reserved for documentation"),
        ("192.88.99.0/24", "a tunnel's (6to4)"),
        ("198.18.0.0/15", "reserved for benchmarks"),
        ("224.0.0.0/4", "a multicast group"),
        ("240.0.0.0/4", "reserved"),
    )
)
# IANA's "IPv6 Special-Purpose Address Registry". What is public is a part of 2000::/3.
_SPECIAL_IPV6: Final = tuple(
    (IPv6Network(network), kind)
    for network, kind in (
        ("::1/128", "this machine"),
        ("::/128", "this machine"),
        ("fc00::/7", "a private network"),
        ("fec0::/10", "a private network"),
        ("64:ff9b:1::/48", "a private network"),
        ("fe80::/10", "the local link"),
        ("ff00::/8", "a multicast group"),
        ("2001::/23", "reserved, or a tunnel's"),
        ("2001:db8::/32", "reserved for documentation"),
        ("3fff::/20", "reserved for documentation"),
        ("2002::/16", "a tunnel's (6to4)"),
    )
)
_PUBLIC_IPV6: Final = IPv6Network("2000::/3")
# RFC 6052: a network without IPv4 reaches IPv4 servers through these. The last 32 bits are the server.
_NAT64: Final = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL: Final = IPv6Network("64:ff9b:1::/48")
_6TO4: Final = IPv6Network("2002::/16")
_COMPATIBLE: Final = IPv6Network("::/96")
_EVERYWHERE: Final[tuple[Network, ...]] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
LOOPBACK: Final[tuple[Network, ...]] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


class AddressRefused(OSError):
    """The service may not connect to an address. ``reason`` is a clause that names the setting.

    The message is the same for all: aiohappyeyeballs raises the error itself only where all of a name's
    addresses failed with one message.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("the address may not be dialled")
        self.reason: Final = reason


def parse_network(text: str) -> Network:
    """Read ``10.20.0.0/16``; an address alone is a network of one.

    Raises:
        ValueError: it is none; says what was meant, where that can be told.
    """
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is no network; write it as 10.20.0.0/16 or fd12:3456::/32") from None
    raise ValueError(f"{text!r} is an address within a network; the network is {meant}")


@dataclass(frozen=True, slots=True)
class Guard:
    """Says which addresses may be dialled: public ones, and those in ``networks``.

    A metadata service gives whoever reaches it the machine's credentials, so no wider network opens one: its
    own address must be listed, as a network of one.
    """

    networks: tuple[Network, ...] = ()

    def refusal(self, text: str) -> str | None:
        """Why this address may not be dialled, as a clause; None where it may.

        Args:
            text: an address as the resolver gives it, perhaps with a zone: ``fe80::1%eth0``.
        """
        address = ip_address(text.partition("%")[0])
        for seen in _meanings(address):
            kind = kind_of(seen)
            if kind is not None and not self._opens(seen, address, kind):
                own = seen if kind == _METADATA else address
                opening = f"{SETTING}={own}" if kind == _METADATA else SETTING
                return f"{text} is {kind}, and {opening} is not set to open it"
        return None

    def check(self, text: str) -> None:
        """Raise ``AddressRefused`` where this address may not be dialled."""
        refusal = self.refusal(text)
        if refusal is not None:
            raise AddressRefused(refusal)

    def check_literal(self, host: str) -> None:
        """The same for a host that is an address already, in any form that a resolver takes for one.

        A name passes: through a proxy, it is the proxy that looks it up.
        """
        address = _literal(host)
        if address is not None:
            self.check(address)

    def open_socket(self, info: aiohappyeyeballs.AddrInfoType) -> socket.socket:
        """A socket for this address, made only where the address may be dialled; for aiohttp's connector.

        Raises:
            AddressRefused: it may not be.
        """
        family, kind, number, _, address = info
        self.check(str(address[0]))
        return socket.socket(family, kind, number)

    def with_networks(self, networks: Iterable[Network]) -> Guard:
        """This guard, which opens these networks too."""
        return Guard((*self.networks, *networks))

    @property
    def for_proxies(self) -> Guard:
        """For proxies, which the operator names: they may be anywhere but at a metadata service."""
        return self.with_networks(_EVERYWHERE)

    @property
    def metadata(self) -> list[Network]:
        """The metadata services that are opened."""
        return [network for network in self.networks if _is_one(network, _METADATA_ADDRESSES)]

    def _opens(self, seen: Address, address: Address, kind: str) -> bool:
        if kind == _METADATA:
            return any(_is_one(network, {seen}) for network in self.networks)
        return any(seen in network or address in network for network in self.networks)


def kind_of(address: Address) -> str | None:
    """What an address that is not public is, in words; None for a public one."""
    if address in _METADATA_ADDRESSES:
        return _METADATA
    special = _SPECIAL_IPV4 if isinstance(address, IPv4Address) else _SPECIAL_IPV6
    for network, kind in special:
        if address in network:
            return kind
    if isinstance(address, IPv6Address) and address not in _PUBLIC_IPV6:
        return "reserved"
    return None


def _meanings(address: Address) -> Iterator[Address]:
    """What an address leads to: itself, and for IPv6 the IPv4 address within it."""
    if isinstance(address, IPv4Address):
        yield address
        return
    within = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.ipv4_mapped is not None:
        # The kernel dials the IPv4 address.
        yield address.ipv4_mapped
        return
    if address in _NAT64:
        yield within
        return
    if address in _6TO4:
        yield IPv4Address(int(address) >> 80 & 0xFFFF_FFFF)
    elif address in _NAT64_LOCAL or (address in _COMPATIBLE and int(within) > 1):
        yield within
    yield address


def _is_one(network: Network, addresses: Iterable[Address]) -> bool:
    return network.num_addresses == 1 and network.network_address in addresses


def _literal(host: str) -> str | None:
    """The address that a host is, also in the old forms ``127.1``, ``0x7f000001`` and ``2130706433``."""
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None
