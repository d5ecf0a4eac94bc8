"""Reads and checks filters, pages and ids before the store is asked. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar, get_args

from app.errors import HandleNotFound, InvalidRequest, UnknownCall
from app.providers.base import is_call_id
from app.reports import ReportChoice
from app.store.listing.views import CallFilter, CallState, HandleFilter, HandleState
from app.telemetry.redaction import one_safe_line

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
# Calls that one request looks up.
MAX_IDS: Final = 1000
# Longer than any name here can be: a model has 128 characters.
_MAX_TEXT: Final = 256
_NAMES: Final = ("client", "subject", "model", "deployment")
_CALL_NAMES: Final = (*_NAMES, "handle")
# A handle's jti.
_HANDLE_ID = re.compile(r"[A-Za-z0-9_-]{22}\Z")
_TEXT = re.compile(r"[ -~]*\Z")
_LIMIT = re.compile(r"[1-9][0-9]{0,3}\Z")

_HANDLE_GONE: Final = "No handle has this id. It may have expired."
_CALL_GONE: Final = "No call with this id is on record. Its retention may be over."

_Flag = Literal["true", "false"]
_FLAGS: Final = get_args(_Flag)
Choice = TypeVar("Choice", HandleState, CallState, ReportChoice, _Flag)


@dataclass(frozen=True, slots=True)
class StopRequest:
    """Which calls are to end, and where this step begins. ``dry_run``: they are only counted."""

    wanted: CallFilter
    cursor: str | None
    dry_run: bool


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page, and its length."""

    limit: int
    cursor: str | None


def read_query(pairs: Iterable[tuple[str, str]], allowed: Iterable[str]) -> dict[str, str]:
    """The parameters of a query.

    Raises:
        InvalidRequest: one is not allowed, empty, repeated, too long, or has unprintable characters.
    """
    known, found = tuple(allowed), dict[str, str]()
    for name, value in pairs:
        if name not in known:
            shown = one_safe_line(name, limit=40)
            takes = f"It takes {', '.join(known)}" if known else "It takes none"
            raise InvalidRequest(f"This path has no parameter '{shown}'. {takes}.", param=shown)
        if name in found:
            raise InvalidRequest(f"'{name}' may be given only once.", param=name)
        found[name] = _text(name, value)
    return found


def read_handle_page(pairs: Iterable[tuple[str, str]]) -> tuple[HandleFilter, PageRequest, dict[str, str]]:
    """Filter, page, and the filter as it was given.

    Raises:
        InvalidRequest
    """
    query, page = _read_page(pairs, (*_NAMES, "suspected"))
    state = _one_of(query, "state", get_args(HandleState))
    suspected = _one_of(query, "suspected", _FLAGS)
    return (
        HandleFilter(
            **_named(query), state=state, suspected=None if suspected is None else suspected == "true"
        ),
        page,
        query,
    )


def read_call_page(pairs: Iterable[tuple[str, str]]) -> tuple[CallFilter, PageRequest, dict[str, str]]:
    """Filter, page, and the filter as it was given.

    Raises:
        InvalidRequest
    """
    query, page = _read_page(pairs, (*_CALL_NAMES, "report"))
    state = _one_of(query, "state", get_args(CallState))
    report = _one_of(query, "report", get_args(ReportChoice))
    return CallFilter(**_named(query, _CALL_NAMES), state=state, report=report), page, query


def read_revocation(body: Mapping[str, Any]) -> tuple[HandleFilter, str | None, bool]:
    """What to revoke, the cursor, and whether the calls are to end as well.

    Raises:
        InvalidRequest: neither a client, a subject nor a model is given, or a field is unknown or not a name.
    """
    _check_fields(body, _NAMES, flags=("calls",))
    named = _named(body)
    if not named.keys() & {"client", "subject", "model"}:
        raise InvalidRequest(
            "Give at least one of 'client', 'subject' and 'model', to say which handles to revoke.",
            param="client",
        )
    return HandleFilter(**named), body.get("cursor"), body.get("calls", False)


def read_with_calls(body: Mapping[str, Any]) -> bool:
    """Whether the calls of the handle that is revoked are to end as well.

    Raises:
        InvalidRequest: a field is unknown, or not true or false.
    """
    _check_fields(body, (), flags=("calls",), cursor=False)
    return bool(body.get("calls", False))


def read_stop(body: Mapping[str, Any]) -> StopRequest:
    """Which calls to end.

    Raises:
        InvalidRequest: neither a name nor ``all`` is given, or both are, or a field is not what it should be.
    """
    _check_fields(body, _CALL_NAMES, flags=("all", "dry_run"))
    named = _named(body, _CALL_NAMES)
    if bool(named) == body.get("all", False):
        raise InvalidRequest(
            f"Say which calls to end: give at least one of {', '.join(_CALL_NAMES)}, or 'all': true.",
            param="all",
        )
    return StopRequest(CallFilter(**named), body.get("cursor"), body.get("dry_run", False))


def read_call_ids(body: Mapping[str, Any]) -> list[str]:
    """The calls to look up.

    Raises:
        InvalidRequest: there are none, or too many, or one cannot be a call's id.
    """
    for name in body:
        if name != "ids":
            raise _no_field(name)
    ids = body.get("ids")
    if not isinstance(ids, list) or not 0 < len(ids) <= MAX_IDS:
        raise InvalidRequest(f"'ids' must be a list of 1 to {MAX_IDS} ids of calls.", param="ids")
    if not all(isinstance(one, str) and is_call_id(one) for one in ids):
        raise InvalidRequest("'ids' has an entry that cannot be the id of a call.", param="ids")
    return list(dict.fromkeys(ids))


def read_handle_id(text: str) -> str:
    """The handle id in a path.

    Raises:
        HandleNotFound: no handle can have this id.
    """
    if not _HANDLE_ID.match(text):
        raise handle_gone()
    return text


def read_call_id(text: str) -> str:
    """The call id in a path.

    Raises:
        UnknownCall: no call can have this id.
    """
    if not is_call_id(text):
        raise call_gone()
    return text


def handle_gone() -> HandleNotFound:
    """The error for a handle that is not on record."""
    return HandleNotFound(_HANDLE_GONE, param="id")


def call_gone() -> UnknownCall:
    """The error for a call that is not on record."""
    return UnknownCall(_CALL_GONE, param="id")


def _text(name: str, value: str) -> str:
    if not value:
        raise InvalidRequest(f"'{name}' is empty. Leave it out instead.", param=name)
    if len(value) > _MAX_TEXT or not _TEXT.match(value):
        raise InvalidRequest(
            f"'{name}' must have at most {_MAX_TEXT} printable ASCII characters.", param=name
        )
    return value


def _no_field(name: str) -> InvalidRequest:
    shown = one_safe_line(name, limit=40)
    return InvalidRequest(f"This request has no field '{shown}'.", param=shown)


def _check_fields(
    body: Mapping[str, Any], names: Iterable[str], *, flags: Iterable[str], cursor: bool = True
) -> None:
    """Refuse a body with a field that is unknown or of the wrong type."""
    texts = (*names, "cursor") if cursor else tuple(names)
    for name, value in body.items():
        if name in flags:
            if not isinstance(value, bool):
                raise InvalidRequest(f"'{name}' must be true or false.", param=name)
            continue
        if name not in texts:
            raise _no_field(name)
        if name == "cursor" and value is None:
            continue
        # A null would reach more than its sender meant.
        if not isinstance(value, str):
            raise InvalidRequest(f"'{name}' must be a string.", param=name)
        _text(name, value)


def _named(given: Mapping[str, Any], names: Iterable[str] = _NAMES) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}


def _read_page(
    pairs: Iterable[tuple[str, str]], names: Iterable[str] = _NAMES
) -> tuple[dict[str, str], PageRequest]:
    """The filters as they were given, and the page."""
    query = read_query(pairs, (*names, "state", "limit", "cursor"))
    limit = query.pop("limit", str(DEFAULT_LIMIT))
    if not _LIMIT.match(limit) or int(limit) > MAX_LIMIT:
        raise InvalidRequest(f"'limit' must be a whole number from 1 to {MAX_LIMIT}.", param="limit")
    return query, PageRequest(int(limit), query.pop("cursor", None))


def _one_of(query: Mapping[str, str], name: str, words: tuple[Choice, ...]) -> Choice | None:
    given = query.get(name)
    for word in words:
        if word == given:
            return word
    if given is not None:
        raise InvalidRequest(f"'{name}' must be one of {', '.join(words)}.", param=name)
    return None
