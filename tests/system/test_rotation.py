"""Signing and sealing keys rotate, step by step over two replicas, and no live handle is lost."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import aiohttp

from tests.support.api import minted, relay
from tests.support.handles import header_of
from tests.support.processes import Replica
from tests.support.stack import Stack


@dataclass(frozen=True)
class Ring:
    old: str
    new: str

    @property
    def verify_both(self) -> str:
        return f"{self.old},{self.new}"

    @property
    def sign_new(self) -> str:
        return f"{self.new},{self.old}"


def _secret(kid: str, *, prefix: str = "") -> str:
    return f"{kid}:{prefix}{secrets.token_urlsafe(32)}"


async def test_no_handle_is_lost_at_any_step_of_a_rotation(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    # The new signing key is of another algorithm, the hardest rotation there is.
    signing = Ring(static_stack.planted.signing, _secret("sign2", prefix="ed25519."))
    sealing = Ring(static_stack.planted.sealing, _secret("seal2"))
    steps = [
        (signing.old, sealing.old),
        (signing.verify_both, sealing.verify_both),
        (signing.sign_new, sealing.sign_new),
    ]
    handles: list[str] = []
    before: Replica | None = None
    for number, (sign, seal) in enumerate(steps):
        after = static_stack.replica(
            f"step-{number}", CLOAKROOM_SIGNING_KEYS=sign, CLOAKROOM_SEALING_KEYS=seal
        )
        # While a step rolls out, replicas of both steps mint and relay for each other.
        for replica in filter(None, (before, after)):
            handles.append(await minted(http, replica.url, static_stack.planted.client_key))
        for replica in filter(None, (before, after)):
            for handle in handles:
                reply = await relay(http, replica.url, handle)
                assert reply.status == 201, (number, replica.name, reply)
        before = after
    assert {header_of(handle)["kid"] for handle in handles} == {"sign1", "sign2"}
    assert {header_of(handle)["alg"] for handle in handles} == {"HS256", "EdDSA"}

    retired = static_stack.replica(
        "retired", CLOAKROOM_SIGNING_KEYS=signing.new, CLOAKROOM_SEALING_KEYS=sealing.new
    )
    outcomes = {
        header_of(handle)["kid"]: (await relay(http, retired.url, handle)).status for handle in handles
    }
    assert outcomes == {"sign1": 401, "sign2": 201}


async def test_a_sealing_key_retired_too_early_costs_no_use_and_says_mint_again(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    first = static_stack.replica("early-a", CLOAKROOM_HANDLE_MAX_CALLS="1")
    second = static_stack.replica("early-b", CLOAKROOM_SEALING_KEYS=_secret("seal9"))
    handle = await minted(http, first.url, static_stack.planted.client_key)
    reply = await relay(http, second.url, handle)
    assert (reply.status, reply.code) == (401, "invalid_handle")
    assert second.wait_for_event("handle_not_opened")["reason"] == "unknown_sealing_key"
    assert (await relay(http, first.url, handle)).status == 201
