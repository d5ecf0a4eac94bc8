"""Every form of LiteLLM's file that its pages and its users show, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.settings import LiteLlmNote
from tests.unit.settings.litellm_every_form import (
    DEPLOYMENTS,
    ENTRY_NOTES,
    FILE_NOTES,
    GROUP_ALIASES,
    LEFT_OUT_NOTES,
    MODELS,
    SERVED,
    UPSTREAM_FORMS,
)
from tests.unit.settings.litellm_files import EVERY_FORM, MASTER_KEY, read


@pytest.fixture(scope="module")
def result() -> tuple[dict[str, Any], list[LiteLlmNote]]:
    return read(EVERY_FORM.read_text(encoding="utf-8"))


def as_rows(notes: list[LiteLlmNote]) -> Iterator[tuple[str, str, str]]:
    return ((note.level, note.entry, note.text) for note in notes)


def test_each_realtime_entry_becomes_a_deployment_named_by_what_it_is(
    result: tuple[dict[str, Any], list[LiteLlmNote]],
) -> None:
    values, _ = result
    assert values["deployments"] == DEPLOYMENTS


def test_models_answer_to_their_name_their_upstream_form_and_their_group_alias(
    result: tuple[dict[str, Any], list[LiteLlmNote]],
) -> None:
    values, _ = result
    assert values["models"] == {**MODELS, **UPSTREAM_FORMS, **GROUP_ALIASES}


def test_the_master_key_is_a_client_and_several_models_have_no_default(
    result: tuple[dict[str, Any], list[LiteLlmNote]],
) -> None:
    values, _ = result
    assert values["clients"] == {"master": {"api_key": MASTER_KEY}}
    assert values.keys() == {"deployments", "models", "clients"}


def test_every_part_of_the_file_has_its_note_and_there_is_no_other(
    result: tuple[dict[str, Any], list[LiteLlmNote]],
) -> None:
    _, notes = result
    served = [
        ("info", f"model_list entry {place}", f"served as deployment '{deployment}', {how}")
        for (place, how), deployment in zip(SERVED, DEPLOYMENTS, strict=True)
    ]
    assert sorted(as_rows(notes)) == sorted([*served, *ENTRY_NOTES, *LEFT_OUT_NOTES, *FILE_NOTES])


def test_each_entry_that_is_left_out_gives_its_reason_and_no_other_note_does(
    result: tuple[dict[str, Any], list[LiteLlmNote]],
) -> None:
    _, notes = result
    reasons = [
        (note.level, note.entry, f"left out: {note.reason}") for note in notes if note.reason is not None
    ]
    assert sorted(reasons) == sorted(LEFT_OUT_NOTES)
