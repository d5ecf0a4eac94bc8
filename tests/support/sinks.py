"""Looks for planted secrets, and for the provider's real ephemeral keys, wherever text can end up."""

from __future__ import annotations

from typing import Any

from tests.support.onlooker import async_onlooker
from tests.support.stack import Stack


def ephemeral_keys(stack: Stack) -> set[str]:
    """The keys that presented offers, as they went over the wire, by the journal of the provider in a box."""
    journal = stack.sandbox.control("GET", "requests")["requests"]
    found = set()
    for entry in journal:
        if not entry["path"].endswith(("/calls", "/live/sessions")):
            continue
        headers = {name.lower(): value for name, value in dict(entry["headers"]).items()}
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme == "Bearer":
            found.add(key)
        if "api-key" in headers:
            found.add(headers["api-key"])
    return found


def assert_nothing_planted_in(stack: Stack, sink: str, *texts: str) -> None:
    """Fail when one of the run's secrets, or an ephemeral key, stands in one of the texts."""
    keys = ephemeral_keys(stack)
    assert keys, "the provider saw no ephemeral key: the search would prove nothing"
    for secret in [*stack.planted.all_values(), *keys]:
        for text in texts:
            assert secret not in text, f"a secret stands in {sink}: {secret[:6]}..."


async def store_dump(url: str) -> list[str]:
    """Every key of the store with its whole value, as text."""
    client: Any = async_onlooker(url)
    try:
        records = []
        async for key in client.scan_iter(count=1000):
            kind = await client.type(key)
            if kind == "none":
                continue  # its life has ended since the scan named it
            if kind == "hash":
                value: Any = await client.hgetall(key)
            elif kind == "string":
                value = await client.get(key)
            elif kind == "zset":
                value = await client.zrange(key, 0, -1)
            elif kind == "stream":
                value = await client.xrange(key)
            else:
                assert kind == "list", (key, kind)
                value = await client.lrange(key, 0, -1)
            records.append(f"{key} {value}")
        return records
    finally:
        await client.aclose()
