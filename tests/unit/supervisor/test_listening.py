"""The sockets of all workers: one port, also where any port will do, and a clear error for a taken one."""

from __future__ import annotations

import select
import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from app.supervisor.listening import Ports, addresses, close_ports, open_ports
from tests.unit.settings.environments import load

OF_ONE = {"CLOAKROOM_HOST": "127.0.0.1", "CLOAKROOM_PORT": "0"}


@pytest.fixture
def opened() -> Iterator[list[list[Ports]]]:
    kept: list[list[Ports]] = []
    yield kept
    for sets in kept:
        close_ports(sets)


def test_the_sockets_of_a_port_of_0_are_at_one_port(opened: list[list[Ports]]) -> None:
    sets = open_ports(load(CLOAKROOM_HOST="localhost", CLOAKROOM_PORT="0", CLOAKROOM_OPS_PORT="0"), 3)
    opened.append(sets)
    assert len(sets) == 3
    assert {tuple(addresses(ports)) for ports in sets} == {tuple(addresses(sets[0]))}
    for listeners in sets[0]:
        assert len({listener.getsockname()[1] for listener in listeners}) == 1
    main, operations = sets[0]
    assert main[0].getsockname() != operations[0].getsockname()


def test_new_connections_are_dealt_out_to_all_workers(opened: list[list[Ports]]) -> None:
    sets = open_ports(load(**OF_ONE), 3)
    opened.append(sets)
    listeners = [ports[0][0] for ports in sets]
    callers = [socket.create_connection(listeners[0].getsockname()) for _ in range(120)]
    accepted: Counter[int] = Counter()
    for _ in callers:
        (ready, *_), _, _ = select.select(listeners, [], [], 60)
        ready.accept()[0].close()
        accepted[listeners.index(ready)] += 1
    for caller in callers:
        caller.close()
    # By chance one of three has fewer than 10 of 120 in one run of a hundred million.
    assert min(accepted[number] for number in range(3)) >= 10, accepted


def test_a_taken_port_is_an_error_and_leaves_nothing_open(opened: list[list[Ports]]) -> None:
    taken = open_ports(load(**OF_ONE), 2)
    opened.append(taken)
    port = str(taken[0][0][0].getsockname()[1])
    with pytest.raises(OSError, match="in use"):
        open_ports(load(**OF_ONE, CLOAKROOM_OPS_PORT=port), 2)
    # SO_REUSEPORT alone would let it take a part of the callers.
    with pytest.raises(OSError, match="in use"):
        open_ports(load(**{**OF_ONE, "CLOAKROOM_PORT": port}), 2)
    close_ports(taken)
    opened.append(open_ports(load(**{**OF_ONE, "CLOAKROOM_PORT": port}), 2))
