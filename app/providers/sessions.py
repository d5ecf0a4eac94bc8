"""Where a session keeps its models. Pure.

Sessions are the provider's JSON. This module knows only where each family names its models.
Every other field passes through untouched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.errors import InvalidRequest
from app.models import Family

_TRANSCRIPTION_PATH: Final = ("audio", "input", "transcription", "model")
# A Live session hears by itself; what it delegates to names models of other APIs.
_WITHOUT_NESTED: Final = frozenset({Family.TRANSCRIPTION, Family.LIVE})
_MAIN_PATHS: Final[Mapping[Family, tuple[str, ...]]] = {
    Family.REALTIME: ("model",),
    Family.TRANSCRIPTION: _TRANSCRIPTION_PATH,
    Family.TRANSLATION: ("model",),
    Family.LIVE: ("model",),
}


# What the path and the model's alias decide anyway.
_DECIDED: Final = frozenset({"type", "model"})


def refuse_session(provider: str, session: Mapping[str, Any]) -> None:
    """Refuse a session with fields that no request to this provider can carry.

    Raises:
        InvalidRequest: names the first field, and where it goes instead.
    """
    for name, value in session.items():
        if name not in _DECIDED and value:
            raise InvalidRequest(
                f"A call at {provider} takes no session. Leave '{name}' out, and let the page send it "
                "in a session.update over the data channel.",
                param=f"session.{name}",
            )


def main_path(family: Family) -> tuple[str, ...]:
    """The path of the session's own model, from the session down."""
    return _MAIN_PATHS[family]


def main_model(family: Family, session: Mapping[str, Any]) -> Any:
    """The model that the session names, unchecked; None if it names none."""
    return _get(session, _MAIN_PATHS[family])


def nested_model(family: Family, session: Mapping[str, Any]) -> Any:
    """The model that transcribes the user in a session that has another model; None if there is none."""
    return None if family in _WITHOUT_NESTED else _get(session, _TRANSCRIPTION_PATH)


def misplaced(session: Mapping[str, Any]) -> str | None:
    """The first part of the path to a nested model that is neither an object nor null; None if all are."""
    value: Any = session
    place = "session"
    for name in _TRANSCRIPTION_PATH[:-1]:
        value = value.get(name)
        place = f"{place}.{name}"
        if value is None:
            return None
        if not isinstance(value, dict):
            return place
    return None


def with_models(
    family: Family, session: Mapping[str, Any], *, main: str | None = None, nested: str | None = None
) -> dict[str, Any]:
    """The session with these model names in place; None leaves a name unchanged."""
    renamed = dict(session)
    if main is not None:
        renamed = _put(renamed, _MAIN_PATHS[family], main)
    if nested is not None and family not in _WITHOUT_NESTED:
        renamed = _put(renamed, _TRANSCRIPTION_PATH, nested)
    return renamed


def _get(session: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = session
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _put(session: Mapping[str, Any], path: Sequence[str], value: str) -> dict[str, Any]:
    """A copy along the path; whatever is on it and is no object becomes one."""
    name, *rest = path
    under = session.get(name)
    inner: Any = _put(under if isinstance(under, dict) else {}, rest, value) if rest else value
    return {**session, name: inner}
