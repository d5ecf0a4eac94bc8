"""``cloakroom keys check``: a verdict for each key, and never the key."""

from __future__ import annotations

import pytest

from app.cli.root import run

# Each is a fixed value of the right strength; none is in use anywhere.
OTHER = "ASNFZ4mrze_-3LqYdlQyEAEjRWeJq83v_ty6mHZUMhA"
SEED = "ed25519.AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA"
CLIENT = "ck_" + OTHER
GOOD = {
    "CLOAKROOM_SIGNING_KEYS": f"new:{OTHER},old:{SEED}",
    "CLOAKROOM_SEALING_KEYS": f"one:{OTHER}",
    "CLOAKROOM_API_KEYS": f"shop:{CLIENT}",
    "CLOAKROOM_ADMIN_KEYS": f"ops:sha256:{'0123456789abcdef' * 4}",
}


def check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **changes: str | None
) -> tuple[int, list[str]]:
    monkeypatch.delenv("CLOAKROOM_CONFIG", raising=False)
    for name, value in {**GOOD, **changes}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    status = run(["keys", "check"])
    return status, [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_good_rings_pass_and_say_which_key_signs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, lines = check(monkeypatch, capsys)
    assert status == 0
    assert lines == [
        "ok CLOAKROOM_SIGNING_KEYS new HS256, signs",
        "ok CLOAKROOM_SIGNING_KEYS old EdDSA, verifies only",
        "ok CLOAKROOM_SEALING_KEYS one AES-256-GCM, seals",
        "ok CLOAKROOM_API_KEYS shop given in clear",
        "ok CLOAKROOM_ADMIN_KEYS ops given as a SHA-256 digest",
    ]


@pytest.mark.parametrize(
    ("env", "value", "word"),
    [
        ("CLOAKROOM_SIGNING_KEYS", f"good:{OTHER},bad:c2hvcnQ", "entry 2"),
        ("CLOAKROOM_SIGNING_KEYS", f"bad:{'A' * 43}", "repeat"),
        ("CLOAKROOM_SIGNING_KEYS", f"same:{OTHER},same:{SEED}", "twice"),
        ("CLOAKROOM_SIGNING_KEYS", "no-colon-at-all", "kid:secret"),
        ("CLOAKROOM_SEALING_KEYS", f"long:{OTHER}AAAA", "exactly 32"),
        ("CLOAKROOM_SEALING_KEYS", f"bad:{SEED}", "not base64url"),
        ("CLOAKROOM_API_KEYS", "shop:hunter2", "weak"),
        ("CLOAKROOM_ADMIN_KEYS", f"ops:{CLIENT},ops:{CLIENT}", "twice"),
    ],
)
def test_a_weak_or_broken_key_fails_and_is_named(
    env: str, value: str, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, lines = check(monkeypatch, capsys, **{env: value})
    assert status == 1
    bad = [line for line in lines if line.startswith("bad")]
    assert len(bad) == 1
    assert env in bad[0]
    assert word in bad[0]


@pytest.mark.parametrize("name", ["CLOAKROOM_SIGNING_KEYS", "CLOAKROOM_SEALING_KEYS", "CLOAKROOM_API_KEYS"])
def test_a_missing_secret_fails_and_the_mend_is_told(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, lines = check(monkeypatch, capsys, **{name: None})
    assert status == 1
    assert f"bad {name} - missing; run 'cloakroom keys new' to make one" in lines


def test_doing_without_an_operator_is_allowed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, lines = check(monkeypatch, capsys, CLOAKROOM_ADMIN_KEYS=None)
    assert status == 0
    assert lines[-1].startswith("note CLOAKROOM_ADMIN_KEYS")


def test_clients_may_stand_in_the_configured_file_instead(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, lines = check(monkeypatch, capsys, CLOAKROOM_API_KEYS=None, CLOAKROOM_CONFIG="cloakroom.yaml")
    assert status == 0
    assert any(line.startswith("note CLOAKROOM_API_KEYS") for line in lines)


@pytest.mark.parametrize(
    "value",
    [
        f"{OTHER}:shop",  # the wrong way round
        f"{CLIENT}:shop",
        OTHER,
        f"shop:{OTHER[:20]}",
        f"{OTHER[:32]}:kid",
        f"a:{CLIENT},a:{CLIENT}",
    ],
)
@pytest.mark.parametrize("name", list(GOOD))
def test_no_mistake_makes_it_print_a_secret(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, lines = check(monkeypatch, capsys, **{name: value})
    text = "\n".join(lines)
    assert name in text
    assert OTHER[:20] not in text
    assert SEED[8:30] not in text


def test_no_color_is_honoured_even_where_colour_is_forced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32m" in "".join(check(monkeypatch, capsys)[1])
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in "".join(check(monkeypatch, capsys)[1])
