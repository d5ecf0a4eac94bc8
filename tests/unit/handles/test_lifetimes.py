"""A key's remaining life comes from the provider's clock, so nobody's skew can stretch or cut it."""

from __future__ import annotations

import math
import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import UpstreamError
from app.handles.lifetimes import Life, least_left, own_life, remaining_life
from app.models import MAX_KEY_SECONDS
from tests.unit.values import NOW

LIFE = 600
# A record is stored for this much less than is left, since it is on its way to the store for a moment.
WRITING = 0.1
# Of floating-point epoch seconds.
DUST = 1e-3


def life_at(now: float, key_expires_at: int, date_header: str | None, *, under_way: float = 0.0) -> Life:
    return remaining_life(key_expires_at, date_header, now=now, under_way=under_way)


def date_of(provider_time: float) -> str:
    """The header that a provider sends at this time: whole seconds, cut off."""
    return formatdate(math.floor(provider_time), usegmt=True)


@pytest.mark.parametrize("fraction", [0.0, 0.004, 0.25, 0.5, 0.75, 0.999])
def test_clocks_in_step_give_exactly_the_providers_own_expiry(fraction: float) -> None:
    now = NOW + fraction
    life = life_at(now, int(NOW) + LIFE, date_of(now))
    assert life.expires_at == int(NOW) + LIFE
    assert life.seconds == pytest.approx(LIFE - fraction - WRITING)


@pytest.mark.parametrize("under_way", [0.002, 0.3, 1.2])
def test_clocks_in_step_give_the_providers_own_expiry_also_after_a_slow_answer(under_way: float) -> None:
    made = NOW + 0.9
    life = life_at(made + under_way, int(NOW) + LIFE, date_of(made), under_way=under_way)
    assert life.expires_at == int(NOW) + LIFE
    assert life.seconds == pytest.approx(LIFE - 0.9 - under_way - WRITING)


@pytest.mark.parametrize("behind", [0.001, 0.005, 0.009])
def test_a_clock_that_is_milliseconds_behind_still_gives_the_providers_own_expiry(behind: float) -> None:
    assert life_at(NOW - behind, int(NOW) + LIFE, date_of(NOW)).expires_at == int(NOW) + LIFE


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("skew", [-3600, -90, -10, 10, 90, 3600])
def test_a_provider_whose_clock_is_off_gives_a_life_that_is_too_short_by_a_second_at_most(
    skew: int, fraction: float
) -> None:
    provider_now = NOW + skew + fraction
    life = life_at(NOW + fraction, int(provider_now) + LIFE, date_of(provider_now))
    assert life.seconds == pytest.approx(LIFE - 1 - WRITING)
    assert LIFE - 2 <= life.expires_at - (NOW + fraction) <= LIFE - 1 + 0.01 + DUST


@given(
    skew=st.floats(-80_000, 80_000) | st.floats(-4, 4),
    fraction=st.floats(0, 0.999),
    to_us=st.floats(0, 0.2),
    before=st.floats(0, 0.2),
    granted=st.integers(10, MAX_KEY_SECONDS),
)
def test_a_life_is_off_by_no_more_than_a_second_and_the_time_the_request_was_under_way(
    skew: float, fraction: float, to_us: float, before: float, granted: int
) -> None:
    """``Date`` has no fractions and says when the answer was made: more cannot be known from it."""
    provider_then = NOW + fraction + skew
    key_expires_at, ours, under_way = (
        math.floor(provider_then) + granted,
        NOW + fraction + to_us,
        before + to_us,
    )
    life = life_at(ours, key_expires_at, date_of(provider_then), under_way=under_way)
    true_life = key_expires_at - (provider_then + to_us)
    assert true_life - life.seconds <= 1 + under_way + WRITING + DUST
    # Only a clock of ours that is behind by less than that cannot be told from one in step.
    too_long = max(life.seconds - true_life, life.expires_at - ours - true_life)
    assert too_long <= (0.01 + DUST if not 0 < skew <= 1 + under_way + 0.01 else skew + 0.01 + DUST)
    assert life.expires_at - ours > life.seconds + WRITING - 1


@given(
    skew=st.floats(3, 80_000),
    ahead=st.booleans(),
    fraction=st.floats(0, 0.999),
    to_us=st.floats(0, 5),
    before=st.floats(0, 5),
)
def test_a_clock_that_is_plainly_off_never_lets_a_handle_outlive_its_key(
    skew: float, ahead: bool, fraction: float, to_us: float, before: float
) -> None:
    provider_then = NOW + fraction + (skew if ahead else -skew)
    key_expires_at, ours, under_way = math.floor(provider_then) + LIFE, NOW + fraction + to_us, before + to_us
    life = life_at(ours, key_expires_at, date_of(provider_then), under_way=under_way)
    true_life = key_expires_at - (provider_then + to_us)
    assert life.seconds <= true_life - WRITING + DUST
    assert life.expires_at <= ours + true_life + 0.01 + DUST
    assert life.seconds >= true_life - 1 - under_way - WRITING - DUST


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
    life = life_at(NOW, int(NOW) + LIFE, header)
    assert life.seconds == pytest.approx(LIFE - WRITING)
    assert life.expires_at == int(NOW) + LIFE


@given(header=st.text(st.characters(codec="utf-8"), max_size=40))
def test_no_date_header_whatever_makes_it_fail(header: str) -> None:
    assert life_at(NOW, int(NOW) + LIFE, header).seconds > 0


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
        life = life_at(NOW, int(NOW) + ahead + LIFE, header)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert life.seconds == pytest.approx(LIFE - 1 - WRITING)


@pytest.mark.parametrize("left", [0, -1, -86_400, -(10**12)])
@pytest.mark.parametrize("skew", [0, 90, -90])
def test_a_key_without_a_life_is_the_providers_error(left: int, skew: int) -> None:
    with pytest.raises(UpstreamError, match="already expired") as refused:
        life_at(NOW, int(NOW) + skew + left, date_of(NOW + skew))
    assert refused.value.answer_status == 502


def test_a_life_that_ends_within_our_current_second_is_the_providers_error() -> None:
    """A handle's ``exp`` has no fractions: it would be expired when it is issued."""
    with pytest.raises(UpstreamError):
        life_at(NOW + 0.2, int(NOW) + 91, date_of(NOW + 90))


@pytest.mark.parametrize("key_expires_at", [int(NOW) + MAX_KEY_SECONDS + 1, 2**62])
def test_no_life_is_longer_than_the_longest_key(key_expires_at: int) -> None:
    life = life_at(NOW, key_expires_at, date_of(NOW))
    assert life.seconds == MAX_KEY_SECONDS - WRITING
    assert life.expires_at == int(NOW) + MAX_KEY_SECONDS


@pytest.mark.parametrize("seconds", [10, 600, MAX_KEY_SECONDS])
@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.999])
def test_what_no_provider_minted_lives_on_our_clock_alone(seconds: int, fraction: float) -> None:
    life = own_life(seconds, now=NOW + fraction)
    assert life.expires_at in (int(NOW) + seconds, int(NOW) + seconds + 1)
    assert life.seconds == pytest.approx(seconds - WRITING)
    assert life.expires_at <= NOW + fraction + seconds + 0.01


@given(usual=st.integers(10, MAX_KEY_SECONDS // 2), doubt=st.floats(0, 2), fraction=st.floats(0, 0.999))
def test_a_key_of_a_pool_is_handed_out_only_while_its_handle_is_no_shorter_than_usual(
    usual: int, doubt: float, fraction: float
) -> None:
    """Today's handle ends with its key: at a whole second, ``usual`` seconds after the key was made."""
    left = least_left(2 * usual - doubt, usual=usual)
    assert usual < left < 2 * usual - doubt or usual < 12
    now = NOW + fraction
    assert own_life(left, now=now).expires_at >= int(now) + usual


@given(seconds=st.floats(1, 600), usual=st.integers(600, 3600))
def test_where_a_provider_gives_another_life_at_least_half_of_it_is_left(seconds: float, usual: int) -> None:
    assert least_left(seconds, usual=usual) == seconds / 2


def test_a_longer_life_than_was_asked_for_is_halved_too() -> None:
    assert least_left(3600, usual=600) == 1800
