"""Which deployment an alias leads to, and that a refusal names only what the client may use."""

from __future__ import annotations

import pytest

from app.catalog import Catalog
from app.errors import ModelNotAllowed, ModelNotFound
from app.models import Client
from tests.unit.values import deployment

OPENAI, AZURE = deployment("openai"), deployment("azure")
DEPLOYMENTS = {"oai": OPENAI, "az": AZURE}
ANYBODY = Client("anybody")


def catalog(**models: str) -> Catalog:
    return Catalog(DEPLOYMENTS, models, default_model=None)


def test_an_alias_leads_to_its_own_deployment() -> None:
    known = catalog(voice="az", chat="oai")
    assert known.resolve(ANYBODY, "voice") is AZURE
    assert known.resolve(ANYBODY, "chat") is OPENAI


def test_a_star_takes_every_name_that_is_not_named_itself() -> None:
    known = Catalog(DEPLOYMENTS, {"voice": "az", "*": "oai"}, default_model=None)
    assert known.resolve(ANYBODY, "voice") is AZURE
    assert known.resolve(ANYBODY, "gpt-realtime-2027") is OPENAI


def test_without_a_star_an_unknown_name_is_a_404_that_lists_the_known_ones() -> None:
    with pytest.raises(ModelNotFound, match=r"no model 'other' here.*chat, voice\.") as refused:
        catalog(voice="az", chat="oai").resolve(ANYBODY, "other")
    assert (refused.value.status, refused.value.param) == (404, "model")


@pytest.mark.parametrize("alias", ["Voice", "voice ", "VOICE", "voice2"])
def test_an_alias_is_taken_literally(alias: str) -> None:
    with pytest.raises(ModelNotFound):
        catalog(voice="az").resolve(ANYBODY, alias)


def test_a_model_outside_the_clients_list_is_a_403_that_names_its_own_only() -> None:
    known = catalog(voice="az", chat="oai", secret_project="oai")
    with pytest.raises(ModelNotAllowed) as refused:
        known.resolve(Client("shop", models=frozenset({"voice"})), "chat")
    assert (refused.value.status, refused.value.param) == (403, "model")
    assert refused.value.message == "Client 'shop' may not use 'chat'. It may use: voice."


def test_a_limited_client_learns_no_other_name_from_a_404_either() -> None:
    known = catalog(voice="az", secret_project="oai")
    with pytest.raises(ModelNotFound) as refused:
        known.resolve(Client("shop", models=frozenset({"voice"})), "x")
    assert "secret_project" not in refused.value.message


def test_a_star_widens_no_clients_list() -> None:
    known = Catalog(DEPLOYMENTS, {"*": "oai"}, default_model=None)
    client = Client("shop", models=frozenset({"gpt-realtime"}))
    assert known.resolve(client, "gpt-realtime") is OPENAI
    with pytest.raises(ModelNotAllowed):
        known.resolve(client, "gpt-realtime-mini")


def test_a_client_with_an_empty_list_may_use_nothing() -> None:
    with pytest.raises(ModelNotAllowed, match="It may use: none"):
        catalog(voice="az").resolve(Client("shop", models=frozenset()), "voice")


def test_a_handles_deployment_is_found_by_name_and_is_none_on_a_replica_without_it() -> None:
    known = catalog(voice="az")
    assert known.deployment("oai") is OPENAI
    assert known.deployment("voice") is None
