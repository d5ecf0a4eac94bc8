"""A ring may change step by step only; what skips a step is refused with what to do instead."""

from __future__ import annotations

import pytest

from app.handles.keyring import parse_sealing_ring, parse_signing_ring
from app.handles.rotation import SIGNING, RingKey, RingUse, fingerprint, sealing_keys, signing_keys
from tests.unit.values import NOW, ed25519_ring, ring, ring_secret

LONGEST = 7200


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def keys(*kids: str) -> tuple[RingKey, ...]:
    return signing_keys(parse_signing_ring(ring(*kids)))


def use(clock: Clock, *kids: str) -> RingUse:
    return RingUse(SIGNING, keys(*kids), longest=LONGEST, clock=clock)


def test_the_documented_steps_are_taken_and_the_old_key_goes_when_nothing_needs_it() -> None:
    clock = Clock()
    ring_use = use(clock, "a")
    for step in (keys("a", "b"), keys("b", "a")):
        clock.now += 60
        assert ring_use.problem(step) is None
        ring_use.change(step)
    clock.now += LONGEST - 1
    problem = ring_use.problem(keys("b"))
    assert problem is not None
    assert "no key 'a'" in problem
    assert "may be needed until" in problem
    clock.now += 1
    assert ring_use.problem(keys("b")) is None
    ring_use.change(keys("b"))
    assert [key["kid"] for key in ring_use.document()] == ["b"]


def test_a_new_key_that_is_first_at_once_is_refused() -> None:
    problem = use(Clock(), "a").problem(keys("b", "a"))
    assert problem is not None
    assert "put it last now" in problem


def test_the_key_in_use_is_not_dropped() -> None:
    clock = Clock()
    problem = use(clock, "a", "b").problem(keys("b"))
    assert problem is not None
    assert "'a', which signs now" in problem
    assert "restart the replicas" in problem
    clock.now += 10 * LONGEST
    assert use(clock, "a", "b").problem(keys("b")) is not None


def test_a_key_that_never_signed_here_may_have_done_so_before_the_start() -> None:
    clock = Clock()
    ring_use = use(clock, "a", "b")
    problem = ring_use.problem(keys("a"))
    assert problem is not None
    clock.now += 60
    assert ring_use.problem(keys("a")) == problem, "the same reason has the same words"
    clock.now += LONGEST
    assert ring_use.problem(keys("a")) is None


def test_a_key_that_came_while_we_ran_and_never_signed_may_go_at_once() -> None:
    ring_use = use(Clock(), "a")
    ring_use.change(keys("a", "b"))
    assert ring_use.problem(keys("a")) is None


def test_one_id_is_one_key() -> None:
    other = signing_keys(parse_signing_ring(f"a:{ring_secret('another')}"))
    problem = use(Clock(), "a").problem(other)
    assert problem is not None
    assert "another key than before" in problem


def test_what_is_shown_of_a_key_is_the_same_everywhere_and_not_the_key() -> None:
    (hmac_key,) = keys("a")
    (ed_key,) = signing_keys(parse_signing_ring(ed25519_ring("e")))
    (sealing,) = sealing_keys(parse_sealing_ring(ring("a")))
    assert [key.algorithm for key in (hmac_key, ed_key, sealing)] == ["HS256", "EdDSA", "AES-256-GCM"]
    assert hmac_key.fingerprint == sealing.fingerprint, "one secret has one fingerprint"
    assert hmac_key.fingerprint != ed_key.fingerprint
    assert hmac_key.fingerprint not in ring_secret("a")
    assert len(fingerprint(b"x")) == 16


@pytest.mark.parametrize("order", [("a", "b", "c"), ("a", "c", "b")])
def test_the_order_behind_the_first_key_means_nothing(order: tuple[str, ...]) -> None:
    assert use(Clock(), "a", "b", "c").problem(keys(*order)) is None
