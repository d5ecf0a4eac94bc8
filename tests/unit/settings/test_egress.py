"""The settings of the way out: their form, what goes together, and that no password of a proxy shows."""

from __future__ import annotations

from pathlib import Path

import pytest

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
