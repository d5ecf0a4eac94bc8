"""A deployment's settings: which credential, and everything that fits no provider refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from app.settings import DeploymentSettings

SECRET = "opensesame-Q8~x"
AZURE = {"provider": "azure", "base_url": "https://x.openai.azure.com", "model": "voice-prod"}
OPENAI = {"provider": "openai"}
ENTRA = {"tenant_id": "11111111-2222", "client_id": "33333333-4444", "client_secret": SECRET}


def read(values: dict[str, Any], **more: Any) -> DeploymentSettings:
    return DeploymentSettings.model_validate({**values, **more})


def refusal(values: dict[str, Any], **more: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        read(values, **more)
    text = str(refused.value)
    assert SECRET not in text
    return text


@pytest.mark.parametrize("values", [AZURE, OPENAI])
def test_a_deployment_without_a_credential_is_refused(values: dict[str, Any]) -> None:
    assert "api_key is missing; write it as ${NAME_OF_AN_ENVIRONMENT_VARIABLE}" in refusal(values)
    assert "api_key is missing" in refusal(values, api_key="")


def test_only_azure_is_told_of_entra() -> None:
    assert "sign in with entra" in refusal(AZURE)
    assert "entra" not in refusal(OPENAI)
    assert "entra is for Azure" in refusal(OPENAI, entra=ENTRA)


def test_a_key_beside_entra_is_refused_rather_than_one_of_them_ignored() -> None:
    assert "api_key and entra are both set" in refusal(AZURE, api_key="k" * 32, entra=ENTRA)


@pytest.mark.parametrize(
    ("entra", "kind"),
    [
        ({}, "default"),
        ({"client_id": "a"}, "default"),
        (ENTRA, "client_secret"),
        ({"kind": "workload_identity"}, "workload_identity"),
        ({"kind": "azure_cli", "tenant_id": "contoso.example"}, "azure_cli"),
    ],
)
def test_the_kind_follows_from_what_is_given(entra: dict[str, Any], kind: str) -> None:
    settings = read(AZURE, entra=entra)
    assert settings.entra is not None
    assert settings.entra.resolved_kind == kind


@pytest.mark.parametrize("missing", ["tenant_id", "client_id", "client_secret"])
def test_a_client_secret_needs_all_three(missing: str) -> None:
    entra = {**ENTRA, "kind": "client_secret"}
    del entra[missing]
    assert f"{missing} missing" in refusal(AZURE, entra=entra)


@pytest.mark.parametrize("kind", ["default", "workload_identity", "azure_cli"])
def test_a_secret_that_the_kind_would_not_use_is_refused(kind: str) -> None:
    assert f"client_secret is not used by kind: {kind}" in refusal(AZURE, entra={**ENTRA, "kind": kind})


@pytest.mark.parametrize("name", ["../../common", "a/b", "a?b", "a b", "", "contoso.example\n"])
@pytest.mark.parametrize("field", ["tenant_id", "client_id"])
def test_a_directory_or_application_that_could_change_a_url_is_refused(field: str, name: str) -> None:
    assert f"entra.{field}" in refusal(AZURE, entra={**ENTRA, field: name})


@pytest.mark.parametrize("written", [f"{SECRET}\n", f"{SECRET}\r\n", f"  {SECRET} "])
def test_the_line_break_that_a_mounted_secret_ends_in_is_dropped(written: str) -> None:
    with_key = read(AZURE, api_key=written)
    assert with_key.api_key is not None
    assert with_key.api_key.get_secret_value() == SECRET
    with_entra = read(AZURE, entra={**ENTRA, "client_secret": written})
    assert with_entra.entra is not None
    assert with_entra.entra.client_secret is not None
    assert with_entra.entra.client_secret.get_secret_value() == SECRET


@pytest.mark.parametrize("written", [f"{SECRET}\nX-Other: 1", f"{SECRET} x", f"{SECRET}\x00", f"{SECRET}é"])
def test_a_key_that_no_header_takes_is_refused(written: str) -> None:
    assert "no key has" in refusal(AZURE, api_key=written)
    assert "no key has" in refusal(AZURE, entra={**ENTRA, "client_secret": written})


def test_no_secret_is_shown() -> None:
    settings = read(AZURE, entra=ENTRA)
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()}"


@pytest.mark.parametrize("model", ["", "a b", "a\n", "é", "x" * 129])
def test_a_model_name_that_no_url_or_json_needs_is_refused(model: str) -> None:
    refusal(OPENAI, api_key="k" * 32, model=model)


# --- what belongs to one provider only ----------------------------------------------------------------

KEY = {"api_key": "k" * 32}
PREVIEW = {**AZURE, "provider": "azure-preview"}


@pytest.mark.parametrize("place", [{"region": "eastus2"}, {"webrtc_url": "https://front.example"}])
def test_a_preview_deployment_says_where_offers_go(place: dict[str, str]) -> None:
    read({**PREVIEW, **KEY}, **place)


@pytest.mark.parametrize("place", [{}, {"region": "swedencentral", "webrtc_url": "https://front.example"}])
def test_nothing_about_the_preview_is_guessed(place: dict[str, str]) -> None:
    assert "either region (eastus2, swedencentral) or webrtc_url" in refusal({**PREVIEW, **KEY}, **place)


@pytest.mark.parametrize("values", [AZURE, OPENAI])
def test_an_api_version_never_chooses_a_surface(values: dict[str, Any]) -> None:
    assert "remove it" in refusal({**values, **KEY}, api_version="2025-04-01-preview")


@pytest.mark.parametrize("values", [AZURE, OPENAI])
def test_the_previews_front_end_is_refused_elsewhere(values: dict[str, Any]) -> None:
    assert "webrtc_url is for provider: azure-preview" in refusal(
        {**values, **KEY}, webrtc_url="https://front.example"
    )


@pytest.mark.parametrize("version", ["", "2025&x=1", "a/b", "2025-04-01 ", "é"])
def test_an_api_version_that_could_change_the_url_is_refused(version: str) -> None:
    assert "api_version" in refusal({**PREVIEW, **KEY}, region="eastus2", api_version=version)


@pytest.mark.parametrize("values", [OPENAI, {**PREVIEW, "region": "eastus2"}])
def test_the_event_filter_belongs_to_azures_ga_paths(values: dict[str, Any]) -> None:
    assert "webrtc_filter is for provider: azure" in refusal({**values, **KEY}, webrtc_filter=True)
    assert read({**values, **KEY}, webrtc_filter=False).webrtc_filter is False


def test_the_standard_key_creates_calls_at_openai_only() -> None:
    assert read({**OPENAI, **KEY}, call_key="standard").call_key == "standard"
    for values in (AZURE, {**PREVIEW, "region": "eastus2"}):
        assert "call_key: standard is for OpenAI" in refusal({**values, **KEY}, call_key="standard")
        assert read({**values, **KEY}).call_key == "ephemeral"


IDENTITY: dict[str, Any] = {"identity_provider_id": "idp_1", "service_account_id": "sa_1"}


def test_a_workload_identity_takes_the_place_of_openais_key() -> None:
    found = read(OPENAI, workload_identity=IDENTITY).workload_identity
    assert found is not None
    assert found.token_file == "/var/run/secrets/kubernetes.io/serviceaccount/token"
    assert (found.token_type, found.token_url) == ("jwt", "https://auth.openai.com/oauth/token")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({**OPENAI}, "api_key is missing; write it as"),
        ({**OPENAI}, "or sign in with workload_identity"),
        ({**OPENAI, **KEY, "workload_identity": IDENTITY}, "api_key and workload_identity are both set"),
        ({**OPENAI, "entra": {}}, "entra is for Azure; set api_key or workload_identity"),
        ({**AZURE, "workload_identity": IDENTITY}, "workload_identity is for OpenAI; set api_key or entra"),
        ({**OPENAI, "workload_identity": {"identity_provider_id": "idp"}}, "service_account_id"),
        (
            {**OPENAI, "workload_identity": {**IDENTITY, "token_url": "http://auth.example/token"}},
            "token_url must be an https URL",
        ),
    ],
)
def test_a_workload_identity_that_cannot_work_is_refused(values: dict[str, Any], said: str) -> None:
    assert said in refusal(values)


OTHER_SERVER = {"provider": "openai", "base_url": "http://voice:8080/v1", "ephemeral_keys": False}


@pytest.mark.parametrize("values", [AZURE, OPENAI])
def test_a_provider_that_mints_is_taken_to_mint(values: dict[str, Any]) -> None:
    assert read(values, api_key="k" * 32).mints
    assert read(values, api_key="k" * 32, ephemeral_keys=True).mints


@pytest.mark.parametrize("key", [{}, {"api_key": ""}, {"api_key": "k" * 32}])
def test_a_server_that_keeps_openais_paths_may_mint_nothing_and_need_no_key(key: dict[str, Any]) -> None:
    assert not read(OTHER_SERVER, **key).mints


def test_openai_itself_needs_a_key_with_and_without_ephemeral_keys() -> None:
    assert "api_key is missing" in refusal(OPENAI, ephemeral_keys=False)
    assert "api_key is missing" in refusal(OPENAI, ephemeral_keys=False, region="eu")
    assert "api_key is missing" in refusal({**OTHER_SERVER, "ephemeral_keys": True})


@pytest.mark.parametrize("values", [AZURE, {**AZURE, "provider": "azure-preview", "region": "eastus2"}])
def test_azure_cannot_do_without_ephemeral_keys_and_says_why(values: dict[str, Any]) -> None:
    text = refusal(values, api_key="k" * 32, ephemeral_keys=False)
    assert "a call takes its session from its ephemeral key" in text
    assert "set provider: openai" in text
