"""The short form of ``make fuzz``: the kept corpus, and some thousand inputs near it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from app.handles.bindings import first_fingerprint
from app.models import HandleClaims
from app.outbound.http1 import AnswerReader
from app.providers.base import UpstreamResponse
from app.store.address import StoreAddress
from tests.fuzz.minimise import smallest, steps_of
from tests.fuzz.mutations import inputs_of
from tests.fuzz.target import CORPUS, Target, read_corpus, written_corpus
from tests.fuzz.targets import TARGETS, handles
from tests.unit.values import NOW

each_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


def check_seeds(target: Target) -> None:
    for seed in target.seeds:
        target.check(seed)


@each_target
def test_no_input_of_the_corpus_shows_a_defect(target: Target) -> None:
    for data in target.corpus():
        target.check(data)


@each_target
def test_no_input_near_the_corpus_shows_a_defect(target: Target) -> None:
    @settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
    @given(inputs_of(target))
    def hold(data: bytes) -> None:
        target.check(data)

    hold()


@each_target
def test_the_seeds_reach_the_code_that_the_target_is_about(target: Target) -> None:
    assert len(smallest(target.check, target.seeds)) > 5


def test_the_shares_of_the_targets_are_the_whole() -> None:
    assert sum(target.share for target in TARGETS.values()) == pytest.approx(1.0)


def test_the_corpus_is_small_and_belongs_to_targets() -> None:
    files = list(CORPUS.glob("*"))
    assert {file.stem for file in files} <= TARGETS.keys()
    assert sum(file.stat().st_size for file in files) < 200_000


def test_a_corpus_file_holds_any_bytes() -> None:
    inputs = [bytes(range(256)), b"", b"\n\r\\x00\\", "é".encode()]
    assert sorted(read_corpus(written_corpus(inputs))) == sorted(inputs)


def test_an_input_that_reaches_no_further_is_not_kept() -> None:
    short, long = b"t", b"t" + b"x" * 300
    assert steps_of(handles.check, short) == steps_of(handles.check, long) != set()
    assert smallest(handles.check, [long, short]) == [short]


class _Believes:
    """A verifier that checks no signature."""

    def verify(self, text: str, *, allow_expired: bool = False) -> HandleClaims:
        return HandleClaims(id="A" * 22, expires_at=int(NOW) + 60, owner="")


class _Shortens(AnswerReader):
    """A reader that loses the last byte of a body."""

    def feed(self, data: bytes) -> UpstreamResponse | None:
        answer = super().feed(data)
        return answer and UpstreamResponse(answer.status, answer.headers, answer.body[:-1])


def _quotes(url: str) -> StoreAddress:
    """A reader whose message has the password in it."""
    raise ValueError(f"{url} cannot be read")


@pytest.mark.parametrize(
    ("target", "place", "defect"),
    [
        ("handles", "tests.fuzz.targets.handles._ISSUER", _Believes()),
        ("http1", "tests.fuzz.targets.http1.AnswerReader", _Shortens),
        ("urls", "tests.fuzz.targets.urls.parse_address", _quotes),
        ("offers", "tests.fuzz.targets.offers.read_form", lambda *_: {}),
        ("bindings", "tests.fuzz.targets.bindings.fingerprints_of", first_fingerprint),
    ],
)
def test_a_defect_is_seen(target: str, place: str, defect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The targets are not blind: one of their seeds shows it."""
    monkeypatch.setattr(place, defect)
    with pytest.raises(AssertionError):
        check_seeds(TARGETS[target])
