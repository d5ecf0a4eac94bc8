"""Which addresses may be dialled: public ones, and what the operator opens, however an address is written."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.outbound.addresses import LOOPBACK, SETTING, AddressRefused, Guard, kind_of, parse_network

PUBLIC = [
    "1.1.1.1",
    "20.42.65.92",
    "172.15.255.255",
    "172.32.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "2606:4700::1111",
    "2001:4860:4860::8888",
    # A network without IPv4 of its own reaches 8.8.8.8 so.
    "64:ff9b::808:808",
    "::ffff:8.8.8.8",
]
NOT_PUBLIC = {
    "127.0.0.1": "this machine",
    "127.255.255.254": "this machine",
    "0.0.0.0": "this machine",
    "::1": "this machine",
    "::": "this machine",
    "10.0.0.5": "a private network",
    "172.16.0.1": "a private network",
    "172.31.255.255": "a private network",
    "192.168.1.1": "a private network",
    "fd12:3456::1": "a private network",
    "fec0::1": "a private network",
    "64:ff9b:1::808:808": "a private network",
    "100.64.0.1": "a carrier's shared network",
    "169.254.1.1": "the local link",
    "fe80::1%eth0": "the local link",
    "224.0.0.1": "a multicast group",
    "ff02::1": "a multicast group",
    "255.255.255.255": "reserved",
    "240.0.0.1": "reserved",
    "4000::1": "reserved",
    "2001:db8::1": "reserved for documentation",
    "192.0.2.1": "reserved for documentation",
    "198.18.0.1": "reserved for benchmarks",
    "2001:0:1::1": "reserved, or a tunnel's",
    "2002:808:808::1": "a tunnel's (6to4)",
    # The same addresses in clothes of IPv6.
    "::ffff:127.0.0.1": "this machine",
    "::ffff:10.0.0.5": "a private network",
    "64:ff9b::10.0.0.5": "a private network",
    "64:ff9b::7f00:1": "this machine",
    "2002:a00:5::1": "a private network",
    "::10.0.0.5": "a private network",
}
METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::169.254.169.254",
    "2002:a9fe:a9fe::1",
    "::169.254.169.254",
]
EVERYWHERE = ("0.0.0.0/0", "::/0")


def guard(*networks: str) -> Guard:
    return Guard(tuple(map(parse_network, networks)))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_dialled(address: str) -> None:
    assert Guard().refusal(address) is None


@pytest.mark.parametrize(("address", "kind"), NOT_PUBLIC.items())
def test_any_other_is_refused_with_its_kind_and_the_setting(address: str, kind: str) -> None:
    refusal = Guard().refusal(address)
    assert refusal == f"{address} is {kind}, and {SETTING} is not set to open it"
    with pytest.raises(AddressRefused) as refused:
        Guard().check(address)
    assert refused.value.reason == refusal


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_a_network_that_the_operator_lists_is_opened(address: str) -> None:
    assert guard(*EVERYWHERE).refusal(address) is None


def test_a_network_opens_itself_and_no_other() -> None:
    ours = guard("10.20.0.0/16")
    assert ours.refusal("10.20.3.4") is None
    assert ours.refusal("::ffff:10.20.3.4") is None
    assert ours.refusal("64:ff9b::10.20.3.4") is None
    for address in ("10.21.0.1", "127.0.0.1", "fd12::1", "::ffff:10.21.0.1", "64:ff9b::10.21.0.1"):
        assert ours.refusal(address) is not None, address


@pytest.mark.parametrize("address", METADATA)
def test_a_metadata_service_is_opened_by_no_wider_network(address: str) -> None:
    for networks in ((), EVERYWHERE, ("169.254.0.0/16", "100.64.0.0/10", "fd00::/8", "168.63.0.0/16")):
        refusal = guard(*networks).refusal(address)
        assert refusal is not None, networks
        assert "metadata service" in refusal


@pytest.mark.parametrize("address", METADATA[:7])
def test_a_metadata_service_is_opened_by_its_own_address(address: str) -> None:
    refusal = Guard().refusal(address)
    assert refusal is not None
    assert f"{SETTING}={address} is not set" in refusal
    opened = guard(address)
    assert opened.refusal(address) is None
    assert opened.metadata == [parse_network(address)]
    others = [other for other in METADATA[:7] if other != address]
    assert all(opened.refusal(other) is not None for other in others)


def test_a_proxy_may_be_anywhere_but_at_a_metadata_service() -> None:
    proxies = Guard().for_proxies
    assert all(proxies.refusal(address) is None for address in NOT_PUBLIC)
    assert all(proxies.refusal(address) is not None for address in METADATA)
    assert guard("169.254.169.254").for_proxies.refusal("169.254.169.254") is None


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "::1", "fe80::1%eth0"]
)
def test_an_address_is_known_in_every_form_that_a_resolver_takes(host: str) -> None:
    with pytest.raises(AddressRefused):
        Guard().check_literal(host)


@pytest.mark.parametrize("host", ["api.openai.com", "1.1.1.1", "a1", "127.0.0.1.example", "localhost"])
def test_a_name_and_a_public_address_pass_as_they_are(host: str) -> None:
    Guard().check_literal(host)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("10.20.0.0", None),
        ("10.20.0.0/16", None),
        ("fd12:3456::/32", None),
        ("10.20.3.4/16", "the network is 10.20.0.0/16"),
        ("localai", "write it as 10.20.0.0/16"),
        ("10.20.0.0/33", "write it as 10.20.0.0/16"),
        ("http://10.20.0.0", "write it as 10.20.0.0/16"),
    ],
)
def test_what_is_no_network_says_what_is(text: str, says: str | None) -> None:
    if says is None:
        assert str(parse_network(text)).startswith(text)
        return
    with pytest.raises(ValueError, match=says.replace(".", r"\.")):
        parse_network(text)


# What Python's own table calls global, and what is not to be dialled all the same.
_STRICTER = [
    ip_network(text)
    for text in (
        "168.63.129.16/32",
        "192.88.99.0/24",
        "224.0.0.0/4",
        "ff00::/8",
        "2001::/23",
        "2002::/16",
        "3fff::/20",
    )
]


@given(st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address))
def test_nothing_is_dialled_that_python_does_not_call_global(address: IPv4Address | IPv6Address) -> None:
    nat64 = address in ip_network("64:ff9b::/96")
    if kind_of(address) is None and not nat64:
        assert address.is_global
    elif not nat64:
        stricter = any(address in network for network in _STRICTER)
        unassigned = address.version == 6 and address not in ip_network("2000::/3")
        assert not address.is_global or stricter or unassigned


def test_development_opens_this_machine_and_no_more() -> None:
    here = Guard(LOOPBACK)
    assert here.refusal("127.0.0.1") is None
    assert here.refusal("::1") is None
    assert here.refusal("0.0.0.0") is not None
    assert {kind_of(ip_address(address)) for address in ("10.0.0.1", "169.254.169.254")} != {None}
