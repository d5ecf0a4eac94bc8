"""Two replicas that read their secrets from one volume, and traffic across them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.api import mint, relay
from tests.support.clocks import eventually
from tests.support.processes import Replica
from tests.support.secret_files import SecretVolume
from tests.support.stack import Stack

NAMES = ("CLOAKROOM_SIGNING_KEYS", "CLOAKROOM_SEALING_KEYS", "CLOAKROOM_API_KEYS", "CLOAKROOM_ADMIN_KEYS")


_CONFIG = """
models:
  gpt-realtime-2.1: {{deployments: [openai], max_seconds: 10, default_seconds: 10}}
deployments:
  openai: {{provider: openai, base_url: "{url}/v1", api_key_file: "{key}"}}
"""


def ring_entry(kid: str) -> str:
    """A fresh key for a ring."""
    return f"{kid}:{secrets.token_urlsafe(32)}"


@dataclass
class Fleet:
    """Two replicas that read their secrets from one volume."""

    stack: Stack
    volume: SecretVolume
    replicas: tuple[Replica, Replica]
    http: aiohttp.ClientSession

    async def in_force(self, replica: Replica, admin_key: str | None = None) -> dict[str, Any]:
        """What ``replica`` tells of itself."""
        headers = {"Authorization": f"Bearer {admin_key or self.stack.planted.admin_key}"}
        async with self.http.get(f"{replica.url}/admin/v1/keys", headers=headers) as response:
            assert response.status == 200, await response.text()
            document = await response.json()
        (own,) = [each for each in document["replicas"] if each["replica"] == replica.name]
        return dict(own)

    async def until_all_have(self, ring: str, *kids: str) -> None:
        """Wait until both replicas have this ring in force."""

        async def at(replica: Replica) -> bool:
            return [key["kid"] for key in (await self.in_force(replica))[ring]] == [*kids]

        for replica in self.replicas:
            await eventually(partial(at, replica), partial(last_lines, replica))

    @asynccontextmanager
    async def traffic(self) -> AsyncIterator[list[str]]:
        """Mint and relay across the replicas until the end of the block; the handles that were made."""
        handles: list[str] = []
        failed: list[object] = []
        ended = asyncio.Event()

        async def go(at: Replica, other: Replica) -> None:
            while not ended.is_set():
                reply = await mint(self.http, at.url, self.stack.planted.client_key)
                if reply.status != 200:
                    failed.append(reply)
                    continue
                handles.append(str(reply.json["value"]))
                # Older ones too, which a key that is not the first any more has signed and sealed. They live
                # for ten seconds.
                for handle in dict.fromkeys((handles[-1], *handles[-20::5])):
                    offered = await relay(self.http, other.url, handle)
                    if offered.status != 201 and offered.code != "handle_expired":
                        failed.append(offered)
                await asyncio.sleep(0.05)

        first, second = self.replicas
        going = [asyncio.create_task(go(first, second)), asyncio.create_task(go(second, first))]
        try:
            yield handles
        finally:
            ended.set()
            await asyncio.gather(*going)
        assert failed == []
        assert handles


def last_lines(replica: Replica) -> str:
    """What a failure shows of a replica."""
    return replica.output[-3000:]


def start_fleet(stack: Stack, http: aiohttp.ClientSession, folder: Path, **more: str) -> Fleet:
    """Start both over the stack's store and provider. A handle lives ten seconds."""
    planted = stack.planted.environment()
    volume = SecretVolume(folder / "volume", {name: planted[name] for name in NAMES})
    config, provider_key = folder / "cloakroom.yaml", folder / "openai"
    config.write_text(_CONFIG.format(url=stack.sandbox.url, key=provider_key), encoding="utf-8")
    provider_key.write_text(stack.planted.openai_key, encoding="utf-8")
    unset = dict.fromkeys(("OPENAI_API_KEY", "OPENAI_BASE_URL"), "")
    environment = {**volume.environment, **unset, "CLOAKROOM_CONFIG": str(config), **more}
    # Each test has its own names, since the store remembers what a replica has in force.
    name = secrets.token_hex(3)
    return Fleet(
        stack,
        volume,
        (stack.replica(f"{name}-a", **environment), stack.replica(f"{name}-b", **environment)),
        http,
    )
