"""Where a request comes from, behind proxies that are trusted and in spite of what its caller writes."""

from __future__ import annotations

import pytest

from app.web.addresses import UNKNOWN, address_behind, counted_as, parse_address

PROXY = "10.0.0.7"
CALLER = "203.0.113.9"
FORGED = "6.6.6.6"


def test_without_trusted_proxies_the_peer_counts_whatever_the_header_says() -> None:
    assert address_behind(CALLER, [FORGED], 0) == CALLER


@pytest.mark.parametrize(
    ("entries", "proxies"),
    [
        ([CALLER], 1),
        ([f"{FORGED}, {CALLER}"], 1),
        # Two lines of one header are one list.
        ([FORGED, CALLER], 1),
        ([f"{FORGED}, {CALLER}, 10.0.0.6"], 2),
        ([f"{FORGED}, {CALLER}", "10.0.0.6"], 2),
        ([f"{CALLER}:4711, 10.0.0.5:1, 10.0.0.6"], 3),
    ],
)
def test_the_nth_entry_from_the_right_is_the_caller(entries: list[str], proxies: int) -> None:
    assert address_behind(PROXY, entries, proxies) == CALLER


@pytest.mark.parametrize(
    ("entries", "proxies"),
    [
        ([], 1),
        ([""], 1),
        # Past the outer proxy, so all of the header is the caller's.
        ([FORGED], 2),
        ([f"{FORGED}, unknown"], 1),
        ([f"{FORGED}, _hidden"], 1),
        ([f"{FORGED}, "], 1),
        ([f"{FORGED}, 1.2.3.4:99999999"], 1),
        ([f"{FORGED}, {'9' * 9000}"], 1),
        ([f"{FORGED}, \u202e1.2.3.4"], 1),
    ],
)
def test_a_header_that_is_short_or_garbled_leaves_the_peer(entries: list[str], proxies: int) -> None:
    assert address_behind(PROXY, entries, proxies) == PROXY


@pytest.mark.parametrize(
    ("element", "address"),
    [
        (f"for={CALLER}", CALLER),
        (f"proto=https;For={CALLER};by=10.0.0.1", CALLER),
        (f'for="{CALLER}:4711"', CALLER),
        ('for="[2001:DB8::1]:4711";proto=https', "2001:db8::1"),
        ("for=unknown", PROXY),
        ("for=_secret", PROXY),
        ("by=10.0.0.1", PROXY),
        (f"xfor={FORGED}", PROXY),
    ],
)
def test_the_header_of_rfc_7239(element: str, address: str) -> None:
    assert address_behind(PROXY, [f"for={FORGED}, {element}"], 1, header="forwarded") == address


def test_a_quote_that_the_caller_leaves_open_swallows_nothing_of_the_proxies() -> None:
    entries = [f'for={FORGED};host="', f'for={CALLER};host="voice.example.com"']

    assert address_behind(PROXY, entries, 1, header="forwarded") == CALLER


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1:443 ", "192.0.2.1"),
        ("2001:0DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:65535", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:1", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1", None),
        ("[2001:db8::1]x", None),
        ("[2001:db8::1]:x", None),
        ("192.0.2.1:", None),
        ("192.0.2.1:\u0661", None),
        ("192.0.2", None),
        ("192.0.2.1\n", "192.0.2.1"),
        ("localhost", None),
        ("", None),
        ("::1%" + "a" * 100, None),
    ],
)
def test_every_spelling_of_an_address(text: str, address: str | None) -> None:
    assert parse_address(text) == address


def test_a_peer_that_is_no_address_is_named_as_it_is() -> None:
    assert address_behind("/run/proxy.sock", [], 0) == "/run/proxy.sock"
    assert address_behind(None, [], 0) == UNKNOWN
    assert address_behind("::ffff:192.0.2.1", [], 0) == "192.0.2.1"


def test_a_subscriber_of_ipv6_is_counted_once_whatever_address_is_used() -> None:
    assert counted_as("2001:db8:1:2:3::4") == counted_as("2001:db8:1:2:ffff::") == "2001:db8:1:2::/64"
    assert counted_as("2001:db8:1:3::4") != counted_as("2001:db8:1:2::4")
    assert counted_as(CALLER) == CALLER
    assert counted_as(UNKNOWN) == UNKNOWN
