"""Five hosts and their cables: control that carries no UDP, and media that reaches no replica.

```
                browser ======== media ======== provider
                 |    |                          |    |
                 |    +------- replica-b --------+    |
                 |                 |                  |
                 +---- replica-a --|------------------+
                              |    |
                              +- store
```

A cable is a veth pair; there is no switch, so that each interface's counters belong to one neighbour.
"""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from typing import Final, Self

from tests.system.netns.counters import Counters, read_counters
from tests.system.netns.host import Host, ip, remove_abandoned

BROWSER: Final = "browser"
REPLICA_A: Final = "replica-a"
REPLICA_B: Final = "replica-b"
STORE: Final = "store"
PROVIDER: Final = "provider"

CONTROL: Final = {
    BROWSER: "10.77.0.1",
    REPLICA_A: "10.77.0.2",
    REPLICA_B: "10.77.0.3",
    STORE: "10.77.0.4",
    PROVIDER: "10.77.0.5",
}
CONTROL_CABLES: Final = (
    (BROWSER, REPLICA_A),
    (BROWSER, REPLICA_B),
    (REPLICA_A, STORE),
    (REPLICA_B, STORE),
    (REPLICA_A, PROVIDER),
    (REPLICA_B, PROVIDER),
)
# The documentation network of RFC 5737: nothing else can be there.
MEDIA: Final = {BROWSER: "192.0.2.1", PROVIDER: "192.0.2.2"}
MEDIA_INTERFACE: Final = "media"
WITHOUT_UDP: Final = (REPLICA_A, REPLICA_B, STORE)


class World:
    """The hosts, from entry to exit."""

    def __init__(self) -> None:
        run = secrets.token_hex(3)
        self.hosts = {name: Host(name, run) for name in CONTROL}
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        remove_abandoned()
        with ExitStack() as resources:
            for host in self.hosts.values():
                # Before the making: half of a host must go too.
                resources.callback(host.delete)
                host.create()
            self._give_control_addresses()
            for one, other in CONTROL_CABLES:
                self._connect(one, other)
            self._connect_media()
            self._resources = resources.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()
        left = [host.namespace for host in self.hosts.values() if host.namespace in ip("netns", "list")]
        assert not left, f"namespaces that would not go: {left}"

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def counters(self) -> dict[str, Counters]:
        """The counters of every host."""
        return {name: host.inside(read_counters) for name, host in self.hosts.items()}

    def _give_control_addresses(self) -> None:
        for name, address in CONTROL.items():
            host = self.hosts[name]
            if name in MEDIA:
                # Local by a route, on no interface: TCP works as ever, and an ICE agent, which asks the
                # interfaces for its candidates, offers the media address alone.
                host.ip("route", "add", "local", f"{address}/32", "dev", "lo")
            else:
                # On an interface, where an ICE agent would find it, should the service ever have one.
                host.ip("address", "add", f"{address}/32", "dev", "lo")
        for name in WITHOUT_UDP:
            # `unreachable` and not `blackhole`: the kernel then counts whoever tries (Ip.OutNoRoutes).
            self.hosts[name].ip("rule", "add", "pref", "100", "ipproto", "udp", "unreachable")

    def _connect(self, one: str, other: str) -> None:
        self._cable(one, f"to-{other}", other, f"to-{one}")
        for here, there in ((one, other), (other, one)):
            self.hosts[here].ip(
                "route", "add", f"{CONTROL[there]}/32", "dev", f"to-{there}", "src", CONTROL[here]
            )

    def _connect_media(self) -> None:
        self._cable(BROWSER, MEDIA_INTERFACE, PROVIDER, MEDIA_INTERFACE)
        for name, address in MEDIA.items():
            self.hosts[name].ip("address", "add", f"{address}/30", "dev", MEDIA_INTERFACE)

    def _cable(self, one: str, one_end: str, other: str, other_end: str) -> None:
        first, second = self.hosts[one], self.hosts[other]
        peer = ("peer", "name", other_end, "netns", second.namespace)
        first.ip("link", "add", one_end, "type", "veth", *peer)
        for host, end in ((first, one_end), (second, other_end)):
            # No IPv6 address of its own making: candidates and packets are then only those of the plan.
            host.ip("link", "set", end, "addrgenmode", "none", "up")
