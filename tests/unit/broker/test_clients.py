"""Clients by their key: the right one or nobody, and no key is kept in memory."""

from __future__ import annotations

import gc
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.clients import ClientRegistry
from app.errors import InvalidApiKey
from app.models import Client

SHOP, KIOSK = Client("shop"), Client("kiosk")
SHOP_KEY = "ck_7Qz4YtWmP1nXcVbKjHgFdSaRe"
KIOSK_KEY = "ck_Zk8wLr2uTn5vEo1iYp3aQs6d"


def registry() -> ClientRegistry:
    digest = hashlib.sha256(KIOSK_KEY.encode()).hexdigest()
    return ClientRegistry([(SHOP, SHOP_KEY), (KIOSK, f"sha256:{digest}")])


def test_a_key_configured_in_clear_or_as_its_sha256_finds_its_client() -> None:
    known = registry()
    assert known.authenticate(SHOP_KEY) is SHOP
    assert known.authenticate(KIOSK_KEY) is KIOSK


def test_the_sha256_itself_is_no_key() -> None:
    """Who reads the configuration must not be able to mint with what stands in it."""
    digest = hashlib.sha256(KIOSK_KEY.encode()).hexdigest()
    for text in (digest, f"sha256:{digest}", digest.upper()):
        with pytest.raises(InvalidApiKey):
            registry().authenticate(text)


@pytest.mark.parametrize(
    "key",
    [
        None,
        "",
        " ",
        SHOP_KEY[:-1],
        SHOP_KEY + "x",
        SHOP_KEY.lower(),
        f" {SHOP_KEY}",
        f"{SHOP_KEY}\n",
        "é",
        "\0",
    ],
)
def test_any_other_key_is_nobodys_and_is_not_repeated(key: str | None) -> None:
    with pytest.raises(InvalidApiKey) as refused:
        registry().authenticate(key)
    assert refused.value.status == 401
    assert not key or len(key) < 3 or key not in refused.value.message


@given(raw=st.binary(min_size=1, max_size=60))
def test_whatever_bytes_a_header_holds_are_nobodys_key_and_no_failure(raw: bytes) -> None:
    """aiohttp decodes header bytes as UTF-8 with surrogates for what is none."""
    with pytest.raises(InvalidApiKey):
        registry().authenticate(raw.decode("utf-8", "surrogateescape"))


def test_a_key_beyond_ascii_is_the_same_key_on_the_wire_as_in_the_settings() -> None:
    known = ClientRegistry([(SHOP, "Schlüssel-für-die-Garderobe-1")])
    assert known.authenticate("Schlüssel-für-die-Garderobe-1") is SHOP


def test_an_empty_registry_lets_nobody_in() -> None:
    with pytest.raises(InvalidApiKey):
        ClientRegistry([]).authenticate(SHOP_KEY)


def test_the_registry_keeps_no_key() -> None:
    def texts(thing: object, depth: int = 4) -> str:
        inner = gc.get_referents(thing) if depth and not isinstance(thing, type) else []
        return repr(thing) + "".join(texts(one, depth - 1) for one in inner)

    held = texts(vars(registry()))
    assert "shop" in held
    assert SHOP_KEY not in held
