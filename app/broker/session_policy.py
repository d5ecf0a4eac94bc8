"""What we change in a session: the operator's policy before the mint, the provider's echo after it. Pure.

OpenAI repeats the ephemeral key inside the session (``session.client_secret``), where every version of the
official SDKs expects one; and the model stands there under the provider's name, which is ours to keep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import orjson

from app.errors import InvalidRequest, ModelNotFound
from app.models import (
    MAX_KEY_SECONDS,
    MIN_KEY_SECONDS,
    USUAL_KEY_SECONDS,
    Deployment,
    Family,
    MintRequest,
    Secret,
)
from app.providers.live import page_events
from app.providers.sessions import with_models


class LifeBounds(Protocol):
    """How long a model's keys may live, in seconds, as ``ModelPolicy`` explains it."""

    @property
    def min_seconds(self) -> int: ...

    @property
    def max_seconds(self) -> int: ...

    @property
    def default_seconds(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """Keys that are minted ahead for a model.

    At most ``target`` are in stock; of those minted within an hour, at most the share ``max_waste`` may be
    thrown away.
    """

    target: int
    max_waste: float


@dataclass(frozen=True, slots=True)
class ModelPolicy:
    """What an operator fixes for one model.

    ``defaults`` lie below the caller's session, ``locked`` above it. ``strip_instructions`` keeps them out of
    the mint answer. The seconds bound ``expires_after``; ``default_seconds`` is asked for where the caller
    names none. ``max_calls`` of each handle, ``max_call_seconds``, the longest that a call may last, and
    ``metering``, whether its calls' usage is counted; None takes the service's own. ``pool`` is None where no
    keys are minted ahead.
    """

    defaults: Mapping[str, Any] = field(default_factory=dict)
    locked: Mapping[str, Any] = field(default_factory=dict)
    strip_instructions: bool = False
    min_seconds: int = MIN_KEY_SECONDS
    max_seconds: int = MAX_KEY_SECONDS
    default_seconds: int | None = None
    max_calls: int | None = None
    max_call_seconds: int | None = None
    metering: bool | None = None
    pool: PoolPolicy | None = None


def under_policy(policy: ModelPolicy, session: Mapping[str, Any], family: Family) -> Mapping[str, Any]:
    """Lay the operator's defaults below the caller's session and the locked fields above it.

    Raises:
        InvalidRequest: the caller asks for another value of a locked field.
    """
    locked = _locked_live(policy) if family is Family.LIVE else policy.locked
    if not policy.defaults and not locked:
        return session
    _refuse_unlocking(locked, session, ())
    return merged(merged(policy.defaults, session), locked)


def _locked_live(policy: ModelPolicy) -> Mapping[str, Any]:
    """What is locked of a Live session: always the events of the page too.

    Lists that the operator names replace ours, and are locked in the same way: as a default, a caller could
    widen them.
    """
    ours, named = page_events(with_session=not policy.strip_instructions), policy.defaults.get("client")
    client = merged(ours, named) if isinstance(named, Mapping) else ours
    return merged({"client": client}, policy.locked)


def require_same(said: Mapping[str, Any], fixed: Mapping[str, Any], path: tuple[str, ...] = ()) -> None:
    """Refuse a session that says something else than the one that was fixed; it may say less.

    Raises:
        InvalidRequest: with ``param`` naming the field.
    """
    for name, value in said.items():
        there = fixed.get(name)
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            require_same(value, there, (*path, name))
        elif value != there:
            param = ".".join(("session", *path, name))
            raise InvalidRequest(
                f"'{param}' is not what was fixed when the handle was minted. Leave 'session' out, or send "
                "no more than its model.",
                param=param,
            )


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``above`` over ``below``, object by object; lists and plain values are replaced whole."""
    result = dict(below)
    for name, value in above.items():
        under = result.get(name)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            result[name] = merged(under, value)
        else:
            result[name] = value
    return result


def _refuse_unlocking(locked: Mapping[str, Any], session: Mapping[str, Any], path: tuple[str, ...]) -> None:
    for name, fixed in locked.items():
        if name not in session:
            continue
        asked = session[name]
        if isinstance(fixed, Mapping) and isinstance(asked, Mapping):
            _refuse_unlocking(fixed, asked, (*path, name))
        elif asked != fixed:
            param = ".".join(("session", *path, name))
            raise InvalidRequest(
                f"'{param}' is fixed for this model by the operator; leave it out.", param=param
            )


def clean_session(
    minted: Mapping[str, Any], key: Secret | None, request: MintRequest, *, handle: str, expires_at: int
) -> dict[str, Any]:
    """Return the session under the caller's model names, with the handle wherever the key stood.

    Args:
        key: what the provider minted, if it did.
        request: as the caller made it, with the caller's names.
    """
    session = with_models(request.family, minted, main=request.model, nested=request.nested_model)
    if "client_secret" in session:
        session["client_secret"] = {"value": handle, "expires_at": expires_at}
    try:
        # As the answer will hold it: one level down, and the key as JSON spells it.
        text = orjson.dumps({"session": session})
    except orjson.JSONEncodeError:
        return {"model": request.model}  # nested deeper than can be written; nothing that a caller could use
    if key is None:
        return session
    secret = key.reveal()
    if orjson.dumps(secret)[1:-1] in text:
        cleaned: dict[str, Any] = _without(session, secret, handle)
        return cleaned
    return session


def _without(value: Any, secret: str, handle: str) -> Any:
    if isinstance(value, str):
        return value.replace(secret, handle)
    if isinstance(value, dict):
        return {name.replace(secret, handle): _without(item, secret, handle) for name, item in value.items()}
    if isinstance(value, list):
        return [_without(item, secret, handle) for item in value]
    return value


def of_family(request: MintRequest, deployments: Sequence[Deployment]) -> MintRequest:
    """The request with the family of its model, where the session names none.

    Raises:
        ModelNotFound: none of the deployments serves such a session.
    """
    for deployment in deployments:
        if request.family in deployment.families:
            return request
    served = {family for deployment in deployments for family in deployment.families}
    if not served:
        return request
    family, *others = served
    if request.family is Family.REALTIME and "type" not in request.session and not others:
        return replace(request, family=family)
    names = ", ".join(sorted(f"'{family.value}'" for family in served))
    raise ModelNotFound(
        f"'{request.model}' serves no {request.family.value} sessions. 'session.type' may be {names}.",
        param="session.type",
    )


def seconds_within(policy: ModelPolicy, request: MintRequest) -> int | None:
    """The life to ask for.

    Raises:
        InvalidRequest: the operator's bounds for this model are narrower than the provider's.
    """
    if request.seconds is None:
        return policy.default_seconds
    if not policy.min_seconds <= request.seconds <= policy.max_seconds:
        raise InvalidRequest(
            f"'expires_after.seconds' must be {policy.min_seconds} to {policy.max_seconds} for this model.",
            param="expires_after.seconds",
        )
    return request.seconds


def usual_within(bounds: LifeBounds) -> int:
    """The life where no one asks for one, and no provider has a default of its own."""
    return min(max(USUAL_KEY_SECONDS, bounds.min_seconds), bounds.max_seconds)


def usual_life(bounds: LifeBounds) -> int:
    """The life of a handle whose caller asks for none, in seconds."""
    return bounds.default_seconds if bounds.default_seconds is not None else usual_within(bounds)
