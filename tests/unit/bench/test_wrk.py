"""What goes to wrk and what comes back."""

from __future__ import annotations

import json

import pytest

from tests.bench import nginx, wrk
from tests.bench.contenders import mint_load, relay_load
from tests.bench.tools import BenchError

TOLD = {
    "requests": 9000,
    "duration_us": 2_000_000,
    "connect": 1,
    "read": 2,
    "write": 0,
    "status": 4,
    "timeout": 8,
    "p50_us": 1500,
    "p99_us": 12_000,
    "max_us": 40_000,
}


def test_the_outcome_is_read_from_among_the_words_of_wrk() -> None:
    output = f"Running 2s test @ http://127.0.0.1:1\n  1 threads\n{json.dumps(TOLD)}\n"

    outcome = wrk.parse(output)

    assert outcome.requests == 9000
    assert outcome.per_second == pytest.approx(4500)
    assert (outcome.p50_ms, outcome.p99_ms, outcome.max_ms) == (1.5, 12.0, 40.0)


def test_every_kind_of_error_counts_as_a_failed_request() -> None:
    assert wrk.parse(json.dumps(TOLD)).failed == 15


def test_a_wrk_that_did_not_finish_is_an_error_with_its_words() -> None:
    with pytest.raises(BenchError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_a_template_with_its_markers_filled_is_whole_http() -> None:
    load = relay_load(("ek_one",))

    filled = load.template.replace(wrk.TOKEN, b"ek_one").replace(wrk.SERIAL, b"123456789000000001")

    head, _, body = filled.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/realtime/calls HTTP/1.1\r\nHost: ")
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"Authorization: Bearer ek_one\r\n" in head
    assert b"Origin: https://shop.example.com" in head
    assert b"@" not in filled


def test_the_offer_is_of_the_size_that_browsers_send() -> None:
    body = relay_load(("ek",)).template.partition(b"\r\n\r\n")[2]

    assert 2400 <= len(body) <= 2800
    assert body.count(b"\r\n") == body.count(b"\n")


def test_a_mint_presents_the_clients_key() -> None:
    load = mint_load("ck_shop", path="/2/v1/realtime/client_secrets")

    assert load.tokens == ("ck_shop",)
    assert load.template.startswith(b"POST /2/v1/realtime/client_secrets ")
    assert b"\r\nAuthorization: Bearer @TOKEN@\r\n" in load.template


def test_nginx_answers_with_what_fits_its_own_syntax() -> None:
    assert "'" not in nginx.mint_answer()
    assert b"'" not in nginx.answer()
    # The longest token that nginx reads in a configuration.
    assert len(nginx.answer()) < 4096
    assert b"@" not in nginx.answer()
