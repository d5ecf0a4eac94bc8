"""The operators' settings: their keys are nobody else's, and their port is another."""

from __future__ import annotations

import hashlib

import pytest

from tests.unit.settings.environments import ADMIN_KEY, CLIENT_KEY, load, problems


def test_without_admin_keys_there_is_no_operator_and_no_second_port() -> None:
    settings = load()
    assert (settings.admin_keys, settings.ops_port, settings.ops_host) == (None, None, None)


@pytest.mark.parametrize("form", ["clear", "hashed"])
def test_an_operators_key_that_is_a_clients_too_is_refused_whichever_form_it_has(form: str) -> None:
    key = CLIENT_KEY if form == "clear" else "sha256:" + hashlib.sha256(CLIENT_KEY.encode()).hexdigest()
    (problem,) = problems(CLOAKROOM_ADMIN_KEYS=f"sre:{ADMIN_KEY},alice:{key}")
    assert "operator 'alice' of CLOAKROOM_ADMIN_KEYS and client 'shop' have the same key" in problem
    assert "cloakroom keys new" in problem
    assert load(CLOAKROOM_ADMIN_KEYS=f"sre:{ADMIN_KEY}").admin_keys is not None


def test_the_second_port_is_another_than_the_first() -> None:
    (problem,) = problems(CLOAKROOM_PORT="9000", CLOAKROOM_OPS_PORT="9000")
    assert "CLOAKROOM_OPS_PORT is CLOAKROOM_PORT" in problem
    (problem,) = problems(CLOAKROOM_PORT="9000", CLOAKROOM_OPS_PORT="9000", CLOAKROOM_OPS_HOST="0.0.0.0")
    assert "give it another" in problem
    assert load(CLOAKROOM_PORT="9000", CLOAKROOM_OPS_PORT="9000", CLOAKROOM_OPS_HOST="127.0.0.1").ops_port
    assert load(CLOAKROOM_PORT="0", CLOAKROOM_OPS_PORT="0").ops_port == 0


def test_a_host_of_a_port_that_there_is_not_is_refused() -> None:
    (problem,) = problems(CLOAKROOM_OPS_HOST="127.0.0.1")
    assert "CLOAKROOM_OPS_HOST is set without CLOAKROOM_OPS_PORT" in problem
