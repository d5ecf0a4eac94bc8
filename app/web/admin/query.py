"""Reads what an operator asks for: filters, pages and ids, refused before the store is asked. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_args

from app.errors import HandleNotFound, InvalidRequest, UnknownCall
from app.providers.base import is_call_id
from app.store.views import CallFilter, CallState, HandleFilter, HandleState
from app.telemetry.redaction import one_safe_line

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
# The longest name that anything can have here, with room to spare: a model has 128 characters.
_MAX_TEXT: Final = 256
_NAMES: Final = ("client", "subject", "model", "deployment")
# A handle's jti; anything else was never one.
_HANDLE_ID = re.compile(r"[A-Za-z0-9_-]{22}\Z")
_TEXT = re.compile(r"[ -~]*\Z")
_LIMIT = re.compile(r"[1-9][0-9]{0,3}\Z")

_HANDLE_GONE: Final = "There is no handle of this id: it has expired, or never was."
_CALL_GONE: Final = "There is no call of this id on record: its retention is over, or it never was."

State = TypeVar("State", HandleState, CallState)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page, and how long."""

    limit: int
    cursor: str | None


def read_query(pairs: Iterable[tuple[str, str]], allowed: Iterable[str]) -> dict[str, str]:
    """The parameters of a query.

    Raises:
        InvalidRequest: one that is not allowed, empty, there twice, too long, or with unprintable characters.
    """
    known, found = tuple(allowed), dict[str, str]()
    for name, value in pairs:
        if name not in known:
            shown = one_safe_line(name, limit=40)
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise InvalidRequest(f"There is no parameter '{shown}' here; {takes}.", param=shown)
        if name in found:
            raise InvalidRequest(f"'{name}' is there twice.", param=name)
        found[name] = _text(name, value)
    return found


def read_handle_page(pairs: Iterable[tuple[str, str]]) -> tuple[HandleFilter, PageRequest, dict[str, str]]:
    """Filter, page, and the filter as it was given.

    Raises:
        InvalidRequest
    """
    query = read_query(pairs, (*_NAMES, "state", "limit", "cursor"))
    page = _page(query)
    state = _state(query, get_args(HandleState))
    return HandleFilter(**_named(query), state=state), page, query


def read_call_page(pairs: Iterable[tuple[str, str]]) -> tuple[CallFilter, PageRequest, dict[str, str]]:
    """Filter, page, and the filter as it was given.

    Raises:
        InvalidRequest
    """
    query = read_query(pairs, (*_NAMES, "state", "limit", "cursor"))
    page = _page(query)
    state = _state(query, get_args(CallState))
    return CallFilter(**_named(query), state=state), page, query


def read_revocation(body: Mapping[str, Any]) -> tuple[HandleFilter, str | None]:
    """What to revoke, and where to go on.

    Raises:
        InvalidRequest: neither a client, a subject nor a model, or a field that is no name.
    """
    for name, value in body.items():
        if name not in (*_NAMES, "cursor"):
            shown = one_safe_line(name, limit=40)
            raise InvalidRequest(f"There is no field '{shown}' here.", param=shown)
        if name == "cursor" and value is None:
            continue
        # A null where a name was meant would revoke more than was meant.
        if not isinstance(value, str):
            raise InvalidRequest(f"'{name}' must be a string.", param=name)
        _text(name, value)
    named = {name: body[name] for name in _NAMES if name in body}
    if not named.keys() & {"client", "subject", "model"}:
        raise InvalidRequest(
            "Say whose handles to revoke: at least one of 'client', 'subject' and 'model'.", param="client"
        )
    return HandleFilter(**named), body.get("cursor")


def read_handle_id(text: str) -> str:
    """The id of a path.

    Raises:
        HandleNotFound: no handle can have it.
    """
    if not _HANDLE_ID.match(text):
        raise handle_gone()
    return text


def read_call_id(text: str) -> str:
    """The id of a path.

    Raises:
        UnknownCall: no call can have it.
    """
    if not is_call_id(text):
        raise call_gone()
    return text


def handle_gone() -> HandleNotFound:
    """The answer for a handle that is not on record."""
    return HandleNotFound(_HANDLE_GONE, param="id")


def call_gone() -> UnknownCall:
    """The answer for a call that is not on record."""
    return UnknownCall(_CALL_GONE, param="id")


def _text(name: str, value: str) -> str:
    if not value:
        raise InvalidRequest(f"'{name}' is empty; leave it out where nothing is meant.", param=name)
    if len(value) > _MAX_TEXT or not _TEXT.match(value):
        raise InvalidRequest(
            f"'{name}' must have {_MAX_TEXT} printable ASCII characters at most.", param=name
        )
    return value


def _named(query: Mapping[str, str]) -> dict[str, Any]:
    return {name: query[name] for name in _NAMES if name in query}


def _page(query: dict[str, str]) -> PageRequest:
    """Take limit and cursor out of the query."""
    limit = query.pop("limit", str(DEFAULT_LIMIT))
    if not _LIMIT.match(limit) or int(limit) > MAX_LIMIT:
        raise InvalidRequest(f"'limit' must be a whole number from 1 to {MAX_LIMIT}.", param="limit")
    return PageRequest(int(limit), query.pop("cursor", None))


def _state(query: Mapping[str, str], states: tuple[State, ...]) -> State | None:
    given = query.get("state")
    for state in states:
        if state == given:
            return state
    if given is not None:
        raise InvalidRequest(f"'state' must be one of {', '.join(states)}.", param="state")
    return None
