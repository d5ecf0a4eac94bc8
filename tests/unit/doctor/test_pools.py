"""What the doctor says of warm pools: what keeps mints from using one, with the setting to change."""

from __future__ import annotations

import json
from typing import Any

from app.doctor.finding import Finding
from app.doctor.settings import settings_findings
from tests.unit.settings.environments import load

POOL = {"target": 1500 // 2, "max_waste": 0.25}
SUBJECT_KEY = "sk_Vb6nMk2jHg5fDs8aPo1iUy4tRe"


def rows(models: dict[str, Any], **changes: str) -> list[Finding]:
    settings = load(CLOAKROOM_MODELS=json.dumps(models), **changes)
    return [row for row in settings_findings(settings, has_engine=True, cpus=1) if row.name == "pools"]


def test_without_a_pool_there_is_no_row() -> None:
    assert (
        rows({"voice": {"deployments": "openai"}, "plain": "openai"}, CLOAKROOM_SUBJECT_KEY=SUBJECT_KEY) == []
    )


def test_a_pool_is_told_with_its_bounds() -> None:
    (row,) = rows({"voice": {"deployments": "openai", "pool": POOL}, "plain": "openai"})
    assert row.status == "ok"
    assert row.detail == "voice keeps up to 750 keys, of which 25% may be wasted"


def test_a_subject_key_keeps_mints_with_a_subject_out() -> None:
    ok, warning = rows({"voice": {"deployments": "openai", "pool": POOL}}, CLOAKROOM_SUBJECT_KEY=SUBJECT_KEY)
    assert (ok.status, warning.status) == ("ok", "warn")
    assert "CLOAKROOM_SUBJECT_KEY" in warning.detail
    assert SUBJECT_KEY not in warning.detail + warning.fix
