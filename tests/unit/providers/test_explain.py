"""Each refusal that the contracts name gets one sentence that names the setting to change, and no secret."""

from __future__ import annotations

import itertools
import re
from typing import Any, Final, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import UpstreamError
from app.models import Deployment, Secret
from app.providers.answers import read_error
from app.providers.base import UpstreamResponse
from app.providers.explanations import explain, rule_for
from app.providers.explanations.rules import RULES, Operation, Rule
from app.providers.registry import PROVIDERS
from tests.samples import QUOTED, Sample, load, names
from tests.support.clocks import kept_deadline
from tests.unit.values import AZURE_KEY, EPHEMERAL_KEY, OPENAI_KEY, HeldTokens, deployment

MINTS: Final = ("client_secrets", "sessions")
NAMES: Final = tuple(PROVIDERS)
OPERATIONS: Final[tuple[Operation, ...]] = get_args(Operation)
# What every sentence must not hold: an address, a path, a credential.
INNER = re.compile(r"(?<!as )https?://(?!api\.openai\.com/v1 does)|(?<!where )/realtime|ek_|sk-|eyJ")

# Sample, and what the sentence must say: the setting first.
ADVICE: dict[str, tuple[str, ...]] = {
    "azure/client_secrets-400-OpperationNotSupported": ("azure-main.model", "instead of a deployment"),
    "azure/client_secrets-400-OperationNotSupported": ("azure-main.model", "East US 2", "Sweden Central"),
    "azure/client_secrets-404-DeploymentNotFound": ("azure-main.model", "not the model's name"),
    "azure/client_secrets-404-resource_not_found": ("azure-main.base_url", "azure-preview"),
    "azure/client_secrets-401-wrong_key": ("azure-main.api_key", "azure-main.base_url"),
    "azure/client_secrets-401-key_disabled": ("azure-main.api_key", "azure-main.entra", "disabled"),
    "azure/client_secrets-403-key_disabled": ("azure-main.api_key", "azure-main.entra", "disabled"),
    "azure/client_secrets-401-api_version": ("azure-main.base_url", "api-version", "gateway"),
    "azure/client_secrets-400-api_version": ("azure-main.base_url", "api-version", "gateway"),
    "azure/client_secrets-401-PermissionDenied": ("azure-main.entra", "Cognitive Services OpenAI User"),
    "azure/client_secrets-500-path_as_message": ("azure-main.base_url", "azure-preview"),
    "azure/client_secrets-429-rate_limit": ("quota", "second deployment"),
    "azure/hangup-401-wrong_key": ("azure-main.api_key", "azure-main.base_url"),
    "azure/calls-401-expired_key": ("has expired", "mint a new handle"),
    "azure-preview/sessions-400-OpperationNotSupported": ("azure-preview-main.model", "region"),
    "azure-preview/sessions-400-api_version": ("azure-preview-main.api_version", "2025-04-01-preview"),
    "azure-preview/sessions-401-wrong_key": ("azure-preview-main.api_key",),
    "azure-preview/sessions-404-DeploymentNotFound": ("azure-preview-main.model",),
    "azure-preview/sessions-404-resource_not_found": ("azure-preview-main.base_url", "provider to azure if"),
    "azure-preview/sessions-500-path_as_message": ("azure-preview-main.api_version", "2025-04-01-preview"),
    "azure-preview/realtimertc-401-expired_key": ("has expired", "mint a new handle"),
    "azure-preview/realtimertc-404-DeploymentNotFound": ("azure-preview-main.model",),
    "openai/client_secrets-401": ("openai-main.api_key", "openai-main.base_url"),
    "openai/client_secrets-403-missing_scopes": ("openai-main.api_key", "permission"),
    "openai/client_secrets-404-invalid_url": ("openai-main.base_url", "https://api.openai.com/v1"),
    "openai/client_secrets-404-model_not_found": ("openai-main.model", "openai-main.api_key"),
    "openai/client_secrets-429-insufficient_quota": ("openai-main.api_key", "no credit", "waiting does not"),
    "openai/client_secrets-429-rate_limit": ("openai-main.api_key", "wait"),
    "openai/hangup-401": ("openai-main.api_key", "openai-main.base_url"),
    "openai/hangup-429-rate_limit": ("openai-main.api_key", "wait"),
    "openai/calls-401-expired_key": ("has expired", "mint a new handle"),
    "openai/calls-429-rate_limit": ("openai-main.api_key", "wait"),
}
# Nobody's setting: the caller's own field, the offer, or a failure inside the provider.
UNEXPLAINED = {
    "azure/calls-400-invalid_offer",
    "azure/hangup-404-resource_not_found",
    "openai/calls-400-invalid_offer",
    "openai/calls-404-call_id_not_found",
    "openai/calls-503-overloaded",
    "openai/client_secrets-400-invalid_value",
    "openai/client_secrets-500",
    "openai/client_secrets-502-front_end",
    "openai/client_secrets-503-overloaded",
    "openai/hangup-500",
}
# It is no error of the provider's, and has no message of its own.
REDIRECTED = {"openai/client_secrets-307-redirect"}
# That a call is gone is what a hang-up wants.
NO_REFUSALS = {f"{provider}/hangup-404-call_id_not_found" for provider in ("azure", "openai")}
# Read with a deployment that signs in with Entra, below.
BY_TOKEN = {"azure/client_secrets-401-token_refused"}


def refusal(sample: Sample, place: Deployment) -> UpstreamError:
    provider = PROVIDERS[sample.provider]
    if sample.endpoint in MINTS:
        with pytest.raises(UpstreamError) as refused:
            provider.read_mint(place, sample.response)
    elif sample.endpoint == "hangup":
        with pytest.raises(UpstreamError) as refused:
            provider.read_hangup(place, sample.response)
    else:
        with pytest.raises(UpstreamError) as refused:
            provider.read_answer(place, Secret(EPHEMERAL_KEY), sample.response)
    return refused.value


def advice(sample_name: str, **changes: Any) -> str:
    """The sentence at the end of the answer's message."""
    sample = load(sample_name)
    place = deployment(sample.provider, **changes)
    operation: Operation = "hangup" if sample.endpoint == "hangup" else "relay"
    if sample.endpoint in MINTS:
        operation = "mint"
    error = refusal(sample, place)
    body = orjson.loads(sample.response.body)
    raw = body.get("error", body)
    said = explain(
        place, operation, status=sample.response.status, code=error.upstream_code, message=raw["message"]
    )
    assert said is not None
    assert error.message.endswith(f" {said}")
    return said


def test_every_refusal_among_the_samples_is_explained_or_known_to_be_nobodys_setting() -> None:
    refusals = {name for name in names("openai", "azure", "azure-preview") if not re.search(r"-20[01]", name)}
    assert refusals == ADVICE.keys() | UNEXPLAINED | REDIRECTED | BY_TOKEN | NO_REFUSALS


@pytest.mark.parametrize("name", ADVICE)
def test_a_refusal_is_explained_by_the_setting_to_change(name: str) -> None:
    said = advice(name)
    for words in ADVICE[name]:
        assert words in said


@pytest.mark.parametrize("name", ADVICE)
def test_an_explanation_is_one_sentence_without_a_secret_or_an_address(name: str) -> None:
    said = advice(name)
    assert re.fullmatch(r"[A-Zd][^\n]*[^.]\.", said)
    assert len(re.findall(r"[.!?](?:\s|\Z)", said)) == 1
    assert len(said) < 260
    for hidden in (*QUOTED, AZURE_KEY, OPENAI_KEY, EPHEMERAL_KEY, "acme-voice", "9b1d4c1e"):
        assert hidden not in said
    assert not INNER.search(said), said


@pytest.mark.parametrize("name", sorted(UNEXPLAINED))
def test_what_no_setting_mends_gets_no_advice(name: str) -> None:
    sample = load(name)
    message = refusal(sample, deployment(sample.provider)).message
    assert "deployments." not in message


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("provider", "operation", "setting"),
    [
        ("openai", "mint", "openai-main.base_url"),
        ("openai", "relay", "openai-main.base_url"),
        ("azure", "hangup", "azure-main.base_url"),
        ("azure-preview", "mint", "azure-preview-main.base_url"),
        ("azure-preview", "relay", "azure-preview-main.webrtc_url"),
    ],
)
def test_a_redirect_is_not_followed_and_names_the_setting_that_leads_there(
    provider: str, operation: Operation, setting: str, status: int
) -> None:
    response = UpstreamResponse(status, {"Location": f"https://elsewhere.example/{AZURE_KEY}"}, b"")
    error = read_error(deployment(provider), response, operation=operation, secrets=())
    assert (error.answer_status, error.answer_code) == (502, "upstream_error")
    assert f"redirect (status {status}), which is never followed" in error.message
    assert setting in (error.advice or "")
    assert "elsewhere" not in error.message
    assert AZURE_KEY not in error.message


def test_a_token_that_is_refused_points_to_the_identity_and_not_to_a_key() -> None:
    place = {"api_key": None, "tokens": HeldTokens()}
    said = advice("azure/client_secrets-401-token_refused", **place)
    assert "the identity of deployments.azure-main.entra" in said
    assert "Cognitive Services OpenAI User" in said
    assert "api_key" not in said


def test_the_status_and_code_stay_the_providers() -> None:
    error = refusal(load("azure/client_secrets-400-OpperationNotSupported"), deployment("azure"))
    assert (error.answer_status, error.answer_code) == (400, "OpperationNotSupported")


@pytest.mark.parametrize(
    ("provider", "sample", "variable"),
    [
        ("azure", "azure/client_secrets-404-DeploymentNotFound", "AZURE_OPENAI_DEPLOYMENT_NAME"),
        ("azure", "azure/client_secrets-401-wrong_key", "AZURE_OPENAI_API_KEY"),
        ("azure", "azure/client_secrets-404-resource_not_found", "AZURE_OPENAI_ENDPOINT"),
        ("openai", "openai/client_secrets-401", "OPENAI_API_KEY"),
        ("openai", "openai/client_secrets-404-invalid_url", "OPENAI_BASE_URL"),
    ],
)
def test_a_start_with_one_provider_is_told_the_variable(provider: str, sample: str, variable: str) -> None:
    """Such a start never wrote a deployment's name, so the name alone would help nobody."""
    assert f"({variable})" in advice(sample, name=provider)
    assert variable not in advice(sample)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.says[:40])
def test_every_rule_speaks_for_some_refusal(rule: Rule) -> None:
    """A rule that the earlier ones always hide would be dead."""
    messages = ("", "Key based authentication is disabled", "api-version is bad", "/openai/realtimeapi")
    credentials: tuple[dict[str, Any], ...] = (
        {},
        {"api_key": None, "tokens": HeldTokens()},
        {"api_key": None, "ephemeral_keys": False},
    )
    cases = itertools.product(
        [name for name in NAMES if name in rule.providers],
        credentials,
        OPERATIONS,
        rule.statuses or (400, 404, 429),
        (*rule.codes, None),
        messages,
    )
    assert rule in {
        rule_for(deployment(provider, **credential), operation, status=status, code=code, message=message)
        for provider, credential, operation, status, code, message in cases
    }


@given(message=st.text(max_size=300), status=st.integers(400, 599), code=st.text(max_size=20) | st.none())
def test_no_message_of_a_provider_is_repeated(message: str, status: int, code: str | None) -> None:
    for provider, operation in itertools.product(NAMES, OPERATIONS):
        said = explain(
            deployment(provider), operation, status=status, code=code, message=f"opensesame {message}"
        )
        assert said is None or "opensesame" not in said


@given(message=st.text(max_size=300), status=st.integers(400, 599), code=st.text(max_size=20) | st.none())
def test_a_message_that_fits_no_rule_by_accident_is_read_fast(
    message: str, status: int, code: str | None
) -> None:
    # It takes some milliseconds. A pattern that tries every way to split such a text would take hours.
    text = ("/" + "a" * 500_000 + " ") * 4 + message
    with kept_deadline(1):
        rule_for(deployment("azure"), "mint", status=status, code=code, message=text)
