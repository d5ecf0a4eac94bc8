"""The hang-up's own rules: whose call it is, what is asked of the provider, and when the end is noted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.calls.hangup import CallProofs, Hangup, owns
from app.broker.routing.catalog import Catalog
from app.broker.settlement import Settlement
from app.errors import (
    CallNotFound,
    CloakroomError,
    InvalidRequest,
    StoreUnavailable,
    UpstreamError,
    UpstreamUnreachable,
)
from app.handles.keyring import parse_sealing_ring
from app.handles.sealing import Sealer
from app.models import Client, Clocks, HandleClaims
from app.providers.base import UpstreamRequest, UpstreamResponse
from app.providers.registry import PROVIDERS
from app.store.records.record import CallRecord
from app.telemetry.timings import Timings
from tests.samples import load
from tests.support.clocks import PATIENCE
from tests.support.security import security_log
from tests.unit.values import NOW, deployment, ring

CALL = CallRecord(
    "rtc_1", "AAECAwQFBgcICQoLDA0ODw", "openai-main", "assistant", "shop", "user-7", 1_000, "replica-b"
)
SEALER = Sealer(parse_sealing_ring(ring("a")))
SHOP, HANDLE = Client("shop"), HandleClaims(CALL.handle, expires_at=0)
ENDED, UNKNOWN = load("openai/hangup-200").response, load("openai/hangup-404-call_id_not_found").response
REFUSED = load("openai/hangup-401").response


class Calls:
    """The store and the provider of one call, and what was done to either, in order."""

    def __init__(
        self,
        answers: Sequence[UpstreamResponse] = (),
        call: CallRecord | None = CALL,
        *,
        failing_notes: int = 0,
    ) -> None:
        self.steps: list[str] = []
        self.notes: list[tuple[str, int, str]] = []
        self.noted = asyncio.Event()
        self._failing_notes = failing_notes
        self._answers = list(answers)
        self._call = call

    async def get(self, call_id: str) -> CallRecord | None:
        self.steps.append("get")
        return self._call if self._call is not None and call_id == self._call.id else None

    async def mark_ended(
        self, call: CallRecord, *, ended_at: int, ended_by: str, because: str = "", operator: str = ""
    ) -> None:
        self.steps.append("note")
        if self._failing_notes > 0:
            self._failing_notes -= 1
            raise StoreUnavailable("Away.")
        self.notes.append((call.id, ended_at, ended_by))
        self.noted.set()

    async def post(self, request: UpstreamRequest, *, timeout: float, timings: Timings) -> UpstreamResponse:
        self.steps.append("ask")
        assert request.url.endswith(f"/realtime/calls/{CALL.id}/hangup")
        return self._answers.pop(0)


def hangup(calls: Calls, *, required: bool = False) -> Hangup:
    places = {place.name: place for place in (deployment(), deployment("azure-preview"))}
    fake: Any = calls
    return Hangup(
        catalog=Catalog(places, {}, default_model=None),
        providers=PROVIDERS,
        upstream=fake,
        calls=fake,
        settlement=Settlement(lambda: 0.0),
        security=security_log(),
        proofs=CallProofs(SEALER, required=required),
        replica="replica-a",
        deadline=10,
        clocks=Clocks(now=lambda: NOW + 0.9, monotonic=lambda: 0.0),
    )


# --- whose call ---------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", [SHOP, HANDLE], ids=["the client", "the handle"])
async def test_a_call_is_found_by_its_client_and_by_its_handle(caller: Client | HandleClaims) -> None:
    assert await hangup(Calls()).find(CALL.id, caller, Timings()) == CALL


@pytest.mark.parametrize(
    "caller",
    [
        Client("kiosk"),
        Client(""),
        Client(CALL.handle),
        HandleClaims("B" * 22, expires_at=2**31),
        HandleClaims("shop", expires_at=2**31),
    ],
)
async def test_a_foreign_call_and_an_unknown_one_are_the_same_answer(caller: Client | HandleClaims) -> None:
    refusals = []
    for calls, call_id in ((Calls(), CALL.id), (Calls(), "rtc_2"), (Calls(call=None), CALL.id)):
        with pytest.raises(CallNotFound) as refused:
            await hangup(calls).find(call_id, caller, Timings())
        error = refused.value
        refusals.append((error.answer_status, error.answer_code, error.message, error.param))
        assert calls.steps == ["get"]
    assert len(set(refusals)) == 1
    assert refusals[0][:2] == (404, "call_id_not_found")


@given(name=st.text(max_size=30), handle=st.text(max_size=30))
def test_a_client_owns_by_name_and_a_handle_by_id_and_neither_by_the_others(name: str, handle: str) -> None:
    call = replace(CALL, client=name, handle=handle)
    assert owns(Client(name), call)
    assert owns(HandleClaims(handle, expires_at=0), call)
    assert owns(Client(handle), call) is (name == handle)
    assert owns(HandleClaims(name, expires_at=0), call) is (name == handle)


# --- whether its record was changed -------------------------------------------------------------


def proven(call: CallRecord = CALL) -> CallRecord:
    return replace(call, proof=SEALER.prove(*call.stated))


@pytest.mark.parametrize("caller", [SHOP, HANDLE], ids=["the client", "the handle"])
async def test_a_call_is_found_as_it_was_relayed_alone(caller: Client | HandleClaims) -> None:
    assert await hangup(Calls(call=proven())).find(CALL.id, caller, Timings()) == proven()
    changed = Calls(call=replace(proven(), deployment="azure-preview"))
    with pytest.raises(CallNotFound):
        await hangup(changed).find(CALL.id, caller, Timings())
    with pytest.raises(CallNotFound):
        await hangup(changed).hang_up(replace(proven(), max_call_seconds=1), Timings())
    assert changed.steps == ["get"]


async def test_a_call_without_a_proof_is_an_older_releases_unless_each_must_have_one() -> None:
    assert await hangup(Calls()).find(CALL.id, SHOP, Timings()) == CALL
    with pytest.raises(CallNotFound):
        await hangup(Calls(), required=True).find(CALL.id, SHOP, Timings())
    newer = replace(CALL, version=99)
    assert await hangup(Calls(call=newer), required=True).find(CALL.id, SHOP, Timings()) == newer


# --- the order of steps -------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "outcome"), [(ENDED, "ended"), (UNKNOWN, "gone")])
async def test_the_end_is_noted_after_the_provider_said_so(answer: UpstreamResponse, outcome: str) -> None:
    calls = Calls([answer])
    assert await hangup(calls).hang_up(CALL, Timings()) == outcome
    assert calls.steps == ["ask", "note"]
    assert calls.notes == [(CALL.id, int(NOW), "replica-a")]


async def test_a_call_that_was_hung_up_is_asked_of_nobody_again() -> None:
    calls = Calls()
    ended = replace(CALL, ended_at=1_500, ended_by="replica-b")
    assert await hangup(calls).hang_up(ended, Timings()) == "repeated"
    assert calls.steps == []


async def test_a_store_that_fails_after_the_end_changes_nothing_for_the_caller_and_is_written_to_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.broker.settlement.PAUSE_SECONDS", 0.01)
    calls = Calls([ENDED], failing_notes=2)
    assert await hangup(calls).hang_up(CALL, Timings()) == "ended"
    assert calls.notes == []
    await asyncio.wait_for(calls.noted.wait(), PATIENCE)
    assert calls.steps == ["ask", "note", "note", "note"]


@pytest.mark.parametrize(
    ("call", "answers", "error", "asked"),
    [
        (CALL, [REFUSED], UpstreamError, 1),
        (replace(CALL, deployment="elsewhere"), [], UpstreamUnreachable, 0),
        (replace(CALL, deployment="azure-preview-main"), [], InvalidRequest, 0),
    ],
    ids=["the provider refuses", "a deployment of other replicas", "Azure's preview"],
)
async def test_a_hang_up_that_fails_leaves_no_note(
    call: CallRecord, answers: list[UpstreamResponse], error: type[CloakroomError], asked: int
) -> None:
    calls = Calls(answers)
    with pytest.raises(error):
        await hangup(calls).hang_up(call, Timings())
    assert calls.steps == ["ask"] * asked


async def test_a_deployment_that_only_other_replicas_know_may_be_tried_again_and_is_not_named() -> None:
    with pytest.raises(UpstreamUnreachable) as refused:
        await hangup(Calls()).hang_up(replace(CALL, deployment="elsewhere"), Timings())
    assert (refused.value.answer_status, refused.value.retry_after) == (502, 1)
    assert "elsewhere" not in refused.value.message
