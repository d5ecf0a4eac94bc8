"""Secrets that change in their files: two replicas over one store take them while they serve, no restart.

Traffic goes on all the time, each mint at one replica and its relay at the other, and none may fail.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.api import mint, minted, relay
from tests.support.clocks import eventually
from tests.support.handles import header_of
from tests.support.processes import Replica
from tests.support.scrape import scrape
from tests.support.secret_files import SecretFolder, SecretVolume
from tests.support.stack import Stack

NAMES = ("CLOAKROOM_SIGNING_KEYS", "CLOAKROOM_SEALING_KEYS", "CLOAKROOM_API_KEYS", "CLOAKROOM_ADMIN_KEYS")


_CONFIG = """
models:
  gpt-realtime-2.1: {{deployments: [openai], max_seconds: 10, default_seconds: 10}}
deployments:
  openai: {{provider: openai, base_url: "{url}/v1", api_key_file: "{key}"}}
"""


def entry(kid: str) -> str:
    return f"{kid}:{secrets.token_urlsafe(32)}"


@dataclass
class Fleet:
    """Two replicas that read their secrets from one volume."""

    stack: Stack
    volume: SecretFolder
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
            await eventually(partial(at, replica), partial(_lines_of, replica))

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


def _lines_of(replica: Replica) -> str:
    return replica.output[-3000:]


@pytest.fixture
def fleet(static_stack: Stack, tmp_path: Path, http: aiohttp.ClientSession) -> Iterator[Fleet]:
    planted = static_stack.planted.environment()
    volume = SecretVolume(tmp_path / "volume", {name: planted[name] for name in NAMES})
    models = tmp_path / "cloakroom.yaml"
    models.write_text(
        _CONFIG.format(url=static_stack.sandbox.url, key=tmp_path / "openai"),
        encoding="utf-8",
    )
    (tmp_path / "openai").write_text(static_stack.planted.openai_key, encoding="utf-8")
    more = {
        **volume.environment,
        "CLOAKROOM_CONFIG": str(models),
        "OPENAI_API_KEY": "",
        "OPENAI_BASE_URL": "",
    }
    replicas = tuple(
        static_stack.replica(f"{tmp_path.name[-20:].replace('_', '-')}-{name}", **more) for name in "ab"
    )
    first, second = replicas
    yield Fleet(static_stack, volume, (first, second), http)
    for replica in replicas:
        replica.stop()


async def test_the_signing_ring_rotates_step_by_step_under_traffic(fleet: Fleet) -> None:
    old = fleet.stack.planted.signing
    new = f"sign2:ed25519.{secrets.token_urlsafe(32)}"
    async with fleet.traffic() as handles:
        fleet.volume.put("CLOAKROOM_SIGNING_KEYS", f"{old},{new}")
        await fleet.until_all_have("signing", "sign1", "sign2")
        fleet.volume.put("CLOAKROOM_SIGNING_KEYS", f"{new},{old}")
        await fleet.until_all_have("signing", "sign2", "sign1")
        made = len(handles)
        await eventually(lambda: len(handles) > made + 2)
    assert {header_of(handle)["kid"] for handle in handles} == {"sign1", "sign2"}
    # A handle lives 10 s here. So the old key may go soon, and is refused until then.
    fleet.volume.put("CLOAKROOM_SIGNING_KEYS", new)
    await fleet.until_all_have("signing", "sign2")
    for replica in fleet.replicas:
        assert replica.running
        assert [line["changed"] for line in replica.events("secrets_reloaded")] == [["signing_keys"]] * 3


async def test_the_sealing_ring_rotates_under_traffic(fleet: Fleet) -> None:
    old, new = fleet.stack.planted.sealing, entry("seal2")
    async with fleet.traffic() as handles:
        fleet.volume.put("CLOAKROOM_SEALING_KEYS", f"{old},{new}")
        await fleet.until_all_have("sealing", "seal1", "seal2")
        fleet.volume.put("CLOAKROOM_SEALING_KEYS", f"{new},{old}")
        await fleet.until_all_have("sealing", "seal2", "seal1")
        made = len(handles)
        await eventually(lambda: len(handles) > made + 2)


async def test_client_and_admin_keys_and_a_provider_s_key_rotate_under_traffic(
    fleet: Fleet, tmp_path: Path
) -> None:
    planted, first = fleet.stack.planted, fleet.replicas[0]
    new_client, new_admin = ("ck_" + secrets.token_urlsafe(32) for _ in range(2))

    async def accepted(key: str, status: int) -> None:
        async def answers(replica: Replica) -> bool:
            return (await mint(fleet.http, replica.url, key)).status == status

        for replica in fleet.replicas:
            await eventually(partial(answers, replica), partial(_lines_of, replica))

    async with fleet.traffic():
        fleet.volume.put("CLOAKROOM_API_KEYS", f"shop:{planted.client_key},shop-2:{new_client}")
        await accepted(new_client, 200)
        fleet.volume.put("CLOAKROOM_ADMIN_KEYS", f"sre-2:{new_admin}")
        await eventually(lambda: len(first.events("secrets_reloaded")) == 2)
    fleet.volume.put("CLOAKROOM_API_KEYS", f"shop-2:{new_client}")
    await accepted(planted.client_key, 401)
    await accepted(new_client, 200)
    assert set((await fleet.in_force(first, new_admin))["clients"]) == {"shop-2"}
    headers = {"Authorization": f"Bearer {planted.admin_key}"}
    async with fleet.http.get(f"{first.url}/admin/v1/keys", headers=headers) as response:
        assert response.status == 401
    # The provider knows only its one key: another one comes through, and is refused there.
    (tmp_path / "openai").write_text("sk-proj-" + secrets.token_urlsafe(32), encoding="utf-8")
    await accepted(new_client, 502)
    (tmp_path / "openai").write_text(planted.openai_key, encoding="utf-8")
    await accepted(new_client, 200)


@pytest.mark.parametrize("how", ["file", "SIGHUP"])
async def test_a_bad_file_is_refused_as_a_whole_and_the_old_secrets_serve_on(fleet: Fleet, how: str) -> None:
    planted, (first, second) = fleet.stack.planted, fleet.replicas
    good = {name: planted.environment()[name] for name in NAMES}
    weak = "hunter2-hunter2-hunter2"
    assert isinstance(fleet.volume, SecretVolume)
    async with fleet.traffic():
        fleet.volume.put_all(
            {
                "CLOAKROOM_SIGNING_KEYS": f"{planted.signing},{entry('sign2')}",
                "CLOAKROOM_API_KEYS": f"shop:{weak}",
            }
        )
        for replica in fleet.replicas if how == "SIGHUP" else ():
            replica.signal(signal.SIGHUP)
        for replica in fleet.replicas:
            refused = await asyncio.to_thread(replica.wait_for_event, "secrets_refused")
            assert refused["level"] == "error"
            assert refused["trigger"] == how
            assert "CLOAKROOM_API_KEYS: 'shop': the key is weak" in refused["reason"]
            own = await fleet.in_force(replica)
            assert [key["kid"] for key in own["signing"]] == ["sign1"], "half of it was taken"
            assert own["problem"] == refused["reason"]
            found = await scrape(fleet.http, replica.url)
            assert found.value("cloakroom_secrets_reload_failed") == 1
        fleet.volume.put_all(good)

        async def recovered(replica: Replica) -> bool:
            return (await fleet.in_force(replica))["problem"] is None

        for replica in fleet.replicas:
            await eventually(partial(recovered, replica), partial(_lines_of, replica))
    for replica in (first, second):
        assert weak not in replica.output
        found = await scrape(fleet.http, replica.url)
        assert found.value("cloakroom_secrets_reload_failed") == 0
        assert len(replica.events("secrets_refused")) == 1, "one line says why"


async def test_a_ring_that_skips_a_step_is_refused(fleet: Fleet) -> None:
    planted, first = fleet.stack.planted, fleet.replicas[0]
    async with fleet.traffic():
        fleet.volume.put("CLOAKROOM_SIGNING_KEYS", f"{entry('sign2')},{planted.signing}")
        refused = await asyncio.to_thread(first.wait_for_event, "secrets_refused")
        assert "its first key 'sign2' is new" in refused["reason"]


async def test_what_needs_a_restart_is_named(fleet: Fleet, tmp_path: Path) -> None:
    first, config = fleet.replicas[0], tmp_path / "cloakroom.yaml"
    config.write_text(config.read_text(encoding="utf-8") + "max_in_flight: 99\n", encoding="utf-8")
    line = await asyncio.to_thread(first.wait_for_event, "settings_need_restart")
    assert line["settings"] == ["max_in_flight"]
    assert await minted(fleet.http, first.url, fleet.stack.planted.client_key)
