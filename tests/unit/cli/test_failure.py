"""Wrong usage is told without repeating what could be a secret."""

from __future__ import annotations

import pytest

from app.cli.arguments import checked_name
from app.cli.failure import CliFailure, masked
from app.cli.root import run, with_ids_for_arguments
from tests.support.planted import Planted

SECRETS = [*Planted().all_values(), "Bearer abcdefghijklmnopqrstuvwxyz", "pass word with 'quotes' inside it"]


@pytest.mark.parametrize("secret", SECRETS, ids=[str(number) for number in range(len(SECRETS))])
@pytest.mark.parametrize(
    "arguments",
    [
        ["handles", "list", "{}"],
        ["handles", "list", "--no-such={}"],
        ["handles", "list", "--no-such", "{}"],
        ["handles", "list", "--{}"],
        ["handles", "list", "--limit", "{}"],
        ["handles", "list", "--limit={}"],
        ["handles", "list", "--state", "{}"],
        ["handles", "list", "--admin-key", "{}"],
        ["handles", "{}"],
        ["{}"],
        ["handles", "show"],
        ["handles", "show", "{}", "{}"],
        ["calls", "show", "{}", "x"],
        ["config", "show", "{}"],
        ["serve", "{}"],
        ["keys", "new", "--only", "{}"],
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(
    secret: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = run([argument.format(secret) for argument in arguments])
    except SystemExit as ended:
        status = int(ended.code or 0)
    said = capsys.readouterr()
    assert status == 2
    assert said.out == ""
    assert said.err.startswith("cloakroom: ")
    assert secret not in said.err


def test_what_was_meant_is_still_told() -> None:
    assert masked("Unknown option: --clint. Did you mean --client?", ["--clint"]) == (
        "Unknown option: --clint. Did you mean --client?"
    )
    assert (
        masked('unable to convert "many" into int', ["--limit", "many"])
        == 'unable to convert "many" into int'
    )
    assert masked("Unused Tokens: ['" + "x" * 30 + "'].", ["x" * 30]) == "Unused Tokens: ['...']."


def test_an_id_that_begins_with_a_hyphen_is_an_argument() -> None:
    odd = "-bcdefghijklmnopqrstuv"
    assert with_ids_for_arguments(["handles", "show", odd, "--json"]) == [
        "handles",
        "show",
        f"{{{odd}}}",
        "--json",
    ]
    assert with_ids_for_arguments(["keys", "new", odd]) == ["keys", "new", odd]
    # No option of theirs is taken for an id.
    for name in ("--admin-key-file", "--deployment", "--dry-run", "--help", "-h"):
        assert with_ids_for_arguments(["handles", "list", name]) == ["handles", "list", name]


@pytest.mark.parametrize(
    "given", ["", "\n", "x" * 257, "sk-proj-abcdefghijklmnop", "Bearer x", "ck_" + "a" * 40]
)
def test_a_name_that_is_empty_or_looks_like_a_secret_is_refused(given: str) -> None:
    with pytest.raises(CliFailure) as refused:
        checked_name("--client", given)
    assert refused.value.status == 2
    assert not given.strip() or given not in str(refused.value)


@pytest.mark.parametrize(
    "given", [None, "shop", "gpt-realtime-2.1", "user 17", "sk-1", "0123456789abcdef" * 4]
)
def test_a_name_is_taken_as_it_is(given: str | None) -> None:
    assert checked_name("--subject", given) == given
