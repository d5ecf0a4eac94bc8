"""Our slot of a key is the one that the driver, and with it every server, computes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from app.store.execution.topology import SLOTS, slot_of


@given(st.text(alphabet="{}ab\u00e4:", max_size=12) | st.text())
def test_the_slot_is_the_driver_s(key: str) -> None:
    name = key.encode(errors="ignore").decode()
    assert slot_of(name) == key_slot(name.encode())


def test_keys_with_the_same_braces_share_a_slot() -> None:
    assert slot_of("cloakroom:handle:{a}") == slot_of("cloakroom:claims:{a}") < SLOTS
