"""The sockets of all workers: one port, also where any port will do, and a clear error for a taken one."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from app.supervisor.listening import Ports, addresses, close_ports, open_ports
from tests.unit.settings.environments import load


@pytest.fixture
def opened() -> Iterator[list[Ports]]:
    kept: list[Ports] = []
    yield kept
    for ports in kept:
        close_ports(ports)


def test_the_sockets_of_a_port_of_0_are_at_one_port_and_accept(opened: list[Ports]) -> None:
    ports = open_ports(load(CLOAKROOM_HOST="localhost", CLOAKROOM_PORT="0", CLOAKROOM_OPS_PORT="0"))
    opened.append(ports)
    assert len(ports) == 2
    for listeners in ports:
        (number,) = {listener.getsockname()[1] for listener in listeners}
        assert all(address.endswith(f":{number}") for address in addresses(listeners))
        for listener in listeners:
            socket.create_connection(listener.getsockname()[:2]).close()
    assert ports[0][0].getsockname() != ports[1][0].getsockname()


def test_a_taken_port_is_an_error_and_leaves_nothing_open(opened: list[Ports]) -> None:
    taken = open_ports(load(CLOAKROOM_HOST="127.0.0.1", CLOAKROOM_PORT="0"))
    opened.append(taken)
    port = str(taken[0][0].getsockname()[1])
    with pytest.raises(OSError, match="in use"):
        open_ports(load(CLOAKROOM_HOST="127.0.0.1", CLOAKROOM_PORT="0", CLOAKROOM_OPS_PORT=port))
    # SO_REUSEPORT would let a second service take a part of the first one's callers.
    with pytest.raises(OSError, match="in use"):
        open_ports(load(CLOAKROOM_HOST="127.0.0.1", CLOAKROOM_PORT=port))
