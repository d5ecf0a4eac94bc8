"""The operator's ICE servers: every form of them, what is refused, and that no text shows a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from app.providers.ice import IceServer
from app.settings.ice import IceSettings
from app.settings.secrets import masked_settings
from app.wiring.ice import build_ice
from tests.unit.settings.environments import GOOD, load, problems

SECRET: Final = "north-wind-Zr8Qe2LmX5vTn7Ks"
TURN: Final = "turn:turn.example.com:3478?transport=udp"


def settings(*servers: Any, **more: Any) -> IceSettings:
    return load(CLOAKROOM_ICE=json.dumps({"servers": servers, **more})).ice


def refusal(*servers: Any, **more: Any) -> str:
    found = "\n".join(problems(GOOD, CLOAKROOM_ICE=json.dumps({"servers": servers, **more})))
    assert SECRET not in found
    return found


def test_without_a_setting_there_are_none() -> None:
    assert load().ice == IceSettings()
    assert build_ice(load().ice).give("who", now=0).servers == ()


def test_a_server_is_a_url_or_a_section_with_one_url_or_several() -> None:
    found = settings("stun:a", {"urls": "stun:b:3478"}, {"urls": ["stuns:c", TURN]}, turn_secret=SECRET)
    assert [server.urls for server in found.servers] == [("stun:a",), ("stun:b:3478",), ("stuns:c", TURN)]


@pytest.mark.parametrize(
    "url",
    [
        "stun:turn.example.com",
        "stuns:turn.example.com:5349",
        "stun:192.0.2.1:3478",
        "stun:[2001:db8::1]:3478",
        "stun:[2001:db8::1]",
        "stun:localhost",
    ],
)
def test_every_form_of_a_url_is_taken(url: str) -> None:
    assert settings(url).servers[0].urls == (url,)


@pytest.mark.parametrize(
    "url",
    [
        "turn.example.com",
        "https://turn.example.com",
        "stun://turn.example.com",
        "stun:",
        "stun:turn.example.com:0",
        "stun:turn.example.com:70000",
        "stun:turn.example.com?transport=udp",
        "turn:turn.example.com?transport=tls",
        "turn:user@turn.example.com",
        "stun:turn.example.com\n",
        f"stun:{SECRET} {SECRET}",
        "",
    ],
)
def test_what_no_browser_takes_is_refused_with_its_place_and_the_right_form(url: str) -> None:
    found = refusal("stun:a", {"urls": [url]}, turn_secret=SECRET)
    assert "ice.servers.1.urls: entry 1 is no URL of a STUN or TURN server; write stun:host:port" in found


@pytest.mark.parametrize(
    ("servers", "more", "says"),
    [
        ((TURN,), {}, "has no credential: set turn_secret"),
        (("stun:a",), {"turn_secret": SECRET}, "no server would use it"),
        (({"urls": TURN, "username": "u"},), {"turn_secret": SECRET}, "need each other"),
        (({"urls": TURN, "credential": SECRET},), {}, "need each other"),
        (({"urls": "stun:a", "username": "u", "credential": SECRET},), {}, "a STUN server takes none"),
        (({"urls": TURN, "username": "u", "credential": f"{SECRET}\n\n{SECRET}"},), {}, "no password has"),
        (({"urls": []},), {}, "ice.servers.0.urls"),
        ((TURN,), {"turn_secret": "short"}, "too short to be a secret"),
        ((TURN,), {"turn_secret": SECRET, "lifetime_seconds": 10}, "greater than or equal to 60"),
        (({"url": TURN},), {}, "ice.servers.0"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    servers: tuple[Any, ...], more: dict[str, Any], says: str
) -> None:
    assert says in refusal(*servers, **more)


def test_a_file_and_variables_set_them_together(tmp_path: Path) -> None:
    config, secret = tmp_path / "cloakroom.yaml", tmp_path / "turn"
    config.write_text(f"ice:\n  lifetime_seconds: 900\n  servers:\n    - stun:a\n    - urls: ['{TURN}']\n")
    secret.write_text(SECRET + "\n")
    found = load(
        CLOAKROOM_CONFIG=str(config), CLOAKROOM_ICE__TURN_SECRET_FILE=str(secret), CLOAKROOM_ICE__LINK="false"
    ).ice
    assert found.turn_secret is not None
    assert found.turn_secret.get_secret_value() == SECRET
    assert (found.lifetime_seconds, found.link, len(found.servers)) == (900, False, 2)


def test_no_way_of_showing_them_shows_a_secret() -> None:
    found = load(
        CLOAKROOM_ICE=json.dumps(
            {
                "servers": [TURN, {"urls": TURN, "username": "u", "credential": SECRET + "2"}],
                "turn_secret": SECRET,
            }
        )
    )
    built = build_ice(found.ice)
    for shown in (
        str(found),
        repr(found),
        json.dumps(masked_settings(found)),
        repr(built),
        repr(built.give("w", now=0)),
    ):
        assert SECRET not in shown
    assert masked_settings(found)["ice"]["servers"][0]["urls"] == [TURN]


def test_each_server_is_given_with_its_own_kind_of_credential() -> None:
    fixed = {"urls": "turn:old.example.com", "username": "u", "credential": SECRET + "2"}
    own = build_ice(settings({"urls": ["stun:a", TURN]}, fixed, turn_secret=SECRET, lifetime_seconds=60))
    given = own.give("who", now=1_000.9)
    plain, old, fresh = given.servers
    assert (plain, old) == (
        IceServer(("stun:a",)),
        IceServer(("turn:old.example.com",), "u", SECRET + "2"),
    )
    assert (fresh.urls, given.expires_at) == ((TURN,), 1_060)
    assert str(fresh.username).startswith("1060:")
    # For the same user the same name, and another one for another user and another secret.
    assert own.give("who", now=1_000).servers[2] == fresh
    assert own.give("other", now=1_000).servers[2].username != fresh.username
