"""The driver's errors become ours of the same name, so that each is read and shown alike."""

from __future__ import annotations

import pytest
from redis import exceptions

from app.store import errors
from app.store.redis_py import translated

OURS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RedisError)
]


@pytest.mark.parametrize("ours", OURS, ids=lambda kind: kind.__name__)
def test_each_error_is_the_driver_s_by_name_text_and_kin(ours: type[errors.RedisError]) -> None:
    theirs = getattr(exceptions, ours.__name__)
    found = translated(theirs("12 10.0.0.9:6379"))
    assert type(found) is ours
    assert str(found) == "12 10.0.0.9:6379"
    for other in OURS:
        if other is not errors.RedisError:
            assert issubclass(ours, other) is issubclass(theirs, getattr(exceptions, other.__name__))


def test_an_error_that_we_do_not_know_becomes_the_nearest_one_that_we_do() -> None:
    assert type(translated(exceptions.ExecAbortError("aborted"))) is errors.ResponseError
    assert type(translated(exceptions.AuthorizationError("no"))) is errors.ConnectionError
    assert type(translated(exceptions.WatchError("changed"))) is errors.RedisError


@pytest.mark.parametrize("kind", [errors.AskError, errors.MovedError])
def test_a_slot_that_moves_names_its_new_address(kind: type[errors.AskError]) -> None:
    assert kind("7638 10.0.0.9:6379").address == ("10.0.0.9", 6379)
    assert kind("7638 2001:db8::1:6379").address == ("2001:db8::1", 6379)
