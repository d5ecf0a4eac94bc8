"""Which way a command goes, what it needs for it, and what the other side's refusals mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.failure import CliFailure
from app.cli.reach.admin_answers import failure_of, refusal_of
from app.cli.reach.admin_api import AdminApi, base_of
from app.cli.reach.store import DirectStore
from app.cli.reach.target import Target, open_operator, where_to
from app.cli.root import build

KEY = "ck_admin_0123456789abcdefghijklmnopqrst"
SECRET = "pw-0123456789abcdefghij"


async def refused(target: Target, environ: dict[str, str]) -> CliFailure:
    with pytest.raises(CliFailure) as failure:
        async with open_operator(target, environ):
            raise AssertionError("it was opened")
    return failure.value


async def test_two_ways_at_once_are_refused() -> None:
    for target in (
        Target(url="http://a", redis_url="redis://a"),
        Target(url="http://a", direct=True),
        Target(redis_url="redis://a", direct=True),
    ):
        failure = await refused(target, {"CLOAKROOM_ADMIN_KEY": KEY, "CLOAKROOM_REDIS_URL": "redis://a"})
        assert failure.status == 2


async def test_the_admin_api_needs_a_key_and_the_store_needs_none() -> None:
    failure = await refused(Target(), {})
    assert failure.status == 2
    assert "CLOAKROOM_ADMIN_KEY" in str(failure)
    async with open_operator(Target(redis_url="redis://127.0.0.1:1"), {}) as direct:
        assert isinstance(direct, DirectStore)
    async with open_operator(Target(direct=True), {"CLOAKROOM_REDIS_URL": "redis://127.0.0.1:1"}) as direct:
        assert isinstance(direct, DirectStore)
    assert "CLOAKROOM_REDIS_URL" in str(await refused(Target(direct=True), {}))


@pytest.mark.parametrize("text", [KEY, f"{KEY}\n", f"  {KEY} ", f"ops:{KEY}\n", "k:e:y" * 6])
async def test_the_key_comes_from_a_file_or_the_environment(text: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    for target, environ in (
        (Target(admin_key_file=file), {}),
        (Target(), {"CLOAKROOM_ADMIN_KEY": text}),
        (Target(), {"CLOAKROOM_ADMIN_KEY_FILE": str(file)}),
    ):
        async with open_operator(target, environ) as api:
            assert isinstance(api, AdminApi)
            sent = api._session.headers["Authorization"]
            assert sent == f"Bearer {text.strip().removeprefix('ops:')}"


@pytest.mark.parametrize("content", [b"", b"\n", b"two words here", b"\xff\xfe", "schl\u00fcssel".encode()])
async def test_a_file_without_a_key_is_refused_and_not_repeated(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    failure = await refused(Target(admin_key_file=file), {})
    assert failure.status == 2
    assert "words" not in str(failure)
    missing = await refused(Target(admin_key_file=tmp_path / "none"), {"CLOAKROOM_ADMIN_KEY": KEY})
    assert "No such file" in str(missing)
    away = await refused(Target(), {"CLOAKROOM_ADMIN_KEY_FILE": str(tmp_path / "none")})
    assert "CLOAKROOM_ADMIN_KEY_FILE" in str(away)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "voice.example.com",
        "ftp://a",
        "http://",
        f"http://ops:{SECRET}@a",
        "http://a?x=1",
        "http://a:99999",
        "http://a\n",
    ],
)
def test_an_address_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(CliFailure) as failure:
        base_of(url)
    assert failure.value.status == 2
    assert SECRET not in str(failure.value)


def test_an_address_may_have_a_path_and_a_slash_at_its_end() -> None:
    assert base_of(" https://voice.example.com/ops/ ") == "https://voice.example.com/ops"
    assert SECRET not in where_to(Target(url=f"http://ops:{SECRET}@a"))
    assert SECRET not in where_to(Target(redis_url=f"redis://:{SECRET}@a"))


@pytest.mark.parametrize("url", ["memory://", "http://a", f"redis://:{SECRET}@", f"redis://:{SECRET}@a:x"])
async def test_a_store_that_cannot_be_reached_this_way_is_refused_and_not_repeated(url: str) -> None:
    failure = await refused(Target(redis_url=url), {})
    assert failure.status == 2
    assert SECRET not in str(failure)


@pytest.mark.parametrize(
    ("status", "code", "ends", "words"),
    [
        (400, "invalid_request", 2, "The message."),
        (401, "invalid_api_key", 3, "CLOAKROOM_ADMIN_KEY"),
        (403, "admin_disabled", 3, "The message."),
        (404, "not_found", 3, "CLOAKROOM_OPS_PORT"),
        (307, "", 3, "no admin API"),
        (429, "rate_limited", 3, "rate_limited: The message."),
        (502, "upstream_error", 3, "upstream_error: The message."),
        (503, "store_unavailable", 3, "store_unavailable"),
    ],
)
def test_a_refusal_is_told_with_what_to_do_and_the_right_status(
    status: int, code: str, ends: int, words: str
) -> None:
    body = b'{"error": {"message": "The message.", "type": "t", "param": null, "code": "%b"}}' % code.encode()
    failure = failure_of(refusal_of(status, body), base="http://a")
    assert failure.status == ends
    assert words in str(failure)


def test_a_body_that_is_no_error_of_ours_is_not_repeated() -> None:
    for body in (b"", b"<html>secret</html>", b"[]", b'{"error": "secret"}', b"\xff"):
        assert "secret" not in str(failure_of(refusal_of(503, body), base="http://a"))
    forged = b'{"error": {"message": "x\\u001b[2J\\nsk-proj-abcdefghijklmnop", "code": "\\u001bc"}}'
    said = str(failure_of(refusal_of(503, forged), base="http://a"))
    assert not set(said) & {"\x1b", "\n"}
    assert "sk-proj" not in said


def test_only_the_two_codes_mean_that_it_is_not_there() -> None:
    assert refusal_of(404, b'{"error": {"message": "", "code": "handle_not_found"}}').absent
    assert refusal_of(404, b'{"error": {"message": "", "code": "call_not_found"}}').absent
    assert not refusal_of(404, b'{"error": {"message": "", "code": "not_found"}}').absent


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands_and_their_options(shell: str) -> None:
    script = build().generate_completion(shell=shell)  # type: ignore[arg-type]  # pytest gives a plain str
    for word in ("handles", "calls", "config", "revoke", "hangup", "watch", "dry-run", "admin-key-file"):
        assert word in script, word


@pytest.mark.parametrize(
    "command",
    [
        "handles list",
        "handles show",
        "handles revoke",
        "handles watch",
        "calls list",
        "calls show",
        "calls hangup",
        "config show",
        "config schema",
    ],
)
def test_every_option_is_explained(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert build()([*command.split(), "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    options = [line.strip("\u2502 ") for line in lines if line.startswith("\u2502") and "--" in line[:16]]
    assert all(len(line.split()) > 3 for line in options), options
