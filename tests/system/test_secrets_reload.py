"""Secrets that change in their files: two replicas over one store take them while they serve, no restart.

Traffic goes on all the time, each mint at one replica and its relay at the other, and none may fail.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
from functools import partial
from pathlib import Path

import pytest

from tests.support.api import mint, minted
from tests.support.clocks import eventually
from tests.support.handles import header_of
from tests.support.processes import Replica
from tests.support.scrape import scrape
from tests.support.secret_fleet import NAMES, Fleet, last_lines, ring_entry


async def test_both_rings_rotate_step_by_step_under_traffic(fleet: Fleet) -> None:
    planted = fleet.stack.planted
    # The new signing key is of another algorithm, the hardest rotation there is.
    sign, seal = f"sign2:ed25519.{secrets.token_urlsafe(32)}", ring_entry("seal2")
    async with fleet.traffic() as handles:
        fleet.volume.put_all(
            {
                "CLOAKROOM_SIGNING_KEYS": f"{planted.signing},{sign}",
                "CLOAKROOM_SEALING_KEYS": f"{planted.sealing},{seal}",
            }
        )
        await fleet.until_all_have("signing", "sign1", "sign2")
        await fleet.until_all_have("sealing", "seal1", "seal2")
        fleet.volume.put_all(
            {
                "CLOAKROOM_SIGNING_KEYS": f"{sign},{planted.signing}",
                "CLOAKROOM_SEALING_KEYS": f"{seal},{planted.sealing}",
            }
        )
        await fleet.until_all_have("signing", "sign2", "sign1")
        await fleet.until_all_have("sealing", "seal2", "seal1")
        made = len(handles)
        await eventually(lambda: len(handles) > made + 2)
        # A handle lives ten seconds here: the old key is kept for so long, and then it goes.
        fleet.volume.put("CLOAKROOM_SIGNING_KEYS", sign)
        await fleet.until_all_have("signing", "sign2")
    assert {header_of(handle)["kid"] for handle in handles} == {"sign1", "sign2"}
    for replica in fleet.replicas:
        rings = ["signing_keys", "sealing_keys"]
        taken = [sorted(line["changed"], reverse=True) for line in replica.events("secrets_reloaded")]
        assert taken == [rings, rings, ["signing_keys"]]
        assert "may be needed until" in replica.events("secrets_refused")[0]["reason"]


async def test_client_and_admin_keys_and_a_provider_s_key_rotate_under_traffic(
    fleet: Fleet, tmp_path: Path
) -> None:
    planted, first = fleet.stack.planted, fleet.replicas[0]
    new_client, new_admin = ("ck_" + secrets.token_urlsafe(32) for _ in range(2))

    async def accepted(key: str, status: int) -> None:
        async def answers(replica: Replica) -> bool:
            return (await mint(fleet.http, replica.url, key)).status == status

        for replica in fleet.replicas:
            await eventually(partial(answers, replica), partial(last_lines, replica))

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
    await accepted(new_client, 401)
    (tmp_path / "openai").write_text(planted.openai_key, encoding="utf-8")
    await accepted(new_client, 200)


@pytest.mark.parametrize("how", ["file", "SIGHUP"])
async def test_a_bad_file_is_refused_as_a_whole_and_the_old_secrets_serve_on(fleet: Fleet, how: str) -> None:
    planted, (first, second) = fleet.stack.planted, fleet.replicas
    good = {name: planted.environment()[name] for name in NAMES}
    weak = "hunter2-hunter2-hunter2"
    async with fleet.traffic():
        fleet.volume.put_all(
            {
                "CLOAKROOM_SIGNING_KEYS": f"{planted.signing},{ring_entry('sign2')}",
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
            await eventually(partial(recovered, replica), partial(last_lines, replica))
    for replica in (first, second):
        assert weak not in replica.output
        found = await scrape(fleet.http, replica.url)
        assert found.value("cloakroom_secrets_reload_failed") == 0
        assert len(replica.events("secrets_refused")) == 1, "one line says why"


async def test_a_ring_that_skips_a_step_is_refused(fleet: Fleet) -> None:
    planted, first = fleet.stack.planted, fleet.replicas[0]
    async with fleet.traffic():
        fleet.volume.put("CLOAKROOM_SIGNING_KEYS", f"{ring_entry('sign2')},{planted.signing}")
        refused = await asyncio.to_thread(first.wait_for_event, "secrets_refused")
        assert "its first key 'sign2' is new" in refused["reason"]


async def test_what_needs_a_restart_is_named(fleet: Fleet, tmp_path: Path) -> None:
    first, config = fleet.replicas[0], tmp_path / "cloakroom.yaml"
    config.write_text(config.read_text(encoding="utf-8") + "max_in_flight: 99\n", encoding="utf-8")
    line = await asyncio.to_thread(first.wait_for_event, "settings_need_restart")
    assert line["settings"] == ["max_in_flight"]
    assert await minted(fleet.http, first.url, fleet.stack.planted.client_key)
