"""A ``Secret`` shows itself to nobody, by whatever way text is made of it."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
import pprint
from collections.abc import Callable
from typing import Any

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from app.models import Answer, Client, EphemeralKey, Offer, Secret
from app.store.records.record import HandleRecord
from tests.unit.values import EPHEMERAL_KEY, NOW, deployment

PLANTED = "sk-planted-7Qz4YtWmP1nXcVbKjHgF"


class Holder:
    """An ordinary object with a secret in it."""

    def __init__(self) -> None:
        self.secret = Secret(PLANTED)


WAYS: dict[str, Callable[[Secret], object]] = {
    "repr": repr,
    "str": str,
    "ascii": ascii,
    "f-string": lambda secret: f"{secret}",
    "f-string with a width": lambda secret: f"{secret:>60}",
    "f-string with repr": lambda secret: f"{secret!r}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - this way of formatting is the test
    "format": "{0} {0!r} {0!s}".format,
    "inside a list": lambda secret: str([secret, {"key": secret}]),
    "pprint": lambda secret: pprint.pformat({"key": secret}),
    "an exception": lambda secret: repr(ValueError(secret)),
    "json by default": lambda secret: json.dumps({"key": secret}, default=str),
    "orjson by default": lambda secret: orjson.dumps({"key": secret}, default=str),
    "the key of a mapping": lambda secret: str({secret: 1}),
    "a deployment": lambda secret: repr(deployment(api_key=secret)),
    "an ephemeral key": lambda secret: repr(EphemeralKey(secret, 1, {"secret": PLANTED})),
    "dir": dir,
}


@pytest.mark.parametrize("show", WAYS.values(), ids=WAYS.keys())
def test_no_way_of_making_text_shows_a_secret(show: Callable[[Secret], object]) -> None:
    assert PLANTED not in str(show(Secret(PLANTED)))


@pytest.mark.parametrize("length", range(5))
def test_a_width_or_precision_cuts_the_mask_and_not_the_secret(length: int) -> None:
    assert f"{Secret(PLANTED):.{length}}" == "***"[:length]


def test_reveal_is_the_one_way_to_the_value() -> None:
    assert Secret(PLANTED).reveal() == PLANTED


@pytest.mark.parametrize("dump", [json.dumps, orjson.dumps], ids=["json", "orjson"])
def test_a_secret_cannot_be_written_as_json_by_accident(dump: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError) as refused:
        dump({"key": Secret(PLANTED)})
    assert PLANTED not in str(refused.value)


@pytest.mark.parametrize("value", [Secret(PLANTED), deployment(api_key=Secret(PLANTED)), Holder()])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_cannot_be_pickled_at_any_depth(value: object, protocol: int) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(value, protocol)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_secret_is_not_copied_either(duplicate: Callable[[Secret], Secret]) -> None:
    with pytest.raises(TypeError, match="not serialised"):
        duplicate(Secret(PLANTED))


def test_a_dump_of_a_dataclass_s_fields_stops_at_the_secret() -> None:
    with pytest.raises(TypeError, match="not serialised"):
        dataclasses.asdict(deployment(api_key=Secret(PLANTED)))


def test_a_secret_has_no_dict_for_a_generic_dump() -> None:
    with pytest.raises(TypeError):
        vars(Secret(PLANTED))


def test_neither_logging_nor_structlog_shows_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("unit").warning("key %s and %r", Secret(PLANTED), deployment(api_key=Secret(PLANTED)))
    line = structlog.processors.JSONRenderer(serializer=orjson.dumps)(None, "", {"key": Secret(PLANTED)})
    assert "***" in caplog.text
    assert PLANTED not in caplog.text
    assert PLANTED not in str(line)


@given(first=st.text(max_size=5), second=st.text(max_size=5))
def test_secrets_are_equal_exactly_when_their_values_are(first: str, second: str) -> None:
    assert (Secret(first) == Secret(second)) is (first == second)
    assert (hash(Secret(first)) == hash(Secret(second))) >= (first == second)


def test_a_secret_is_not_equal_to_its_own_text() -> None:
    assert Secret(PLANTED) != PLANTED


# --- values that hold something not to be shown ---------------------------------------------------


def test_records_and_bodies_do_not_show_ciphertext_or_sdp() -> None:
    record = HandleRecord(
        id="id",
        model="m",
        deployment="d",
        provider="openai",
        family="realtime",
        client="c",
        subject="",
        origin="",
        minted_at=int(NOW),
        expires_at=int(NOW) + 1,
        minted_by="r",
        max_calls=0,
        sealed_key="k1.CIPHERTEXT",
    )
    shown = f"{record!r} {Offer(sdp=b'v=0 candidate')!r} {Answer(sdp=b'v=0 candidate', call_id='rtc_1')!r}"
    assert "CIPHERTEXT" not in shown
    assert "candidate" not in shown
    assert "rtc_1" in shown


def test_an_ephemeral_key_s_session_is_not_shown_since_providers_repeat_the_key_in_it() -> None:
    key = EphemeralKey(Secret(EPHEMERAL_KEY), 1, {"client_secret": {"value": EPHEMERAL_KEY}})
    assert EPHEMERAL_KEY not in repr(key)


# --- what a client may use ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "alias", "allowed"),
    [
        (None, "anything", True),
        (frozenset({"a", "b"}), "a", True),
        (frozenset({"a", "b"}), "c", False),
        (frozenset({"a"}), "A", False),
        (frozenset(), "a", False),
    ],
)
def test_a_client_may_use_its_models_and_all_only_where_none_are_named(
    models: frozenset[str] | None, alias: str, allowed: bool
) -> None:
    assert Client("shop", models=models).may_use(alias) is allowed
