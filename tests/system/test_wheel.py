"""The wheel: built, looked into, installed and used. ``make release-check`` uses a clean environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.release.building import Built, build, wheel_of
from tests.release.contents import sdist_problems, wheel_problems
from tests.release.installation import Installation, beside_the_suite
from tests.release.trying import (
    assert_alone,
    assert_dev_runs,
    assert_says_what_a_start_needs,
    assert_serves,
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return beside_the_suite(tmp_path_factory.mktemp("installed") / "env", built.wheel)


def test_the_wheel_has_the_whole_package_under_its_import_name_and_no_more(built: Built) -> None:
    assert list(wheel_problems(built.wheel)) == []


def test_the_sdist_has_what_a_build_needs_and_no_more(built: Built) -> None:
    assert list(sdist_problems(built.sdist)) == []


def test_the_wheel_of_the_sdist_is_the_same_byte_for_byte(built: Built, tmp_path: Path) -> None:
    assert wheel_of(built.sdist, tmp_path).read_bytes() == built.wheel.read_bytes()


def test_it_is_found_as_cloakroom_and_nothing_as_app(installed: Installation) -> None:
    assert_alone(installed)


def test_serve_without_settings_says_what_it_needs(installed: Installation) -> None:
    assert_says_what_a_start_needs(installed)


def test_it_serves_beside_a_replica_of_this_tree_and_answers_every_command(installed: Installation) -> None:
    assert_serves(installed)


def test_dev_runs_and_its_printed_commands_relay(installed: Installation) -> None:
    assert_dev_runs(installed, with_webrtc=True)
