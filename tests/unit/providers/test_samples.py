"""Every answer of a provider that the contracts name, read: status, code, headers, and no inner detail."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from app.errors import UpstreamError
from app.models import Secret
from app.providers.registry import PROVIDERS
from tests.samples import QUOTED, Sample, load, names
from tests.unit.values import EPHEMERAL_KEY, deployment

GA = ("openai", "azure")
MINTS = ("client_secrets", "sessions")
REFUSED_CREDENTIAL = "The provider refused the credential that deployment"
OPENAI_REQUEST = {"x-upstream-request-id": "req_8d2c3b7f4e6a4c1f9d0b5a6e7f8c9d0e"}
AZURE_REQUEST = {"x-upstream-request-id": "7c1d0f9e-4b53-4f0a-9a3e-2d6f8b1c5e70"}
OPENAI_LIMITS = {
    "x-ratelimit-limit-requests": "200",
    "x-ratelimit-remaining-requests": "0",
    "x-ratelimit-reset-requests": "7.2s",
    "x-ratelimit-limit-tokens": "40000",
    "x-ratelimit-remaining-tokens": "39871",
    "x-ratelimit-reset-tokens": "193ms",
}
AZURE_LIMITS = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-limit-requests": "20"}


@dataclass(frozen=True)
class Reading:
    """What an error sample reads as. ``says`` is a part of the message."""

    status: int
    code: str
    says: str
    param: str | None = None
    retry_after: int | None = None
    limits: dict[str, str] = field(default_factory=dict)
    has_request_id: bool = True


READINGS = {
    "openai/client_secrets-307-redirect": Reading(502, "upstream_error", "status 307", has_request_id=False),
    "openai/client_secrets-400-invalid_value": Reading(
        400, "integer_below_min_value", "Expected a value >= 10", param="expires_after.seconds"
    ),
    "openai/client_secrets-401": Reading(401, "invalid_api_key", REFUSED_CREDENTIAL),
    "openai/client_secrets-403-missing_scopes": Reading(403, "upstream_error", REFUSED_CREDENTIAL),
    "openai/client_secrets-404-invalid_url": Reading(404, "upstream_error", "Invalid URL"),
    "openai/client_secrets-404-model_not_found": Reading(404, "model_not_found", "`gpt-realtime-9`"),
    "openai/client_secrets-429-insufficient_quota": Reading(429, "insufficient_quota", "current quota"),
    "openai/client_secrets-429-rate_limit": Reading(
        429, "rate_limit_exceeded", "Limit 200, Used 200", retry_after=7, limits=OPENAI_LIMITS
    ),
    "openai/client_secrets-500": Reading(500, "upstream_error", "The provider failed with status 500."),
    "openai/client_secrets-502-front_end": Reading(502, "upstream_error", "status 502", has_request_id=False),
    "openai/client_secrets-503-overloaded": Reading(
        503, "engine_overloaded", "The provider failed with status 503.", retry_after=2
    ),
    "openai/calls-400-invalid_offer": Reading(400, "invalid_offer", "missing fingerprint", param="sdp"),
    "openai/calls-401-expired_key": Reading(401, "token_expired", REFUSED_CREDENTIAL),
    "openai/calls-404-call_id_not_found": Reading(404, "call_id_not_found", "rtc_u1_", param="call_id"),
    "openai/calls-429-rate_limit": Reading(
        429, "rate_limit_exceeded", "concurrent sessions", retry_after=3, limits=OPENAI_LIMITS
    ),
    "openai/calls-503-overloaded": Reading(503, "upstream_error", "failed with status 503", retry_after=5),
    "openai/hangup-401": Reading(401, "invalid_api_key", REFUSED_CREDENTIAL),
    "openai/hangup-429-rate_limit": Reading(
        429, "rate_limit_exceeded", "Limit 200, Used 200", retry_after=7, limits=OPENAI_LIMITS
    ),
    "openai/hangup-500": Reading(500, "upstream_error", "The provider failed with status 500."),
    "azure/hangup-401-wrong_key": Reading(401, "401", REFUSED_CREDENTIAL),
    "azure/hangup-404-resource_not_found": Reading(404, "404", "Resource not found"),
    "azure/client_secrets-400-OpperationNotSupported": Reading(
        400, "OpperationNotSupported", "does not work with the specified model"
    ),
    "azure/client_secrets-400-OperationNotSupported": Reading(
        400, "OperationNotSupported", "does not work with the specified model"
    ),
    "azure/client_secrets-401-wrong_key": Reading(401, "401", REFUSED_CREDENTIAL),
    "azure/client_secrets-401-key_disabled": Reading(401, "AuthenticationTypeDisabled", REFUSED_CREDENTIAL),
    "azure/client_secrets-401-api_version": Reading(401, "Unauthorized", REFUSED_CREDENTIAL),
    "azure/client_secrets-401-token_refused": Reading(401, "upstream_error", REFUSED_CREDENTIAL),
    "azure/client_secrets-401-PermissionDenied": Reading(401, "PermissionDenied", REFUSED_CREDENTIAL),
    "azure/client_secrets-403-key_disabled": Reading(403, "403", REFUSED_CREDENTIAL),
    "azure/client_secrets-400-api_version": Reading(400, "BadRequest", "not allowed when using /v1 path"),
    "azure/client_secrets-404-DeploymentNotFound": Reading(404, "DeploymentNotFound", "does not exist"),
    "azure/client_secrets-404-resource_not_found": Reading(404, "404", "Resource not found"),
    "azure/client_secrets-429-rate_limit": Reading(
        429, "RateLimitReached", "Please retry after 26 seconds", retry_after=26, limits=AZURE_LIMITS
    ),
    "azure/client_secrets-500-path_as_message": Reading(500, "InternalServerError", "failed with status 500"),
    "azure-preview/sessions-400-OpperationNotSupported": Reading(
        400, "OpperationNotSupported", "does not work with the specified model"
    ),
    "azure-preview/sessions-400-api_version": Reading(400, "BadRequest", "API version not supported"),
    "azure-preview/realtimertc-404-DeploymentNotFound": Reading(404, "DeploymentNotFound", "does not exist"),
    "azure-preview/sessions-401-wrong_key": Reading(401, "401", REFUSED_CREDENTIAL),
    "azure-preview/sessions-404-DeploymentNotFound": Reading(404, "DeploymentNotFound", "does not exist"),
    "azure-preview/sessions-404-resource_not_found": Reading(404, "404", "Resource not found"),
    "azure-preview/sessions-500-path_as_message": Reading(
        500, "InternalServerError", "failed with status 500"
    ),
    "azure-preview/realtimertc-401-expired_key": Reading(401, "401", REFUSED_CREDENTIAL),
    "openai-live/calls-400-unknown_parameter": Reading(
        400, "unknown_parameter", "session.type", param="session.type"
    ),
    "openai-live/calls-401": Reading(401, "invalid_api_key", REFUSED_CREDENTIAL),
    "openai-live/calls-404-model_not_found": Reading(404, "model_not_found", "`gpt-live-9`"),
    "openai-live/calls-429-rate_limit": Reading(
        429, "rate_limit_exceeded", "concurrent sessions", retry_after=3, limits=OPENAI_LIMITS
    ),
    "azure-live/calls-401-wrong_key": Reading(401, "401", REFUSED_CREDENTIAL),
    "azure-live/calls-404-DeploymentNotFound": Reading(404, "DeploymentNotFound", "does not exist"),
    "azure/calls-400-invalid_offer": Reading(400, "invalid_offer", "could not be parsed"),
    "azure/calls-401-expired_key": Reading(401, "401", REFUSED_CREDENTIAL),
}
GA_SUCCESSES = ("client_secrets-200", "calls-201", "hangup-200", "hangup-404-call_id_not_found")
SUCCESSES = {f"{provider}/{sample}" for provider in GA for sample in GA_SUCCESSES} | {
    f"azure-preview/{sample}"
    for sample in ("sessions-200", "sessions-200-no_expiry", "realtimertc-200", "realtimertc-201")
}
# tests/unit/providers/test_live.py reads them.
SUCCESSES |= {"azure-live/calls-201"} | {
    f"openai-live/{sample}" for sample in ("calls-201", "hangup-200", "hangup-404-session_not_found")
}


def read(sample: Sample) -> object:
    """Read a sample with the reader of its provider and endpoint."""
    provider = PROVIDERS[sample.provider]
    place = deployment(sample.provider)
    if sample.endpoint in MINTS:
        return provider.read_mint(place, sample.response)
    if sample.endpoint == "hangup":
        return provider.read_hangup(place, sample.response)
    return provider.read_answer(place, Secret(EPHEMERAL_KEY), sample.response)


def refusal(name: str) -> UpstreamError:
    with pytest.raises(UpstreamError) as refused:
        read(load(name))
    return refused.value


def test_every_sample_is_read_by_some_test() -> None:
    providers = ("openai", "azure", "azure-preview", "openai-live", "azure-live")
    assert set(names(*providers)) == READINGS.keys() | SUCCESSES


@pytest.mark.parametrize("name", READINGS)
def test_a_refusal_keeps_the_providers_status_code_and_parameter(name: str) -> None:
    error, expected = refusal(name), READINGS[name]
    assert (error.answer_status, error.answer_code, error.param) == (
        expected.status,
        expected.code,
        expected.param,
    )
    assert expected.says in error.message


@pytest.mark.parametrize("name", READINGS)
def test_a_refusal_keeps_retry_after_rate_limits_and_request_id_and_no_other_header(name: str) -> None:
    error, expected = refusal(name), READINGS[name]
    request_id = OPENAI_REQUEST if name.startswith("openai") else AZURE_REQUEST
    assert error.retry_after == expected.retry_after
    assert error.headers == {**expected.limits, **(request_id if expected.has_request_id else {})}


@pytest.mark.parametrize("name", READINGS)
def test_a_refusal_tells_no_credential_and_no_inner_detail(name: str) -> None:
    error = refusal(name)
    shown = f"{error.message} {error!r} {error} {dict(error.headers)} {error.answer_code} {error.param}"
    for hidden in (*QUOTED, "realtime-7f9c.internal", "/openai/realtimeapi", "cloudflare", "elsewhere", "<"):
        assert hidden not in shown


@pytest.mark.parametrize("provider", GA)
def test_a_minted_key_is_read_with_its_expiry_and_session(provider: str) -> None:
    name = f"{provider}/client_secrets-200"
    place = deployment(provider)
    key = PROVIDERS[provider].read_mint(place, load(name).response)
    assert key.value.reveal() in QUOTED
    assert key.expires_at == 1_762_962_423
    assert key.session["type"] == "realtime"


@pytest.mark.parametrize(
    ("provider", "call_id"),
    [("openai", "rtc_u1_9c6574da8b8a41a18da9308f4ad974ce"), ("azure", "rtc_az_5d0e7b1c9f")],
)
def test_an_answer_is_read_byte_for_byte_with_its_call_id(provider: str, call_id: str) -> None:
    sample = load(f"{provider}/calls-201")
    place = deployment(provider)
    answer = PROVIDERS[provider].read_answer(place, Secret(EPHEMERAL_KEY), sample.response)
    assert answer.sdp == sample.response.body
    assert answer.sdp.endswith(b"\r\n")
    assert answer.call_id == call_id


@pytest.mark.parametrize("provider", GA)
def test_a_call_is_over_whether_the_provider_ended_it_or_knew_it_no_longer(provider: str) -> None:
    assert read(load(f"{provider}/hangup-200")) is True
    assert read(load(f"{provider}/hangup-404-call_id_not_found")) is False
