"""Refused credentials by address: how many, until when; good ones and other addresses do not care."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import structlog

from app.errors import CloakroomError, HandleExpired, HandleRevoked, InvalidApiKey, InvalidHandle, RateLimited
from app.telemetry.metrics import Metrics
from app.telemetry.parts.protection import ProtectionMetrics
from app.web.listener import credentials
from app.web.listener.credentials import LOG_SECONDS, MOST_ADDRESSES, RefusedCredentials

PER_MINUTE = 6
A, B = "203.0.113.1", "203.0.113.2"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(models=[], deployments=[])


@pytest.fixture
def refused(clock: Clock, metrics: Metrics) -> RefusedCredentials:
    return RefusedCredentials(PER_MINUTE, ProtectionMetrics(metrics), clock=clock)


def of(address: str) -> Callable[[], str]:
    return lambda: address


def answers(refused: RefusedCredentials, address: str, number: int) -> list[int]:
    return [refused.judged(InvalidApiKey("no"), of(address)).status for _ in range(number)]


def test_an_address_may_send_some_and_then_one_now_and_then(
    refused: RefusedCredentials, clock: Clock
) -> None:
    assert answers(refused, A, PER_MINUTE + 3) == [401] * PER_MINUTE + [429] * 3
    assert refused.limits(A)
    clock.now += 60 / PER_MINUTE + 0.01
    assert not refused.limits(A)
    assert answers(refused, A, 2) == [401, 429]
    clock.now += 61
    assert answers(refused, A, PER_MINUTE + 1) == [401] * PER_MINUTE + [429]


def test_a_flood_does_not_lengthen_its_own_wait(refused: RefusedCredentials, clock: Clock) -> None:
    answers(refused, A, PER_MINUTE)
    for _ in range(100):
        assert answers(refused, A, 1) == [429]
        clock.now += 60 / PER_MINUTE / 101
    clock.now += 0.2
    assert answers(refused, A, 1) == [401]


def test_other_addresses_do_not_care(refused: RefusedCredentials) -> None:
    answers(refused, A, PER_MINUTE + 1)
    assert not refused.limits(B)
    assert answers(refused, B, 1) == [401]


@pytest.mark.parametrize("error", [HandleExpired("x"), HandleRevoked("x"), RateLimited("x")])
def test_what_tells_an_honest_bearer_to_mint_again_is_always_told(
    refused: RefusedCredentials, error: CloakroomError
) -> None:
    answers(refused, A, PER_MINUTE + 1)
    assert refused.judged(error, of(A)) is error


def test_the_error_says_when_to_come_again_and_nothing_of_the_credential(
    refused: RefusedCredentials,
) -> None:
    answers(refused, A, PER_MINUTE)
    error = refused.judged(InvalidHandle("told nobody"), of(A))
    assert (error.code, error.retry_after) == ("rate_limited", 10)
    assert "valid" in error.message
    assert "told nobody" not in error.message


def test_nothing_is_limited_where_the_limit_is_0(metrics: Metrics) -> None:
    refused = RefusedCredentials(0, ProtectionMetrics(metrics))
    assert answers(refused, A, 1000) == [401] * 1000
    assert not refused.over


def test_what_is_remembered_is_bounded_and_an_address_that_just_sent_one_stays(
    refused: RefusedCredentials,
) -> None:
    answers(refused, A, PER_MINUTE + 1)
    for number in range(MOST_ADDRESSES - 1):
        answers(refused, f"10.0.{number // 250}.{number % 250}", 1)
    assert refused.limits(A)
    answers(refused, A, 1)
    answers(refused, B, 1)
    assert answers(refused, A, 1) == [429]
    for number in range(MOST_ADDRESSES):
        answers(refused, f"10.1.{number // 250}.{number % 250}", 1)
    # Nobody was heard of it for so long that it is forgotten, with all that was known of it.
    assert A not in refused.over
    assert answers(refused, A, 1) == [401]


def test_the_addresses_that_sent_too_many_are_forgotten_once_they_may_send_again(
    refused: RefusedCredentials, clock: Clock
) -> None:
    for address in (A, B):
        answers(refused, address, PER_MINUTE + 1)
    assert refused.over.keys() == {A, B}
    clock.now += 120
    # Of any address: the way of a usual request is short again.
    assert not refused.limits("198.51.100.1")
    assert not refused.over


def test_it_is_logged_once_in_a_while_with_how_many_there_were(
    refused: RefusedCredentials, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with structlog.testing.capture_logs() as lines:
        monkeypatch.setattr(credentials, "log", structlog.get_logger())
        answers(refused, A, PER_MINUTE + 5)
        for _ in range(1000):
            refused.limited_at_once()
        assert [line["limited"] for line in lines] == [1]
        clock.now += LOG_SECONDS
        answers(refused, A, 3)
    assert [line["limited"] for line in lines] == [1, 1005]
    assert lines[-1]["address"] == A


def test_what_is_refused_and_what_is_limited_is_counted(
    refused: RefusedCredentials, metrics: Metrics
) -> None:
    answers(refused, A, PER_MINUTE + 2)
    refused.limited_at_once()

    def counted(answer: str) -> float | None:
        return metrics.registry.get_sample_value("cloakroom_credentials_refused_total", {"answer": answer})

    assert (counted("401"), counted("429")) == (PER_MINUTE, 3)
