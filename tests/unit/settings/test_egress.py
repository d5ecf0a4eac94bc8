"""The settings of the way out: their form, what goes together, and that no password of a proxy shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.outbound.addresses import LOOPBACK, Guard
from app.outbound.http1 import Origin
from app.settings import Settings, SettingsError, load_settings
from app.settings.secrets import masked_settings
from app.wiring import WiringError, build_egress
from tests.support.certificates import make_certificates
from tests.support.planted import Planted

PROXY = "http://cloak:s3cret-of-the-proxy@proxy.example:3128"
OPENAI = Origin(secure=True, host="api.openai.com", port=443)


def settings(**names: str) -> Settings:
    more = {f"CLOAKROOM_{name}": value for name, value in names.items()}
    return load_settings(Planted().environment(OPENAI_API_KEY="sk-of-the-test-2026", **more))


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_by_default_requests_leave_directly_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://environment:1")
    assert build_egress(settings()).proxy_for(OPENAI) is None


def test_the_environments_proxy_and_its_exceptions_count_when_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://environment:1")
    monkeypatch.setenv("NO_PROXY", "azure.com")
    egress = build_egress(settings(TRUST_ENVIRONMENT_PROXY="true"))
    assert str(egress.proxy_for(OPENAI)) == "environment:1"
    assert egress.proxy_for(OPENAI._replace(host="x.openai.azure.com")) is None
    assert egress.source == "HTTPS_PROXY"


def test_an_explicit_proxy_wins_and_has_no_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://environment:1")
    monkeypatch.setenv("NO_PROXY", "*")
    egress = build_egress(settings(PROVIDER_PROXY=PROXY, TRUST_ENVIRONMENT_PROXY="true"))
    assert str(egress.proxy_for(OPENAI)) == "proxy.example:3128"
    assert str(egress.proxy_for(OPENAI._replace(secure=False, port=80))) == "proxy.example:3128"


def test_the_proxys_password_shows_nowhere() -> None:
    made = settings(PROVIDER_PROXY=PROXY)
    assert masked_settings(made)["provider_proxy"] == "http://***@proxy.example:3128"
    for text in (repr(made), str(made), repr(build_egress(made)), str(masked_settings(made))):
        assert "s3cret" not in text
        assert "czNjcmV0" not in text


def test_a_proxy_of_another_form_is_refused_with_the_form() -> None:
    with pytest.raises(SettingsError) as refused:
        settings(PROVIDER_PROXY="socks5://cloak:s3cret@proxy:1080")
    assert str(refused.value).startswith(
        "CLOAKROOM_PROVIDER_PROXY: must look like http://user:password@proxy"
    )
    assert "s3cret" not in str(refused.value)


def test_a_variable_of_the_environment_that_is_no_proxy_is_told_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "ftp://cloak:s3cret@proxy")
    with pytest.raises(WiringError, match=r"\AHTTP_PROXY: must look like http://"):
        build_egress(settings(TRUST_ENVIRONMENT_PROXY="true"))


def test_a_key_without_its_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="without CLOAKROOM_PROVIDER_CLIENT_CERT_FILE"):
        settings(PROVIDER_CLIENT_KEY_FILE=str(tmp_path / "key.pem"))


def test_files_are_read_at_the_start_and_told_by_their_setting(tmp_path: Path) -> None:
    trusted, chain = make_certificates(tmp_path)
    good = settings(PROVIDER_CA_FILE=str(trusted), PROVIDER_CLIENT_CERT_FILE=str(chain))
    assert build_egress(good).certificates.ca_file == str(trusted)
    absent = str(tmp_path / "absent.pem")
    for name in ("PROVIDER_CA_FILE", "PROVIDER_CLIENT_CERT_FILE"):
        with pytest.raises(WiringError, match=rf"\ACLOAKROOM_{name}: {absent} cannot be read \(No such file"):
            build_egress(settings(**{name: absent}))


# --- addresses, and http ---------------------------------------------------------------------------


def test_production_dials_public_addresses_only_and_development_this_machine_too() -> None:
    assert build_egress(settings(ENVIRONMENT="production", REDIS_URL="redis://x")).guard == Guard()
    assert build_egress(settings()).guard == Guard(LOOPBACK)


def test_the_networks_that_are_listed_are_opened_and_then_no_other() -> None:
    guard = build_egress(settings(PRIVATE_NETWORKS="10.20.0.0/16, fd12::/32,169.254.169.254")).guard
    assert [str(network) for network in guard.networks] == ["10.20.0.0/16", "fd12::/32", "169.254.169.254/32"]
    assert guard.refusal("127.0.0.1") is not None


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (
            {"PRIVATE_NETWORKS": "10.20.1.1/16"},
            "PRIVATE_NETWORKS: '10.20.1.1/16' is an address within a network",
        ),
        ({"PRIVATE_NETWORKS": "10.0.0.0/8,localai"}, "PRIVATE_NETWORKS: 'localai' is no network"),
        ({"PLAIN_HTTP_HOSTS": "http://localai"}, "PLAIN_HTTP_HOSTS: 'http://localai' is no host"),
        ({"PLAIN_HTTP_HOSTS": "localai:8080"}, "PLAIN_HTTP_HOSTS: 'localai:8080' is no host"),
        ({"ALLOWED_HOSTS": "https://voice.example"}, "ALLOWED_HOSTS: 'https://voice.example' is no name"),
        ({"ALLOWED_HOSTS": "voice.example:443"}, "ALLOWED_HOSTS: 'voice.example:443' is no name"),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS: '*' is no name"),
        ({"ALLOWED_HOSTS": "a.*.example"}, "ALLOWED_HOSTS: 'a.*.example' is no name"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_form(names: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings(**names)
    assert f"CLOAKROOM_{says}" in str(refused.value)


def deployed(url: str, field: str = "base_url", **names: str) -> Settings:
    other = {"base_url": "https://x.openai.azure.com", "webrtc_url": "https://rtc.example"}
    place = {"provider": "azure-preview", "model": "voice", "api_key": "k" * 24, **other, field: url}
    return settings(DEPLOYMENTS=json.dumps({"voice": place}), MODELS='{"*": "voice"}', **names)


@pytest.mark.parametrize("field", ["base_url", "webrtc_url"])
def test_a_provider_without_tls_is_refused_unless_its_host_is_listed(field: str) -> None:
    with pytest.raises(SettingsError) as refused:
        deployed("http://Gateway.internal:8080", field)
    line = str(refused.value)
    assert line.startswith(
        f"deployments.voice.{field}: http sends credentials and offers in clear; write https"
    )
    assert "put gateway.internal into CLOAKROOM_PLAIN_HTTP_HOSTS" in line
    made = deployed("http://Gateway.internal:8080", field, PLAIN_HTTP_HOSTS="other, GATEWAY.internal")
    assert list(made.deployments) == ["voice"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1:99", "[::1]:8080"])
def test_this_machine_may_be_asked_by_http(host: str) -> None:
    assert list(deployed(f"http://{host}").deployments) == ["voice"]


@pytest.mark.parametrize("host", ["127.0.0.1.evil.example", "localhost.evil.example", "[::2]", "10.0.0.1"])
def test_what_only_looks_like_this_machine_may_not(host: str) -> None:
    with pytest.raises(SettingsError, match="in clear"):
        deployed(f"http://{host}")


@pytest.mark.parametrize("section", ["deployments", "models", "clients"])
def test_a_name_that_shows_as_another_one_is_refused(section: str) -> None:
    spoofed = "voice\u202eecart"
    sections: dict[str, Any] = {
        "deployments": {"voice": {"provider": "openai", "api_key": "k" * 24}},
        "models": {"*": "voice", "m": "voice"},
        "clients": {"kiosk": {"api_key": "ck_7Qz4YtWmP1nXcVbKjHgFdSaRe"}},
    }
    sections[section][spoofed] = next(iter(sections[section].values()))
    with pytest.raises(SettingsError) as refused:
        settings(**{name.upper(): json.dumps(value) for name, value in sections.items()})
    assert f"{section}: the name 'voice\\u202eecart' has characters that do not show" in str(refused.value)
    assert "\u202e" not in str(refused.value)
