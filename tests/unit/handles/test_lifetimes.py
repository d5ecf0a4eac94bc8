"""A key's remaining life comes from the provider's clock, so nobody's skew can stretch or cut it."""

from __future__ import annotations

import math
import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import UpstreamError
from app.handles.lifetimes import remaining_life
from app.models import MAX_KEY_SECONDS
from tests.unit.values import NOW

LIFE = 600


def date_of(provider_time: float) -> str:
    """The header that a provider sends at this time: whole seconds, cut off."""
    return formatdate(math.floor(provider_time), usegmt=True)


@pytest.mark.parametrize("fraction", [0.0, 0.004, 0.25, 0.5, 0.75, 0.999])
def test_clocks_in_step_give_exactly_the_providers_own_expiry(fraction: float) -> None:
    now = NOW + fraction
    life = remaining_life(int(NOW) + LIFE, date_of(now), now=now)
    assert life.expires_at == int(NOW) + LIFE
    assert life.seconds == pytest.approx(LIFE - fraction)


@pytest.mark.parametrize("behind", [0.001, 0.005, 0.009])
def test_a_clock_that_is_milliseconds_behind_still_gives_the_providers_own_expiry(behind: float) -> None:
    assert remaining_life(int(NOW) + LIFE, date_of(NOW), now=NOW - behind).expires_at == int(NOW) + LIFE


@pytest.mark.parametrize("skew", [-3600, -90, -10, 10, 90, 3600])
def test_a_provider_whose_clock_is_off_gives_a_life_right_to_half_a_second(skew: int) -> None:
    provider_now = NOW + skew + 0.3
    life = remaining_life(int(provider_now) + LIFE, date_of(provider_now), now=NOW + 0.3)
    assert abs(life.seconds - LIFE) <= 0.5
    assert abs(life.expires_at - (NOW + LIFE)) <= 1


@given(
    skew=st.floats(-80_000, 80_000) | st.floats(-4, 4),
    fraction=st.floats(0, 0.999),
    under_way=st.floats(0, 0.2),
    granted=st.integers(10, MAX_KEY_SECONDS),
)
def test_no_life_is_off_by_more_than_a_second_and_the_time_the_answer_was_under_way(
    skew: float, fraction: float, under_way: float, granted: int
) -> None:
    """``Date`` has no fractions and says when the answer was made: more cannot be known from it."""
    provider_then = NOW + fraction + skew
    key_expires_at = math.floor(provider_then) + granted
    ours = NOW + fraction + under_way
    life = remaining_life(key_expires_at, date_of(provider_then), now=ours)
    true_life = key_expires_at - (provider_then + under_way)
    assert abs(life.seconds - true_life) <= 1 + under_way + 1e-3
    assert life.expires_at - ours <= life.seconds + 0.011
    assert life.expires_at - ours > life.seconds - 1


@given(skew=st.floats(3, 80_000), ahead=st.booleans(), fraction=st.floats(0, 0.999))
def test_a_clock_that_is_plainly_off_costs_half_a_second_at_most(
    skew: float, ahead: bool, fraction: float
) -> None:
    provider_now = NOW + fraction + (skew if ahead else -skew)
    key_expires_at = math.floor(provider_now) + LIFE
    life = remaining_life(key_expires_at, date_of(provider_now), now=NOW + fraction)
    assert abs(life.seconds - (key_expires_at - provider_now)) <= 0.5 + 1e-3


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "garbage",
        "12",
        "Wed, 99 Nov 2026 99:99:99 GMT",
        "Wed, 01 Jan 99999999999999999999 00:00:00 GMT",
        "\udcff",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        formatdate(NOW + 86_402, usegmt=True),
        formatdate(NOW - 86_402, usegmt=True),
    ],
)
def test_a_date_that_is_missing_garbage_or_days_off_is_no_clock_so_ours_counts(header: str | None) -> None:
    life = remaining_life(int(NOW) + LIFE, header, now=NOW)
    assert life.seconds == LIFE
    assert life.expires_at == int(NOW) + LIFE


@given(header=st.text(st.characters(codec="utf-8"), max_size=40))
def test_no_date_header_whatever_makes_it_fail(header: str) -> None:
    assert remaining_life(int(NOW) + LIFE, header, now=NOW).seconds > 0


DATE_FORMS = {
    "IMF-fixdate": "%a, %d %b %Y %H:%M:%S GMT",
    "RFC 850": "%A, %d-%b-%y %H:%M:%S GMT",
    "asctime": "%a %b %d %H:%M:%S %Y",
}


@pytest.mark.parametrize("form", DATE_FORMS.values(), ids=DATE_FORMS.keys())
@pytest.mark.parametrize(("zone", "ahead"), [("UTC", 90), ("Asia/Tokyo", 91), ("America/New_York", 92)])
def test_each_form_of_a_date_means_gmt_wherever_we_run(
    form: str, zone: str, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9110, section 5.6.7. Each zone has a date of its own, since parsed ones are remembered."""
    header = time.strftime(form, time.gmtime(NOW + ahead))
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        life = remaining_life(int(NOW) + ahead + LIFE, header, now=NOW)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert abs(life.seconds - LIFE) <= 0.5


@pytest.mark.parametrize("left", [0, -1, -86_400, -(10**12)])
@pytest.mark.parametrize("skew", [0, 90, -90])
def test_a_key_without_a_life_is_the_providers_error(left: int, skew: int) -> None:
    with pytest.raises(UpstreamError, match="already expired") as refused:
        remaining_life(int(NOW) + skew + left, date_of(NOW + skew), now=NOW)
    assert refused.value.answer_status == 502


def test_a_life_that_ends_within_our_current_second_is_the_providers_error() -> None:
    """A handle's ``exp`` has no fractions: it would be expired when it is issued."""
    with pytest.raises(UpstreamError):
        remaining_life(int(NOW) + 91, date_of(NOW + 90), now=NOW + 0.2)


@pytest.mark.parametrize("key_expires_at", [int(NOW) + MAX_KEY_SECONDS + 1, 2**62])
def test_no_life_is_longer_than_the_longest_key(key_expires_at: int) -> None:
    life = remaining_life(key_expires_at, date_of(NOW), now=NOW)
    assert life.seconds == MAX_KEY_SECONDS
    assert life.expires_at == int(NOW) + MAX_KEY_SECONDS
