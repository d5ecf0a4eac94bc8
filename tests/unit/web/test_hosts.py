"""Which names in ``Host`` are the service's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.cors import HostPolicy

PATH = "/v1/realtime/client_secrets"
POLICY = HostPolicy(["voice.example.com", "*.svc.cluster.local"], public_url="https://Talk.example.com:8443")


@pytest.mark.parametrize(
    "host",
    [
        "voice.example.com",
        "voice.example.com:8080",
        "VOICE.Example.COM",
        "voice.example.com.",
        "voice.example.com.:443",
        "cloakroom.voice.svc.cluster.local:8080",
        "talk.example.com",
        "talk.example.com:8443",
        # An address is nobody's name.
        "10.0.0.7",
        "10.0.0.7:8080",
        "[::1]",
        "[::1]:8080",
        "[fd00::7]:8080",
        # As aiohttp has it from a request line with a whole URL.
        "::1",
    ],
)
def test_the_names_of_the_service_and_addresses_are_allowed(host: str) -> None:
    assert POLICY.allows(host, PATH)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "voice.example.com.evil.example",
        "evil-voice.example.com",
        "svc.cluster.local",
        "localhost",
        "",
        ":8080",
        "voice.example.com@evil.example",
        "evil.example:80@voice.example.com",
        "voice.example.com:80@evil.example",
        "voice.example.com:evil",
        "voice.example.com/evil.example",
        "voice.example.com, evil.example",
        "[::1].evil.example",
        "[::1]evil.example:80",
        "10.0.0.7.evil.example",
        "10.0.0.7:80.evil.example",
        "127.1",
        "2130706433",
        "x\udc80.svc.cluster.local",
        "evil.example\u2024svc.cluster.local",
    ],
)
def test_any_other_name_is_refused(host: str) -> None:
    assert not POLICY.allows(host, PATH)
    for path in ("/metrics", "/admin/v1/handles", "/demo", "/", "/livez/x", "/docs"):
        assert not POLICY.allows(host, path)


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_may_call_it_anything(path: str) -> None:
    assert POLICY.allows("evil.example", path)
    assert POLICY.allows("", path)


@given(st.text(max_size=60))
def test_no_text_makes_it_fail(host: str) -> None:
    assert HostPolicy(["a.example"], public_url=None).allows(host, PATH) in (True, False)
