"""Audio flows between browser and provider while replicas and store could not carry a single UDP packet."""

from __future__ import annotations

import errno
import socket

import pytest

from tests.support.clocks import until
from tests.system.netns.browser import FRAMES_PER_SECOND, SECONDS, TURNS
from tests.system.netns.counters import udp_traces
from tests.system.netns.evidence import Evidence
from tests.system.netns.host import sysctl
from tests.system.netns.world import (
    BROWSER,
    CONTROL,
    CONTROL_CABLES,
    MEDIA,
    MEDIA_INTERFACE,
    PROVIDER,
    REPLICA_A,
    REPLICA_B,
    STORE,
    WITHOUT_UDP,
    World,
)

# Nine of ten packets must come, so that a busy machine may hiccup and a stream that stops may not.
ENOUGH = SECONDS * FRAMES_PER_SECOND * 9 // 10
# Asking for the neighbour's link address is no IP: a question, an answer, and a few renewals on each cable.
ARP_FRAMES_PER_CABLE = 10
DISCARD_PORT = 9


def test_replicas_and_store_have_no_route_for_udp_and_none_to_a_media_address(world: World) -> None:
    for name in WITHOUT_UDP:
        for address in MEDIA.values():
            assert world[name].route(address, "udp") is None
            assert world[name].route(address, "tcp") is None, "not even the table knows the network"
    for one, other in CONTROL_CABLES:
        for here, there in ((one, other), (other, one)):
            # The cable works for TCP, or the missing route would prove a missing cable.
            assert world[here].route(CONTROL[there], "tcp") is not None
            assert (world[here].route(CONTROL[there], "udp") is None) == (here in WITHOUT_UDP)


def test_browser_and_provider_reach_each_other_over_the_media_cable_alone(world: World) -> None:
    for here, there in ((BROWSER, PROVIDER), (PROVIDER, BROWSER)):
        route = world[here].route(MEDIA[there], "udp")
        assert route is not None
        assert f"dev {MEDIA_INTERFACE} src {MEDIA[here]}" in route
        assert world[here].route(CONTROL[there], "udp") is None
        assert world[here].route(CONTROL[there], "tcp") is None


def test_no_host_passes_packets_on(world: World) -> None:
    for host in world.hosts.values():
        assert host.inside(lambda: sysctl("ip_forward")) == "0", host.name


def test_media_addresses_are_the_only_candidates(evidence: Evidence) -> None:
    for sdp, side in ((evidence.browser["offer"], BROWSER), (evidence.browser["answer"], PROVIDER)):
        candidates = [line.split() for line in sdp.splitlines() if line.startswith("a=candidate:")]
        assert {(fields[2].lower(), fields[4], fields[7]) for fields in candidates} == {
            ("udp", MEDIA[side], "host")
        }


def test_the_call_was_minted_on_a_and_relayed_on_b(evidence: Evidence) -> None:
    assert evidence.minted_on == [REPLICA_A]
    assert evidence.relayed_on == [REPLICA_B]
    (call,) = evidence.provider_calls
    assert call["call_id"] == evidence.browser["call_id"]
    assert call["connection_state"] == evidence.browser["state"] == "connected"


def test_the_browser_hears_ten_seconds_of_the_provider(evidence: Evidence) -> None:
    assert evidence.browser["frames"] >= SECONDS * FRAMES_PER_SECOND
    assert evidence.browser["packets_received"] >= ENOUGH
    # Half a second of it at least is a voice at its loudest, and not the hiss of an open line.
    assert evidence.browser["loud_frames"] >= FRAMES_PER_SECOND // 2


def test_the_provider_hears_ten_seconds_of_the_browser(evidence: Evidence) -> None:
    turns = evidence.browser["turns_heard_by_provider"]
    assert len(turns) == TURNS
    assert all(start < end for start, end in turns)
    # The provider's own clock runs on the audio that it receives.
    assert turns[-1][1] - turns[0][0] >= SECONDS * 1000, turns
    assert evidence.browser["packets_received_by_provider"] >= ENOUGH


@pytest.mark.parametrize("name", WITHOUT_UDP)
def test_replicas_and_store_saw_no_udp_packet_and_tried_to_send_none(evidence: Evidence, name: str) -> None:
    before, after = evidence.before[name], evidence.after[name]
    assert udp_traces(before, after) == {}
    # Nothing hid below or beside UDP either: every frame was IP or ARP, every IP packet a TCP segment.
    moved = after.since(before)
    assert moved["Tcp.InSegs"] > 0
    assert moved["Ip.InDelivers"] == moved["Ip.InReceives"] == moved["Tcp.InSegs"]
    assert moved["Icmp.InMsgs"] == moved["Icmp.OutMsgs"] == 0
    cables = sum(name in cable for cable in CONTROL_CABLES)
    assert set(after.interfaces) == {"lo"} | {
        f"to-{other}" for cable in CONTROL_CABLES if name in cable for other in cable if other != name
    }
    not_ip = after.frames_in - before.frames_in - moved["Ip.InReceives"]
    assert 0 <= not_ip <= cables * ARP_FRAMES_PER_CABLE


def test_the_same_counters_show_the_audio_at_browser_and_provider(evidence: Evidence) -> None:
    browser, provider = (evidence.after[name].since(evidence.before[name]) for name in (BROWSER, PROVIDER))
    for moved in (browser, provider):
        assert moved["Udp.OutDatagrams"] >= ENOUGH
        assert moved["Udp.InDatagrams"] >= ENOUGH
    for name, moved in ((BROWSER, browser), (PROVIDER, provider)):
        # All of it took the one cable: besides the datagrams it carried next to nothing.
        media = evidence.after[name].interfaces[MEDIA_INTERFACE]
        others = media.frames_out - moved["Udp.OutDatagrams"] - moved["Icmp.OutMsgs"]
        assert 0 <= others <= ARP_FRAMES_PER_CABLE


# The evidence comes first: what these send is not to be found in it.
@pytest.mark.usefixtures("evidence")
@pytest.mark.parametrize(
    ("sender", "receiver", "traces"),
    [
        (BROWSER, REPLICA_A, {"Udp.NoPorts": 1}),
        (PROVIDER, REPLICA_B, {"Udp.NoPorts": 1}),
        (STORE, STORE, {"Udp.OutDatagrams": 1, "Udp.NoPorts": 1}),
    ],
)
def test_one_udp_packet_is_enough_to_be_noticed(
    world: World, sender: str, receiver: str, traces: dict[str, int]
) -> None:
    before = world.counters()[receiver]
    world[sender].inside(lambda: _send_one(CONTROL[receiver]))
    # Sent is not arrived: the kernel hands a packet over in its own time, after asking for the neighbour.
    until(
        lambda: udp_traces(before, world.counters()[receiver]) == traces,
        lambda: udp_traces(before, world.counters()[receiver]),
    )


@pytest.mark.usefixtures("evidence")
@pytest.mark.parametrize("name", WITHOUT_UDP)
def test_an_attempt_to_send_media_fails_and_is_noticed(world: World, name: str) -> None:
    before = world.counters()[name]
    with pytest.raises(OSError, match="unreachable") as failure:
        world[name].inside(lambda: _send_one(MEDIA[PROVIDER]))
    assert failure.value.errno == errno.ENETUNREACH
    assert udp_traces(before, world.counters()[name]) == {"Ip.OutNoRoutes": 1}


def _send_one(address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"one packet", (address, DISCARD_PORT))
