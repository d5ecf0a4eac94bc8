"""The store's URL: each form, passwords with any character, and a text of it that is safe to log."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.store.address import StoreAddress, parse_address

PASSWORD = "pw-J8h2Kd93lQwe"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (
            "redis://cache",
            StoreAddress(kind="server", tls=False, hosts=(("cache", 6379),), shown="redis://cache:6379"),
        ),
        (
            f"redis://:{PASSWORD}@cache:7000/3",
            StoreAddress(
                kind="server",
                tls=False,
                hosts=(("cache", 7000),),
                shown="redis://cache:7000",
                password=PASSWORD,
                database=3,
            ),
        ),
        (
            f"rediss://app:{PASSWORD}@cache.example/?ca=/etc/ssl/redis.pem",
            StoreAddress(
                kind="server",
                tls=True,
                hosts=(("cache.example", 6379),),
                shown="rediss://cache.example:6379",
                username="app",
                password=PASSWORD,
                tls_ca_file="/etc/ssl/redis.pem",
            ),
        ),
        (
            f"redis+sentinel://:{PASSWORD}@s1,s2:26380,s3/voice/2",
            StoreAddress(
                kind="sentinel",
                tls=False,
                hosts=(("s1", 26379), ("s2", 26380), ("s3", 26379)),
                shown="redis+sentinel://s1:26379,s2:26380,s3:26379",
                password=PASSWORD,
                database=2,
                service="voice",
            ),
        ),
        (
            "redis+cluster://n1:7001,n2:7002",
            StoreAddress(
                kind="cluster",
                tls=False,
                hosts=(("n1", 7001), ("n2", 7002)),
                shown="redis+cluster://n1:7001,n2:7002",
            ),
        ),
        (
            f"rediss+cluster://app:{PASSWORD}@n1",
            StoreAddress(
                kind="cluster",
                tls=True,
                hosts=(("n1", 6379),),
                shown="rediss+cluster://n1:6379",
                username="app",
                password=PASSWORD,
            ),
        ),
        ("memory://", StoreAddress(kind="memory", tls=False, hosts=(), shown="memory://")),
        ("REDIS://CACHE", StoreAddress("server", False, (("cache", 6379),), "redis://cache:6379")),
    ],
)
def test_each_form_of_a_store_url_is_read(url: str, address: StoreAddress) -> None:
    assert parse_address(url) == address


def test_an_ipv6_host_is_read() -> None:
    assert parse_address("redis://[2001:db8::7]:7000/1").hosts == (("2001:db8::7", 7000),)


def test_a_sentinel_url_without_a_service_asks_for_the_usual_one() -> None:
    assert parse_address("redis+sentinel://s1").service == "mymaster"


@given(username=st.text(max_size=12), password=st.text(min_size=1, max_size=24))
def test_user_and_password_of_any_characters_come_through_when_percent_encoded(
    username: str, password: str
) -> None:
    address = parse_address(f"redis://{quote(username, safe='')}:{quote(password, safe='')}@cache:6379/0")
    assert (address.username, address.password) == (username or None, password)
    assert address.hosts == (("cache", 6379),)


@pytest.mark.parametrize("password", ["p@ss", "p:ss", "p@:@ss", "p%ss", "pa$$!*()", "p,ss", "p=&ss", "pâss"])
def test_most_passwords_need_no_encoding_at_all(password: str) -> None:
    address = parse_address(f"redis://app:{password}@cache")
    assert (address.username, address.password, address.hosts) == ("app", password, (("cache", 6379),))


UNREADABLE = {
    "nothing": "",
    "no scheme": "cache:6379",
    "another scheme": f"http://:{PASSWORD}@cache",
    "no host": f"redis://:{PASSWORD}@",
    "a port only": f"redis://:{PASSWORD}@:6379",
    "a port that is none": f"redis://:{PASSWORD}@cache:sixthousand",
    "a port that nothing listens on": f"redis://:{PASSWORD}@cache:0",
    "a port too large": f"redis://:{PASSWORD}@cache:65536",
    "a slash in the password": f"redis://:{PASSWORD}/x@cache",
    "a hash in the password": f"redis://:{PASSWORD}#x@cache",
    "a question mark in the password": f"redis://:{PASSWORD}?x@cache",
    "a bracket in the password": f"redis://:{PASSWORD}[@cache",
    "a name before an address in brackets": f"redis://:{PASSWORD}@cache[::1]:6379",
    "a letter that looks like a slash": f"redis://:{PASSWORD}\u2100@cache",
    "a letter that looks like a colon": f"redis://{PASSWORD}\uff1ax@cache",
    "a database that is no number": f"redis://:{PASSWORD}@cache/voice",
    "a database too deep": f"redis://:{PASSWORD}@cache/0/1",
    "a negative database": f"redis://:{PASSWORD}@cache/-1",
    "two databases behind a service": f"redis+sentinel://:{PASSWORD}@s1/voice/1/2",
    "an unknown option": f"redis://cache/0?password={PASSWORD}",
    "two hosts for one server": f"redis://:{PASSWORD}@a,b",
}


@pytest.mark.parametrize("url", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_url_that_cannot_be_read_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"store URL|redis://") as refused:
        parse_address(url)
    shown = f"{refused.value!r}"
    assert PASSWORD not in shown
    assert PASSWORD[:6] not in shown


@given(
    text=st.text(max_size=60), scheme=st.sampled_from(["redis", "rediss", "redis+sentinel", "redis+cluster"])
)
def test_any_url_is_read_or_refused_with_nothing_of_it_but_its_scheme(text: str, scheme: str) -> None:
    marked = f"hush{text}"
    try:
        address = parse_address(f"{scheme}://:{quote(marked, safe='')}@cache/{text}")
    except ValueError as error:
        shown = str(error)
    else:
        shown = f"{address!r} {address} {address.shown}"
        assert address.password == marked
    assert "hush" not in shown


def test_neither_user_nor_password_is_shown() -> None:
    address = parse_address(f"redis+sentinel://operator:{PASSWORD}@s1,s2/voice")
    for shown in (repr(address), str(address), f"{address}", address.shown):
        assert PASSWORD not in shown
        assert "operator" not in shown
        assert "s1" in shown
