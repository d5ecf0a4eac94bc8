"""Which deployment an alias leads to, and that a refusal names only what the client may use."""

from __future__ import annotations

import pytest

from app.broker.routing.catalog import Catalog, Choice, Model, Takeover
from app.broker.session_policy import ModelPolicy
from app.errors import InvalidRequest, ModelNotAllowed, ModelNotFound
from app.models import Client, Deployment
from tests.unit.values import deployment

OPENAI, AZURE = deployment("openai"), deployment("azure")
DEPLOYMENTS = {"oai": OPENAI, "az": AZURE}
ANYBODY = Client("anybody")


def catalog(**models: str) -> Catalog:
    known = {alias: Model((Choice(name),)) for alias, name in models.items()}
    return Catalog(DEPLOYMENTS, known, default_model=None)


def leads_to(known: Catalog, alias: str, client: Client = ANYBODY) -> tuple[Deployment, ...]:
    return known.resolve(client, alias).deployments


def test_an_alias_leads_to_its_own_deployment() -> None:
    known = catalog(voice="az", chat="oai")
    assert leads_to(known, "voice") == (AZURE,)
    assert leads_to(known, "chat") == (OPENAI,)


def test_a_star_takes_every_name_that_is_not_named_itself() -> None:
    known = catalog(**{"voice": "az", "*": "oai"})
    assert leads_to(known, "voice") == (AZURE,)
    assert leads_to(known, "gpt-realtime-2027") == (OPENAI,)


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
    known = catalog(**{"*": "oai"})
    client = Client("shop", models=frozenset({"gpt-realtime-2.1"}))
    assert leads_to(known, "gpt-realtime-2.1", client) == (OPENAI,)
    with pytest.raises(ModelNotAllowed):
        known.resolve(client, "gpt-realtime-2.1-mini")


def test_a_client_with_an_empty_list_may_use_nothing() -> None:
    with pytest.raises(ModelNotAllowed, match="It may use: none"):
        catalog(voice="az").resolve(Client("shop", models=frozenset()), "voice")


def test_a_handles_deployment_is_found_by_name_and_is_none_on_a_replica_without_it() -> None:
    known = catalog(voice="az")
    assert known.deployment("oai") is OPENAI
    assert known.deployment("voice") is None


def several(*choices: Choice) -> Catalog:
    return Catalog(DEPLOYMENTS, {"voice": Model(choices)}, default_model=None)


def test_the_lowest_priority_is_tried_first_whatever_the_order_and_the_weights() -> None:
    known = several(Choice("az", priority=2, weight=1000), Choice("oai", priority=1))
    for _ in range(50):
        assert leads_to(known, "voice") == (OPENAI, AZURE)


def test_equal_priorities_share_by_weight() -> None:
    known = several(Choice("az", weight=3), Choice("oai", weight=1))
    first = sum(leads_to(known, "voice")[0] is AZURE for _ in range(4000))
    # Three quarters of 4000, give or take seven standard deviations.
    assert 2800 < first < 3200


def test_every_deployment_of_a_model_is_on_the_route_once() -> None:
    known = several(Choice("az"), Choice("oai"))
    assert {*leads_to(known, "voice")} == {AZURE, OPENAI}


def test_a_nested_model_has_the_providers_name_where_the_session_is_served() -> None:
    whisper = deployment("openai", name="whisper", upstream_model="gpt-4o-transcribe")
    known = Catalog(
        {"oai": OPENAI, "az": AZURE, "tr": whisper},
        {"scribe": Model((Choice("az"), Choice("tr")))},
        default_model=None,
    )
    assert known.upstream_name(ANYBODY, "scribe", OPENAI, param="p") == "gpt-4o-transcribe"


def test_a_nested_model_that_is_served_elsewhere_only_is_refused() -> None:
    known = catalog(scribe="az")
    with pytest.raises(InvalidRequest, match="not served where") as refused:
        known.upstream_name(ANYBODY, "scribe", OPENAI, param="session.x")
    assert refused.value.param == "session.x"


def test_a_nested_model_is_checked_against_the_clients_list_too() -> None:
    client = Client("shop", models=frozenset({"voice"}))
    with pytest.raises(ModelNotAllowed):
        catalog(voice="oai", scribe="oai").upstream_name(client, "scribe", OPENAI, param="p")


DAY = 86_400.0


def succeeded(clock: list[float], *, policy: ModelPolicy | None = None) -> Catalog:
    """``new`` follows ``old`` from the tenth day on, and ``newest`` follows ``new`` from the twentieth."""
    models = {
        "old": Model((Choice("oai"),), policy or ModelPolicy(), Takeover("new", 10 * DAY)),
        "new": Model((Choice("az"),), takeover=Takeover("newest", 20 * DAY)),
        "*": Model((Choice("oai"),)),
    }
    return Catalog(DEPLOYMENTS, models, default_model=None, clock=lambda: clock[0])


@pytest.mark.parametrize(
    ("now", "served_by", "name"),
    [
        (10 * DAY - 0.001, OPENAI, "old"),
        (10 * DAY, AZURE, "new"),
        (20 * DAY - 0.001, AZURE, "new"),
        (20 * DAY, OPENAI, "newest"),
    ],
)
def test_a_successor_takes_over_at_the_first_moment_of_its_day(
    now: float, served_by: Deployment, name: str
) -> None:
    route = succeeded([now]).resolve(ANYBODY, "old")
    assert (route.deployments, route.model) == ((served_by,), name)


def test_a_takeover_needs_no_new_catalog() -> None:
    clock = [0.0]
    known = succeeded(clock)
    assert known.resolve(ANYBODY, "old").model == "old"
    clock[0] = 15 * DAY
    assert known.resolve(ANYBODY, "old").model == "new"
    assert known.upstream_name(ANYBODY, "old", AZURE, param="p") == "voice-prod"


def test_the_policy_and_the_clients_of_an_alias_stay_when_its_successor_takes_over() -> None:
    locked = ModelPolicy(locked={"instructions": "Be brief."})
    known = succeeded([15 * DAY], policy=locked)
    shop = Client("shop", models=frozenset({"old"}))
    assert known.resolve(shop, "old").policy is locked
    with pytest.raises(ModelNotAllowed):
        known.resolve(shop, "new")


def test_a_takeover_without_a_clock_is_refused() -> None:
    models = {"old": Model((Choice("oai"),), takeover=Takeover("new", DAY))}
    with pytest.raises(ValueError, match="clock"):
        Catalog(DEPLOYMENTS, models, default_model=None)
