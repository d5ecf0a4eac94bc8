"""What the kernel counted on one host, by the kernel's names: ``Udp.InDatagrams``, ``Ip.OutNoRoutes``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Of the reading thread: /proc/net itself is the main thread's, which stays in the machine's namespace.
_NET: Final = Path("/proc/thread-self/net")
# Besides every UDP counter: packets passed on for others, and packets that had nowhere to go, which is
# what sending to an address without a route leaves behind.
_ALSO_TRACES: Final = ("Ip.ForwDatagrams", "Ip.OutNoRoutes", "Ip6.OutForwDatagrams", "Ip6.OutNoRoutes")


@dataclass(frozen=True)
class Interface:
    """Frames and bytes that went over one interface."""

    frames_in: int
    bytes_in: int
    frames_out: int
    bytes_out: int


@dataclass(frozen=True)
class Counters:
    """One reading. ``protocols`` has every counter of IP, ICMP, TCP, UDP and UDP-Lite, of both families."""

    protocols: dict[str, int]
    interfaces: dict[str, Interface]

    def since(self, before: Counters) -> dict[str, int]:
        """How far each protocol counter moved since that reading."""
        # ICMP's counters by type appear with their first packet.
        return {name: value - before.protocols.get(name, 0) for name, value in self.protocols.items()}

    @property
    def frames_in(self) -> int:
        """Frames that came over all interfaces, loopback included."""
        return sum(interface.frames_in for interface in self.interfaces.values())


def udp_traces(before: Counters, after: Counters) -> dict[str, int]:
    """The counters that moved and that no host without UDP may ever move."""
    return {
        name: moved
        for name, moved in after.since(before).items()
        if moved and (name.startswith("Udp") or name in _ALSO_TRACES)
    }


def read_counters() -> Counters:
    """Read the counters of the host that this runs inside."""
    protocols = dict(_two_line_tables((_NET / "snmp").read_text()))
    v6 = _NET / "snmp6"
    if v6.exists():  # not where the kernel has no IPv6
        protocols.update(_one_line_each(v6.read_text()))
    return Counters(protocols, dict(_interfaces((_NET / "dev").read_text())))


def _two_line_tables(text: str) -> Iterator[tuple[str, int]]:
    """``Udp: InDatagrams NoPorts`` and below it ``Udp: 3 0``."""
    lines = text.splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        protocol, _, rest = names.partition(":")
        for name, value in zip(rest.split(), values.partition(":")[2].split(), strict=True):
            yield f"{protocol}.{name}", int(value)


def _one_line_each(text: str) -> Iterator[tuple[str, int]]:
    """``Udp6InDatagrams  3``; the protocol's name ends with the 6."""
    for line in text.splitlines():
        name, value = line.split()
        protocol, _, counter = name.partition("6")
        yield f"{protocol}6.{counter}", int(value)


def _interfaces(text: str) -> Iterator[tuple[str, Interface]]:
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        field = [int(value) for value in rest.split()]
        yield name.strip(), Interface(field[1], field[0], field[9], field[8])
