"""The way out as it is configured: a proxy's URL, the environment's proxies, files of certificates."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.models import Secret
from app.outbound.egress import BadFile, Certificates, Egress, environment_proxies, parse_proxy
from app.outbound.http1 import Origin
from tests.support.certificates import make_certificates

PROVIDER = Origin(secure=True, host="api.openai.com", port=443)
NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "REQUEST_METHOD")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("text", "origin", "pair"),
    [
        ("http://proxy:3128", Origin(False, "proxy", 3128), None),
        ("proxy.example:3128", Origin(False, "proxy.example", 3128), None),
        ("http://proxy", Origin(False, "proxy", 80), None),
        ("https://proxy/", Origin(True, "proxy", 443), None),
        ("http://[::1]:3128", Origin(False, "::1", 3128), None),
        ("http://cloak:secret@proxy:3128", Origin(False, "proxy", 3128), "cloak:secret"),
        ("http://cloak:p%40ss%3Aw%2F%C3%A9@proxy:1", Origin(False, "proxy", 1), "cloak:p@ss:w/é"),
        ("http://cloak@proxy:1", Origin(False, "proxy", 1), "cloak:"),
    ],
)
def test_a_proxy_is_read_with_its_credentials(text: str, origin: Origin, pair: str | None) -> None:
    proxy = parse_proxy(text)
    assert proxy.origin == origin
    expected = f"Basic {base64.b64encode(pair.encode()).decode()}" if pair is not None else None
    assert proxy.authorization == (Secret(expected) if expected is not None else None)
    shown = f"{proxy} {proxy!r}"
    assert "secret" not in shown
    assert pair is None or pair not in shown
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    assert str(proxy) == f"{host}:{origin.port}"


def test_the_request_for_a_tunnel_names_the_target_and_the_credentials() -> None:
    request = parse_proxy("http://cloak:secret@proxy:3128").connect_request(Origin(True, "::1", 8443))
    assert request == (
        b"CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n"
        b"Proxy-Authorization: Basic Y2xvYWs6c2VjcmV0\r\n\r\n"
    )
    assert b"Authorization" not in parse_proxy("http://proxy:3128").connect_request(PROVIDER)


@pytest.mark.parametrize(
    "text",
    [
        "socks5://secret@proxy:1080",
        "http://",
        "http://secret@",
        "http://proxy:port",
        "http://proxy[::1]:3128",
        "http://cloak:[secret]@proxy:3128",
        "http://proxy:99999",
        "http://proxy:0",
        "http://%\u037a@proxy:3128",
        "http://cloak:s\\ecret@proxy:3128",
        "http://proxy:3128/path",
        "http://proxy:3128?secret",
        "http://proxy:3128#secret",
        "http://pro xy:3128",
        "http://proxy:3128\r\nX-Secret: 1",
        "http://us%3Aer:secret@proxy:3128",
        "http://secret@ü.example:1",
        "http://[::1:3128",
    ],
)
def test_what_is_no_proxy_is_refused_with_the_form_and_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="must look like http://user:password@proxy") as refused:
        parse_proxy(text)
    assert "ecret" not in str(refused.value)


def test_the_environments_proxies_by_scheme_and_lower_case_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://upper:1")
    monkeypatch.setenv("https_proxy", "http://cloak:word@lower:2")
    monkeypatch.setenv("HTTP_PROXY", "plain:3")
    monkeypatch.setenv("NO_PROXY", "localhost,.internal")
    proxies, no_proxy = environment_proxies()
    assert {scheme: str(proxy) for scheme, proxy in proxies.items()} == {
        "http": "plain:3",
        "https": "lower:2",
    }
    assert no_proxy == "localhost,.internal"


def test_an_environment_without_proxies_gives_none() -> None:
    assert environment_proxies() == ({}, "")


def test_a_variable_that_names_no_proxy_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://cloak:s3cret@proxy:1080")
    with pytest.raises(ValueError, match=r"\AHTTPS_PROXY: must look like") as refused:
        environment_proxies()
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("", False),
        ("api.openai.com", True),
        ("openai.com", True),
        (".openai.com", True),
        ("API.OpenAI.com", True),
        ("api.openai.com:443", True),
        ("api.openai.com:8443", False),
        ("example.com, api.openai.com", True),
        ("penai.com", False),
        ("*", True),
    ],
)
def test_hosts_of_no_proxy_are_reached_directly(no_proxy: str, direct: bool) -> None:
    proxy = parse_proxy("proxy:3128")
    egress = Egress({"https": proxy}, no_proxy)
    assert egress.proxy_for(PROVIDER) == (None if direct else proxy)
    assert egress.proxy_for(PROVIDER._replace(secure=False)) is None


def test_files_that_are_right_make_a_context(tmp_path: Path) -> None:
    trusted, chain = make_certificates(tmp_path)
    context = Certificates(str(trusted), str(chain), str(chain)).trust_and_show()
    assert "test authority" in str([ca["subject"] for ca in context.get_ca_certs()])
    Certificates(client_cert_file=str(chain)).trust_and_show()


def test_all_who_send_share_a_context_and_only_one_shows_the_certificate(tmp_path: Path) -> None:
    _, chain = make_certificates(tmp_path)
    plain, showing = Certificates(), Certificates(client_cert_file=str(chain))
    assert plain.trust() is plain.trust_and_show()
    assert showing.trust_and_show() is showing.trust_and_show()
    assert showing.trust() is not showing.trust_and_show()


def _bad(certificates: Certificates) -> tuple[str, str]:
    with pytest.raises(BadFile) as refused:
        certificates.trust_and_show()
    return refused.value.which, str(refused.value)


def test_files_that_are_wrong_are_told_by_field_and_reason(tmp_path: Path) -> None:
    trusted, chain = make_certificates(tmp_path)
    text, absent, locked = tmp_path / "text.pem", tmp_path / "absent.pem", tmp_path / "locked.pem"
    text.write_text("not a certificate")
    other = ec.generate_private_key(ec.SECP256R1())
    foreign = tmp_path / "foreign.pem"
    foreign.write_bytes(
        other.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    locked.write_bytes(
        other.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"a passphrase"),
        )
    )
    ca, pair = str(trusted), str(chain)
    for bad, which, reason in (
        (Certificates(str(absent)), "ca_file", "cannot be read (No such file or directory)"),
        (Certificates(str(tmp_path)), "ca_file", "cannot be read (Is a directory)"),
        (Certificates(str(text)), "ca_file", "holds no certificate"),
        (Certificates(ca, str(absent)), "client_cert_file", "cannot be read"),
        (Certificates(ca, str(text)), "client_cert_file", "holds no certificate"),
        (Certificates(ca, pair, str(absent)), "client_key_file", "cannot be read"),
        (Certificates(ca, pair, str(text)), "client_key_file", "holds no usable key"),
        (Certificates(ca, ca), "client_key_file", "holds no usable key"),
        (Certificates(ca, pair, str(locked)), "client_key_file", "without a passphrase"),
        (Certificates(ca, pair, str(foreign)), "client_key_file", "is not the key of the certificate in"),
    ):
        found = _bad(bad)
        assert found[0] == which, (bad, found)
        assert reason in found[1], (bad, found)
