"""Handles that are bound to a page's origin and certificate: what is relayed, refused and reported."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, MutableMapping
from typing import Any, Final

import orjson
import pytest
import structlog.testing

from app.store import keys
from tests.conftest import ServiceFactory
from tests.support.api import Reply
from tests.support.issuer import claims_of as token_claims
from tests.support.issuer import issuers
from tests.support.live import MODEL, body_of, create
from tests.support.offers import certificate, offer_with
from tests.support.planted import Planted
from tests.support.scrape import scrape
from tests.support.service import Service
from tests.web.operators import get, id_of, post
from tests.web.test_live import live_service

PAGE, OTHER_PAGE = "https://app.example.com", "https://other.example.com"
OWN, OTHER = certificate(1), certificate(2)
AGENT: Final = "Thief/1.0"
FOREIGN: Final = [
    None,
    OTHER_PAGE,
    "null",
    f"{PAGE}:8443",
    "http://app.example.com",
    "https://app.example.com.evil.example",
]
Lines = list[MutableMapping[str, Any]]


@pytest.fixture
async def service(service_factory: ServiceFactory) -> Service:
    return await service_factory(CLOAKROOM_CORS_ORIGINS="*", CLOAKROOM_HANDLE_MAX_CALLS="1")


@pytest.fixture
def lines() -> Iterator[Lines]:
    with structlog.testing.capture_logs() as captured:
        yield captured


def events(lines: Lines) -> list[tuple[str, str]]:
    """Kind and handle of each security event."""
    return [(line["kind"], line["handle"]) for line in lines if line["event"] == "security_event"]


async def bound(service: Service, **bind: Any) -> str:
    return await service.minted({"model": "gpt-realtime-2.1", "bind": bind})


async def record(service: Service, handle: str) -> dict[str, str]:
    found: dict[str, str] = await service.store_client.hgetall(keys.handle(id_of(handle)))
    return found


async def assert_refused(service: Service, handle: str, code: str, reply: Reply) -> None:
    """It was refused, and cost nothing."""
    assert (reply.status, reply.code) == (403, code), reply
    found = await record(service, handle)
    assert (found["calls"], found["last_refusal"].split(" ")[1]) == ("0", code)
    assert "relays" not in found
    assert service.asked("/calls") == 0


# --- what a mint binds to ------------------------------------------------------------------------


async def test_a_mint_binds_and_says_so_and_no_provider_hears_of_it(service: Service) -> None:
    bind = {"origin": "https://App.example.com:443", "fingerprint": OWN.lower()}
    reply = await service.mint({"session": {"model": "gpt-realtime-2.1"}, "bind": bind})
    assert reply.json["bind"] == {"origin": PAGE, "fingerprint": OWN}
    found = await record(service, reply.json["value"])
    assert found["bind_origin"] == PAGE
    assert found["bind_fingerprint"] == OWN.removeprefix("sha-256 ").replace(":", "")
    # Redis keeps it compact.
    key = keys.handle(id_of(reply.json["value"]))
    assert await service.store_client.object("encoding", key) == "listpack"
    # The provider gets the very body that it gets without it.
    assert (await service.mint({"session": {"model": "gpt-realtime-2.1"}})).status == 200
    asked = [one for one in service.provider.journal.reports() if one["operation"] == "client_secrets"]
    assert len(asked) == 2
    assert len({one["body_sha256"] for one in asked}) == 1


async def test_a_mint_that_binds_to_nothing_is_as_ever(service: Service) -> None:
    for body in ({"model": "gpt-realtime-2.1"}, {"model": "gpt-realtime-2.1", "bind": None}):
        reply = await service.mint(body, Origin=PAGE)
        assert "bind" not in reply.json
        found = await record(service, reply.json["value"])
        assert not {"bind_origin", "bind_fingerprint"} & found.keys()
        assert (await service.relay(reply.json["value"], offer_with(OTHER), Origin=OTHER_PAGE)).status == 201


@pytest.mark.parametrize("path", ["sessions", "transcription_sessions"])
async def test_the_betas_flat_bodies_bind_too(service: Service, path: str) -> None:
    body = {"input_audio_transcription": {"model": "gpt-live-transcribe"}, "bind": {"fingerprint": OWN}}
    reply = await service.post(
        f"/v1/realtime/{path}",
        json=body if path != "sessions" else {**body, "model": "gpt-realtime-2.1"},
        headers={"Authorization": f"Bearer {service.planted.client_key}"},
    )
    assert reply.json["bind"] == {"fingerprint": OWN}
    handle = reply.json["client_secret"]["value"]
    assert (await service.relay(handle, offer_with(OTHER))).code == "wrong_certificate"
    assert (await service.relay(handle, offer_with(OWN))).status == 201


@pytest.mark.parametrize(
    ("bind", "param"),
    [
        ("x", "bind"),
        ({"address": "192.0.2.1"}, "bind.address"),
        ({"origin": f"{PAGE}/"}, "bind.origin"),
        ({"origin": "null"}, "bind.origin"),
        ({"fingerprint": OWN[:-3]}, "bind.fingerprint"),
        ({"fingerprint": "sha-1 " + ":".join(["AB"] * 20)}, "bind.fingerprint"),
    ],
)
async def test_a_bad_binding_is_refused_before_anything_is_asked(
    service: Service, bind: Any, param: str
) -> None:
    for body in ({"model": "gpt-realtime-2.1", "bind": bind}, {"session": {"model": "x"}, "bind": bind}):
        reply = await service.mint(body)
        assert (reply.status, reply.code, reply.json["error"]["param"]) == (400, "invalid_request", param)
    assert service.asked() == 0


async def test_a_signed_in_users_handle_is_bound_to_his_page_unless_he_says_otherwise(
    service_factory: ServiceFactory,
) -> None:
    service = await service_factory(CLOAKROOM_ISSUERS=issuers(), CLOAKROOM_CORS_ORIGINS="*")
    token = service.provider.issuer.sign(token_claims(str(service.sandbox.make_url("/issuer"))))

    async def mint(bind: Any = None, **headers: str) -> Reply:
        body = {"model": "gpt-realtime-2.1"} if bind is None else {"model": "gpt-realtime-2.1", "bind": bind}
        return await service.mint(body, Authorization=f"Bearer {token}", **headers)

    usual = await mint(Origin=PAGE)
    assert usual.json["bind"] == {"origin": PAGE}
    assert (await service.relay(usual.json["value"], Origin=OTHER_PAGE)).code == "wrong_origin"
    assert (await service.relay(usual.json["value"])).code == "wrong_origin"
    assert (await service.relay(usual.json["value"], Origin=PAGE)).status == 201
    both = await mint({"fingerprint": OWN}, Origin=PAGE)
    assert both.json["bind"] == {"origin": PAGE, "fingerprint": OWN}
    elsewhere = await mint({"origin": OTHER_PAGE}, Origin=PAGE)
    assert elsewhere.json["bind"] == {"origin": OTHER_PAGE}
    for reply in (await mint({"origin": None}, Origin=PAGE), await mint(), await mint(Origin="null")):
        assert "bind" not in reply.json
        assert (await service.relay(reply.json["value"])).status == 201


# --- what is relayed -----------------------------------------------------------------------------


async def test_an_offer_with_another_certificate_is_refused_and_the_right_one_works_after_it(
    service: Service, lines: Lines
) -> None:
    handle = await bound(service, fingerprint=OWN)
    reply = await service.relay(handle, offer_with(OTHER))
    await assert_refused(service, handle, "wrong_certificate", reply)
    # It says nothing of the certificate that would do.
    assert OWN not in reply.text
    assert OWN.removeprefix("sha-256 ").replace(":", "") not in reply.text
    assert (await service.relay(handle, offer_with(OWN))).status == 201
    assert events(lines) == [("wrong_certificate", id_of(handle))]


@pytest.mark.parametrize(
    "offer",
    [
        pytest.param(lambda: offer_with(OWN, OTHER), id="beside the bound one"),
        pytest.param(lambda: offer_with(OTHER, OWN), id="before the bound one"),
        pytest.param(lambda: offer_with(OWN, "sha-512 " + ":".join(["AB"] * 64)), id="by another function"),
        pytest.param(lambda: offer_with(OWN).replace(OWN.encode(), OTHER.encode(), 1), id="in one section"),
        pytest.param(
            lambda: offer_with(OWN).replace(b"t=0 0\r\n", b"t=0 0\r\na=fingerprint:%b\r\n" % OTHER.encode()),
            id="at session level",
        ),
        pytest.param(
            lambda: offer_with(OWN).replace(b"s=-\r\n", b"s=-\x0ba=fingerprint:%b\r\n" % OTHER.encode()),
            id="behind a vertical tab",
        ),
        pytest.param(
            lambda: offer_with(OWN) + b"A=Fingerprint:%b\r\n" % OTHER.encode(), id="in another spelling"
        ),
    ],
)
async def test_no_other_certificate_comes_through_beside_the_bound_one(service: Service, offer: Any) -> None:
    handle = await bound(service, fingerprint=OWN)
    await assert_refused(service, handle, "wrong_certificate", await service.relay(handle, offer()))


async def test_an_offer_may_spell_the_certificate_as_it_likes(service: Service) -> None:
    handle = await bound(service, fingerprint=OWN)
    offer = offer_with(OWN.lower()).replace(b"\r\n", b"\n")
    assert (await service.relay(handle, offer)).status == 201


async def test_a_handle_may_be_bound_to_several_fingerprints_of_one_certificate(service: Service) -> None:
    longer = "sha-384 " + ":".join(["AB"] * 48)
    handle = await bound(service, fingerprint=[longer, OWN])
    for offer in (offer_with(OWN), offer_with(longer), offer_with(OWN, longer, OTHER)):
        await assert_refused(service, handle, "wrong_certificate", await service.relay(handle, offer))
    assert (await service.relay(handle, offer_with(longer, OWN))).status == 201


async def test_every_form_of_an_offer_counts(service: Service) -> None:
    headers: dict[str, str]
    for fingerprint, status in ((OTHER, 403), (OWN, 201)):
        sdp = offer_with(fingerprint)
        part = b'--b\r\nContent-Disposition: form-data; name="sdp"\r\n\r\n%b\r\n--b--\r\n' % sdp
        forms = {
            "application/sdp": sdp,
            "multipart/form-data; boundary=b": part,
            "application/json": orjson.dumps({"sdp": sdp.decode()}),
        }
        for kind, body in forms.items():
            handle = await bound(service, fingerprint=OWN)
            for path in ("/v1/realtime/calls", "/v1/realtime", "/openai/v1/realtime/calls"):
                headers = {"Authorization": f"Bearer {handle}", "Content-Type": kind}
                reply = await service.post(path, data=body, headers=headers)
                # The second and the third of those that fit get the first one's answer.
                assert reply.status == status, (kind, path, reply)


async def test_a_live_sessions_offer_counts_in_its_own_form(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await live_service("openai-live", service_factory, planted)
    mint = {"session": {"type": "live", "model": MODEL}, "bind": {"fingerprint": OWN}}
    handle = (await service.mint(mint)).json["value"]
    refused = await create(service.http, service.base, handle, body_of(offer_with(OTHER)))
    assert (refused.status, refused.code) == (403, "wrong_certificate")
    # Neither does a form with the right one outside the offer help.
    disguised = {**body_of(offer_with(OTHER)), "session": {"instructions": f"a=fingerprint:{OWN}"}}
    assert (await create(service.http, service.base, handle, disguised)).code == "wrong_certificate"
    assert (await create(service.http, service.base, handle, body_of(offer_with(OWN)))).status == 201


async def test_a_translation_handle_is_bound_too(service: Service) -> None:
    reply = await service.post(
        "/v1/realtime/translations/client_secrets",
        json={"session": {"model": "gpt-realtime-translate"}, "bind": {"fingerprint": OWN}},
        headers={"Authorization": f"Bearer {service.planted.client_key}"},
    )
    headers = {"Authorization": f"Bearer {reply.json['value']}", "Content-Type": "application/sdp"}
    path = "/v1/realtime/translations/calls"
    assert (await service.post(path, data=offer_with(OTHER), headers=headers)).code == "wrong_certificate"
    assert (await service.post(path, data=offer_with(OWN), headers=headers)).status == 201


@pytest.mark.parametrize("origin", FOREIGN)
async def test_an_offer_of_another_page_or_of_none_is_refused(
    service: Service, lines: Lines, origin: str | None
) -> None:
    handle = await bound(service, origin=PAGE)
    headers = {} if origin is None else {"Origin": origin}
    reply = await service.relay(handle, offer_with(OWN), **headers)
    await assert_refused(service, handle, "wrong_origin", reply)
    assert PAGE not in reply.text
    (event,) = [line for line in lines if line["event"] == "security_event"]
    assert event["expected"] == {"origin": PAGE}
    assert event["seen"]["origin"] == (origin or "none")
    assert (await service.relay(handle, Origin=PAGE)).status == 201


async def test_both_parts_must_fit(service: Service, lines: Lines) -> None:
    handle = await bound(service, origin=PAGE, fingerprint=OWN)
    for origin, fingerprint, code in (
        (PAGE, OTHER, "wrong_certificate"),
        (OTHER_PAGE, OWN, "wrong_origin"),
        (OTHER_PAGE, OTHER, "wrong_certificate"),
    ):
        reply = await service.relay(handle, offer_with(fingerprint), Origin=origin)
        await assert_refused(service, handle, code, reply)
    assert (await service.relay(handle, offer_with(OWN), Origin=PAGE)).status == 201
    assert len(events(lines)) == 3


async def test_a_hundred_thieves_at_once_leave_the_use_to_its_owner(service: Service) -> None:
    handle = await bound(service, fingerprint=OWN)
    thieves = [service.relay(handle, offer_with(certificate(number))) for number in range(2, 102)]
    *stolen, owners = await asyncio.gather(*thieves, service.relay(handle, offer_with(OWN)))
    assert {reply.code for reply in stolen} == {"wrong_certificate"}
    assert owners.status == 201
    assert service.asked("/calls") == 1


async def test_a_thief_takes_no_place_among_the_clients_calls(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    clients = {"limited": {"api_key": "ck_limited_and_long_enough", "max_open_calls": 1}}
    service = await service_factory(CLOAKROOM_CLIENTS=json.dumps(clients))
    headers = {"Authorization": "Bearer ck_limited_and_long_enough"}
    mint = {"model": "gpt-realtime-2.1", "bind": {"fingerprint": OWN}}
    handle = (await service.mint(mint, **headers)).json["value"]
    for _ in range(3):
        assert (await service.relay(handle, offer_with(OTHER))).code == "wrong_certificate"
    assert (await service.relay(handle, offer_with(OWN))).status == 201
    # Now the one place is taken.
    other = (await service.mint(mint, **headers)).json["value"]
    assert (await service.relay(other, offer_with(OWN))).code == "too_many_calls"


# --- the same offer again, and what comes later --------------------------------------------------


async def test_the_same_offer_gets_the_same_answer_and_is_no_event(service: Service, lines: Lines) -> None:
    for bind in ({}, {"fingerprint": OWN}, {"origin": PAGE, "fingerprint": OWN}):
        handle, offer = await bound(service, **bind), offer_with(OWN)
        first = await service.relay(handle, offer, Origin=PAGE)
        again = await service.relay(handle, offer, Origin=PAGE)
        assert (first.status, again.status) == (201, 201)
        assert (first.text, first.headers["location"]) == (again.text, again.headers["location"])
    assert events(lines) == []


async def test_the_same_offer_from_another_page_gets_no_answer(service: Service, lines: Lines) -> None:
    handle, offer = await bound(service, origin=PAGE), offer_with(OWN)
    assert (await service.relay(handle, offer, Origin=PAGE)).status == 201
    assert (await service.relay(handle, offer, Origin=OTHER_PAGE)).code == "wrong_origin"
    assert events(lines) == [("wrong_origin", id_of(handle))]


async def test_what_comes_after_the_offer_needs_no_certificate(service: Service) -> None:
    handle = await bound(service, origin=PAGE, fingerprint=OWN)
    reply = await service.relay(handle, offer_with(OWN), Origin=PAGE)
    call_id = reply.headers["location"].rpartition("/")[2]
    told = await service.post(
        f"/v1/realtime/calls/{call_id}/report",
        json={"outcome": "connected", "after_ms": 12},
        headers={"Authorization": f"Bearer {handle}"},
    )
    assert told.status == 204
    assert (await service.hang_up(handle, call_id)).status == 200


# --- what is on the record, and what is reported -------------------------------------------------


async def test_the_record_has_the_binding_and_the_first_use(service: Service) -> None:
    handle = await bound(service, origin=PAGE, fingerprint=OWN)
    shown = await get(service, f"/handles/{id_of(handle)}")
    assert (shown["bind_origin"], shown["bind_fingerprint"]) == (PAGE, OWN)
    assert (shown["used_origin"], shown["used_fingerprint"]) == (None, None)
    assert (await service.relay(handle, offer_with(OWN), Origin=PAGE)).status == 201
    shown = await get(service, f"/handles/{id_of(handle)}")
    assert (shown["used_origin"], shown["used_fingerprint"]) == (PAGE, OWN)


async def test_the_first_use_is_on_record_also_of_a_handle_that_is_bound_to_nothing(
    service_factory: ServiceFactory,
) -> None:
    service = await service_factory(CLOAKROOM_CORS_ORIGINS="*", CLOAKROOM_HANDLE_MAX_CALLS="2")
    handle = await service.minted()
    assert (await service.relay(handle, offer_with(OWN))).status == 201
    assert (await service.relay(handle, offer_with(OTHER), Origin=PAGE)).status == 201
    shown = await get(service, f"/handles/{id_of(handle)}")
    assert (shown["bind_origin"], shown["bind_fingerprint"]) == (None, None)
    assert (shown["used_origin"], shown["used_fingerprint"]) == ("none", OWN)
    unclear = await service.minted()
    weak = "sha-1 " + ":".join(["AB"] * 20)
    assert (await service.relay(unclear, offer_with(weak, OWN))).status == 201
    assert (await get(service, f"/handles/{id_of(unclear)}"))["used_fingerprint"] == "unclear"


async def test_a_use_that_was_given_back_is_not_the_first_one(service: Service) -> None:
    handle = await service.minted()
    await service.stop_provider()
    assert (await service.relay(handle, offer_with(OTHER))).code == "upstream_unreachable"
    found = await record(service, handle)
    assert found["calls"] == "0"
    # The next one that counts writes over it.
    assert (await service.relay(handle, offer_with(OWN), Origin=PAGE)).code == "upstream_unreachable"
    found = await record(service, handle)
    assert found["used_origin"] == PAGE
    assert found["used_fingerprint"] == OWN.removeprefix("sha-256 ").replace(":", "")


@pytest.mark.parametrize("binds", [True, False])
async def test_a_spent_handle_that_comes_from_elsewhere_is_reported_and_from_its_own_page_not(
    service: Service, lines: Lines, binds: bool
) -> None:
    # Bound to the origin alone, so that another certificate comes as far as that it is spent.
    handle = await bound(service, origin=PAGE) if binds else await service.minted()
    assert (await service.relay(handle, offer_with(OWN), Origin=PAGE)).status == 201
    own = await service.relay(handle, offer_with(OWN), Origin=PAGE)
    assert (own.status, own.code) == (409, "handle_spent")
    assert events(lines) == []
    stolen = await service.relay(handle, offer_with(OTHER), Origin=PAGE, **{"User-Agent": AGENT})
    assert (stolen.status, stolen.code) == (409, "handle_spent")
    (event,) = [line for line in lines if line["event"] == "security_event"]
    assert (event["kind"], event["handle"], event["client"]) == ("spent_elsewhere", id_of(handle), "shop")
    assert event["model"] == "gpt-realtime-2.1"
    assert event["expected"] == {"origin": PAGE, "fingerprint": OWN}
    assert event["seen"] == {
        "origin": PAGE,
        "fingerprint": OTHER,
        "address": "127.0.0.1",
        "user_agent": AGENT,
    }


async def test_a_revoked_handle_that_comes_from_elsewhere_is_reported(service: Service, lines: Lines) -> None:
    used, unused = await service.minted(), await service.minted()
    bound_one = await bound(service, fingerprint=OWN)
    assert (await service.relay(used, offer_with(OWN))).status == 201
    for handle in (used, unused, bound_one):
        await post(service, f"/handles/{id_of(handle)}/revoke")
        for fingerprint in (OWN, OTHER):
            reply = await service.relay(handle, offer_with(fingerprint))
            assert (reply.status, reply.code) == (401, "handle_revoked")
    # Of the one that was never used and is bound to nothing, nobody knows whose it is.
    kind = "revoked_elsewhere"
    assert events(lines) == [(kind, id_of(used)), (kind, id_of(bound_one))]


async def test_a_bound_handle_tells_strangers_nothing_of_its_uses(service: Service) -> None:
    handle = await bound(service, fingerprint=OWN)
    assert (await service.relay(handle, offer_with(OWN))).status == 201
    # It is spent now, and so it says to its own bearer alone.
    assert (await service.relay(handle, offer_with(OTHER))).code == "wrong_certificate"
    assert (await service.relay(handle, offer_with(OWN))).code == "handle_spent"


async def test_refusals_and_events_are_counted(service: Service) -> None:
    handle = await bound(service, origin=PAGE, fingerprint=OWN)
    await service.relay(handle, offer_with(OTHER), Origin=PAGE)
    await service.relay(handle, offer_with(OWN))
    seen = await scrape(service.http, service.base)
    for code in ("wrong_certificate", "wrong_origin"):
        assert seen.value("cloakroom_relays_total", outcome="refused", code=code) == 1
        assert seen.value("cloakroom_claims_refused_total", reason=code) == 1
        assert seen.value("cloakroom_security_events_total", kind=code) == 1


async def test_a_binding_that_is_changed_in_the_store_opens_nothing(service: Service, lines: Lines) -> None:
    for change in ({"bind_fingerprint": "AB" * 32}, {"bind_origin": OTHER_PAGE}, {"max_calls": "9"}, None):
        handle = await bound(service, origin=PAGE, fingerprint=OWN)
        key, before = keys.handle(id_of(handle)), service.asked("/calls")
        if change is None:
            await service.store_client.hdel(key, "bind_origin", "bind_fingerprint")
        else:
            await service.store_client.hset(key, mapping=change)
        found = await record(service, handle)
        stolen = ":".join(["AB"] * 32) if found.get("bind_fingerprint") == "AB" * 32 else OWN[8:]
        reply = await service.relay(
            handle, offer_with(f"sha-256 {stolen}"), Origin=found.get("bind_origin", PAGE)
        )
        assert (reply.status, reply.code) == (401, "invalid_handle")
        assert service.asked("/calls") == before
    assert {kind for kind, _ in events(lines)} == {"record_refused"}
