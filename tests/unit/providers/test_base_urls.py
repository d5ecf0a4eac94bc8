"""Every form of an endpoint that people paste reduces to the one URL where ``/realtime/...`` begins."""

from __future__ import annotations

import itertools
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models import Secret
from app.providers.azure import Azure
from app.providers.openai import DEFAULT_BASE_URL, OpenAI
from app.providers.registry import PROVIDERS
from tests.unit.values import EPHEMERAL_KEY, deployment, mint_request, offer

HOSTS = (
    "acme-voice.openai.azure.com",
    "acme-voice.cognitiveservices.azure.com",
    "acme-voice.services.ai.azure.com",
)
PATHS = (
    "",
    "/",
    "//",
    "/openai",
    "/openai/",
    "/openai/v1",
    "/openai/v1/",
    "/openai/v1/realtime/client_secrets",
    "/openai/deployments/voice-prod/chat/completions",
    "/openai/realtimeapi/sessions",
    "/api/projects/acme-project",
    "/api/projects/acme-project/openai/v1",
)
QUERIES = (
    "",
    "?api-version=2025-04-01-preview",
    "?api-version=2024-10-21&x=1",
    "#fragment",
    "?api-version=v1#x",
)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", PATHS)
def test_every_pasted_form_of_an_azure_endpoint_gives_the_same_url(host: str, path: str) -> None:
    for query, scheme in itertools.product(QUERIES, ("https://", "HTTPS://", "")):
        for spelling in (host, host.upper(), host.title()):
            pasted = f"{scheme}{spelling}{path}{query}"
            assert Azure().base_url(pasted) == f"https://{host}/openai/v1", pasted
            assert Azure().base_url(f"  {pasted}\n") == f"https://{host}/openai/v1", pasted


def test_a_port_and_plain_http_are_kept_for_a_provider_in_a_box() -> None:
    assert Azure().base_url("http://127.0.0.1:8092/openai/") == "http://127.0.0.1:8092/openai/v1"
    assert Azure().base_url(f"{HOSTS[0]}:8443/openai") == f"https://{HOSTS[0]}:8443/openai/v1"
    assert Azure().base_url("http://[::1]:8092") == "http://[::1]:8092/openai/v1"


@given(
    host=st.sampled_from(HOSTS),
    path=st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), max_size=40),
    query=st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), max_size=40),
)
def test_no_url_for_azure_ever_carries_an_api_version(host: str, path: str, query: str) -> None:
    base_url = Azure().base_url(f"https://{host}/{path}api-version?api-version={query}&api-version=1")
    place = deployment("azure", base_url=base_url)
    mint = Azure().mint_request(place, mint_request())
    relay = Azure().relay_request(place, Secret(EPHEMERAL_KEY), offer(b"v=0"))
    assert mint.url == f"https://{host}/openai/v1/realtime/client_secrets"
    assert relay.url == f"https://{host}/openai/v1/realtime/calls"
    for url in (mint.url, relay.url):
        assert not urlsplit(url).query
        assert "api-version" not in url


def test_without_a_base_url_openai_is_openai() -> None:
    assert OpenAI().base_url(None) == DEFAULT_BASE_URL == "https://api.openai.com/v1"


@pytest.mark.parametrize(
    ("pasted", "reduced"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("  https://eu.api.openai.com/v1//\n", "https://eu.api.openai.com/v1"),
        ("https://api.inworld.ai/v1", "https://api.inworld.ai/v1"),
        ("http://127.0.0.1:9000/proxy/openai/v1", "http://127.0.0.1:9000/proxy/openai/v1"),
        ("https://voice.example", "https://voice.example"),
    ],
)
def test_another_provider_with_openais_paths_works_by_its_base_url_alone(pasted: str, reduced: str) -> None:
    assert OpenAI().base_url(pasted) == reduced


NO_URLS = [
    "",
    "   ",
    "ftp://api.openai.com/v1",
    "file:///etc/passwd",
    "https://",
    "https:///v1",
    "//",
    "https://user@api.openai.com/v1",
    "https://user:opensesame@api.openai.com/v1",
    "https://:opensesame@api.openai.com/v1",
    "https://@api.openai.com/v1",
    "https://api.openai.com:opensesame/v1",
    "https://api.openai.com:99999/v1",
    "https://[::1/v1",
    "https://api.openai.com[::1]/v1",
    "https://[::1]opensesame/v1",
    "https://api.open ai.com/v1",
    "https://api.openai.com\\@opensesame/v1",
    "https://opensesame\u2100@x/v1",
]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("pasted", NO_URLS)
def test_what_is_no_url_of_a_provider_is_refused_without_being_quoted(provider: str, pasted: str) -> None:
    with pytest.raises(ValueError, match="base_url must") as refused:
        PROVIDERS[provider].base_url(pasted)
    assert "opensesame" not in str(refused.value)


@pytest.mark.parametrize(
    "pasted", ["https://api.openai.com/v1?key=opensesame", "https://api.openai.com/v1#a"]
)
def test_a_query_or_fragment_is_refused_where_it_would_be_lost(pasted: str) -> None:
    with pytest.raises(ValueError, match="without user, query or fragment") as refused:
        OpenAI().base_url(pasted)
    assert "opensesame" not in str(refused.value)


def test_azure_needs_an_endpoint() -> None:
    with pytest.raises(ValueError, match=r"https://NAME\.openai\.azure\.com"):
        Azure().base_url(None)
