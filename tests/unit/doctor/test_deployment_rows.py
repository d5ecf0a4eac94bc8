"""Judging a deployment as it is written, and the provider's clock."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import pytest

from app.doctor.deployment_rows import (
    credential_finding,
    hangup_findings,
    skew_finding,
    target_findings,
)
from app.doctor.finding import Finding
from app.doctor.source import place_of
from app.models import Secret
from tests.unit.values import AZURE_KEY, NOW, OPENAI_KEY, deployment


def place(field: str) -> str:
    return f"deployments.voice.{field}"


def skew(date: str | None, ours: float) -> Finding:
    return skew_finding(deployment(), date, ours=ours, request="GET /v1 without a key")


@pytest.mark.parametrize(
    ("ahead", "status"),
    [(0, "ok"), (4, "ok"), (-5, "ok"), (6, "warn"), (-8, "warn"), (59, "warn"), (62, "fail"), (-90, "fail")],
)
def test_a_provider_s_clock_warns_after_five_seconds_and_fails_after_sixty(ahead: float, status: str) -> None:
    # Half a second in, so that a Date without fractions describes the moment.
    row = skew(formatdate(NOW + ahead, usegmt=True), ours=NOW + 0.5)
    assert row.status == status
    if status != "ok":
        assert f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} ours" in row.detail
        assert "NTP" in row.fix


@pytest.mark.parametrize("date", [None, "", "soon", "Thu, 99 Foo 2026 00:00:00 GMT"])
def test_a_date_that_cannot_be_read_is_a_warning(date: str | None) -> None:
    assert skew(date, NOW).status == "warn"


@pytest.mark.parametrize(
    ("provider", "key", "status", "word"),
    [
        ("openai", OPENAI_KEY, "ok", "characters"),
        ("azure", AZURE_KEY, "ok", "characters"),
        ("openai", "sk-...", "fail", "placeholder"),
        ("azure", "your-azure-key-goes-here", "fail", "placeholder"),
        ("openai", "ek_68af296e8e408191a1120ab6383263c2", "fail", "ephemeral"),
        ("azure", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "fail", "token"),
        ("azure", OPENAI_KEY, "fail", "OpenAI"),
        ("openai", AZURE_KEY, "warn", "sk-"),
        ("azure", "short-one-12", "warn", "only 12"),
    ],
)
def test_a_key_of_the_wrong_form_is_told_and_never_shown(
    provider: str, key: str, status: str, word: str
) -> None:
    row = credential_finding(deployment(provider, api_key=Secret(key)), place)
    assert row.status == status
    assert word in row.detail
    assert key not in row.detail + row.fix
    assert row.fix == ("" if status == "ok" else "set deployments.voice.api_key")


def test_another_api_with_openai_s_paths_may_have_keys_of_any_form() -> None:
    elsewhere = deployment(base_url="https://voice.example.org/v1", api_key=Secret(AZURE_KEY))
    assert credential_finding(elsewhere, place).status == "ok"


@pytest.mark.parametrize(
    ("url", "statuses"),
    [
        ("https://api.openai.com/v1", ["ok"]),
        ("http://127.0.0.1:9090/v1", ["ok"]),
        ("http://localhost:9090/v1", ["ok"]),
        ("http://gateway.internal/v1", ["ok", "warn"]),
    ],
)
def test_a_key_in_clear_over_the_network_is_pointed_out(url: str, statuses: list[str]) -> None:
    rows = list(target_findings(deployment(base_url=url), ["a", "b"], place=place))
    assert [row.status for row in rows] == statuses
    assert rows[0].detail == f"openai at {url}, for a, b"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("ours", "voice", "openai", "api_key"), "deployments.voice.api_key"),
        (("ours", "openai", "openai", "api_key"), "deployments.openai.api_key (OPENAI_API_KEY)"),
        (("ours", "azure", "azure", "base_url"), "deployments.azure.base_url (AZURE_OPENAI_ENDPOINT)"),
        (("litellm", "x", "azure", "base_url"), "litellm_params.api_base of the entry that is served as 'x'"),
        (("litellm", "x", "azure", "entra"), "deployments.x.entra"),
    ],
)
def test_a_fix_names_the_setting_as_its_author_wrote_it(arguments: Any, name: str) -> None:
    assert place_of(*arguments) == name


@pytest.mark.parametrize("provider", ["localai", "azure-preview"])
def test_a_limit_that_no_hang_up_can_keep_is_a_warning(provider: str) -> None:
    (row,) = hangup_findings(deployment(provider), ["voice", "short"], place)
    assert (row.name, row.status) == ("hang-up", "warn")
    assert "max_call_seconds does not hold for voice, short" in row.detail
    assert list(hangup_findings(deployment(provider), [], place)) == []


@pytest.mark.parametrize("provider", ["openai", "azure", "speech-to-speech"])
def test_a_limit_that_is_kept_is_no_row(provider: str) -> None:
    assert list(hangup_findings(deployment(provider), ["voice"], place)) == []


def test_without_a_credential_none_is_judged_and_sessions_are_what_goes_in_clear() -> None:
    keyless = deployment("localai", api_key=None, base_url="http://localai:8080/v1")
    assert credential_finding(keyless, place).detail == "none is set, and none is sent"
    rows = {row.name: row for row in target_findings(keyless, ["voice"], place=place)}
    assert rows["TLS"].status == "warn"
    assert "sessions and offers" in rows["TLS"].detail
    keyed = deployment("localai", base_url="http://localai:8080/v1")
    rows = {row.name: row for row in target_findings(keyed, ["voice"], place=place)}
    assert "the provider's key" in rows["TLS"].detail
    assert "CLOAKROOM_PLAIN_HTTP_HOSTS" in rows["TLS"].detail
