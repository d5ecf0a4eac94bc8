"""A fork of a command is a process of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from app import __version__
from tests.support import warm

SURROUNDINGS = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


@pytest.fixture(scope="module", autouse=True)
def forker() -> Iterator[None]:
    yield
    warm.end()


def test_a_fork_has_its_own_arguments_streams_and_status() -> None:
    assert warm.run(["--version"], SURROUNDINGS) == (0, f"cloakroom {__version__}\n", "")
    status, out, err = warm.run(["handles", "list"], SURROUNDINGS)
    assert (status, out) == (2, "")
    assert "an admin key is needed" in err


def test_a_fork_has_its_own_environment_and_leaves_none_to_the_next_one() -> None:
    missing = {**SURROUNDINGS, "CLOAKROOM_ADMIN_KEY": "ak_" + "0123456789abcdef" * 3}
    nowhere = {**missing, "CLOAKROOM_ADMIN_URL": "http://127.0.0.1:1"}
    assert "nothing listens there" in warm.run(["handles", "list"], nowhere)[2]
    assert "http://127.0.0.1:1" not in warm.run(["handles", "list"], missing)[2]
    assert "an admin key is needed" in warm.run(["handles", "list"], SURROUNDINGS)[2]


def test_what_python_reads_at_its_start_does_not_fit_a_fork() -> None:
    assert warm.fits({"CLOAKROOM_ADMIN_URL": "http://x", "OPENAI_API_KEY": "x"})
    for name in ("PYTHONIOENCODING", "LC_ALL", "NO_COLOR", "COLUMNS"):
        assert not warm.fits({name: "x"})
