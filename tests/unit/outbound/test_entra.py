"""azure-identity's own code against a strict token endpoint: every kind of sign-in, and every refusal."""

from __future__ import annotations

import base64
import json
import os
import stat
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.models import Secret
from app.outbound.addresses import SETTING, Guard
from app.outbound.egress import Certificates, Egress, parse_proxy
from app.outbound.entra import EntraIdentity, MissingExtra, entra_fetch, guard_for
from app.outbound.keeping.tokens import FreshToken, TokenFault
from tests.support.egress import ON_LOOPBACK, here
from tests.support.entra import FakeEntra, RunningEntra, start_entra
from tests.support.proxy import TunnelProxy

TOKEN = "eyJ0eXAiOiJKV1QifQ.eyJhdWQiOiJhenVyZSJ9.c2lnbmF0dXJl"
PLACE = "deployments.az.entra"
SCOPE_RESOURCE = "https://cognitiveservices.azure.com"
NOT_SIGNED_IN = "ERROR: Please run az login to setup account."


@pytest.fixture
async def entra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningEntra]:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    running = await start_entra(FakeEntra(tokens=[TOKEN]), tmp_path)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", running.authority)
    yield running
    await running.server.close()


def identity(running: RunningEntra, **changes: Any) -> EntraIdentity:
    entra = running.entra
    values: dict[str, Any] = {
        "kind": "client_secret",
        "tenant_id": entra.tenant_id,
        "client_id": entra.client_id,
        "client_secret": Secret(entra.client_secret),
    }
    return EntraIdentity(place=PLACE, **{**values, **changes})


def trusting(running: RunningEntra, **changes: Any) -> Egress:
    return Egress(certificates=Certificates(ca_file=str(running.trusted)), guard=ON_LOOPBACK, **changes)


async def fetched(running: RunningEntra, who: EntraIdentity) -> FreshToken:
    return await entra_fetch(who, clock=time.time, egress=trusting(running))()


async def fault(running: RunningEntra, who: EntraIdentity) -> str:
    with pytest.raises(TokenFault) as failed:
        await fetched(running, who)
    text = f"{failed.value} {failed.value!r}"
    assert running.entra.client_secret not in text
    assert TOKEN not in text
    return str(failed.value)


async def test_a_client_secret_gives_a_token_for_azures_scope(entra: RunningEntra) -> None:
    before = time.time()
    token = await fetched(entra, identity(entra))
    assert token.value == Secret(TOKEN)
    assert before + 3599 <= token.expires_at <= time.time() + 3600
    # Entra named no time to renew: five minutes ahead.
    assert token.refresh_at == token.expires_at - 300
    assert entra.entra.requests == [
        {"grant_type": "client_credentials", "scope": "https://cognitiveservices.azure.com/.default"}
    ]


async def test_the_time_to_renew_that_entra_names_counts(entra: RunningEntra) -> None:
    entra.entra.life, entra.entra.refresh_in = 86_400, 43_200
    token = await fetched(entra, identity(entra))
    assert 43_190 <= token.expires_at - token.refresh_at <= 43_200


async def test_a_short_life_is_renewed_at_its_half(entra: RunningEntra) -> None:
    entra.entra.life = 60
    token = await fetched(entra, identity(entra))
    assert 28 <= token.expires_at - token.refresh_at <= 31


async def test_every_fetch_asks_entra_and_no_cache_hides_it(entra: RunningEntra) -> None:
    entra.entra.tokens = [TOKEN, TOKEN + "2"]
    fetch = entra_fetch(identity(entra), clock=time.time, egress=trusting(entra))
    assert [(await fetch()).value.reveal() for _ in range(2)] == [TOKEN, TOKEN + "2"]
    assert len(entra.entra.requests) == 2


async def test_a_workload_signs_in_with_its_projected_token(
    entra: RunningEntra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entra.entra.assertion = "eyJ.service-account.token"
    projected = tmp_path / "token"
    projected.write_text(entra.entra.assertion)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(projected))
    who = identity(entra, kind="workload_identity", client_secret=None)
    assert (await fetched(entra, who)).value == Secret(TOKEN)
    projected.write_text("eyJ.another.subject")
    assert "no federated credential fits the workload's subject" in await fault(entra, who)
    projected.unlink()
    assert "AZURE_FEDERATED_TOKEN_FILE" in await fault(entra, who)
    monkeypatch.delenv("AZURE_FEDERATED_TOKEN_FILE")
    assert "AZURE_FEDERATED_TOKEN_FILE" in await fault(entra, who)


async def test_the_default_takes_what_the_environment_offers(
    entra: RunningEntra, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_TENANT_ID", entra.entra.tenant_id)
    monkeypatch.setenv("AZURE_CLIENT_ID", entra.entra.client_id)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", entra.entra.client_secret)
    who = EntraIdentity(place=PLACE, kind="default")
    assert (await fetched(entra, who)).value == Secret(TOKEN)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong-secret-value")
    text = await fault(entra, who)
    assert "AADSTS7000215" in text
    assert "wrong-secret-value" not in text


async def test_the_azure_cli_is_asked_for_azures_resource_in_that_directory(
    entra: RunningEntra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    az = tmp_path / "bin" / "az"
    az.parent.mkdir()
    answer = {"accessToken": TOKEN, "expires_on": int(time.time()) + 3000, "tokenType": "Bearer"}
    words = f"account get-access-token --output json --resource {SCOPE_RESOURCE} --tenant contoso.example"
    az.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"if sys.argv[1:] != {words.split()!r}:\n    sys.exit('unexpected: ' + ' '.join(sys.argv))\n"
        f"print({json.dumps(json.dumps(answer))})\n"
    )
    az.chmod(az.stat().st_mode | stat.S_IXUSR)
    who = EntraIdentity(place=PLACE, kind="azure_cli", tenant_id="contoso.example")
    monkeypatch.setenv("PATH", str(az.parent))
    token = await fetched(entra, who)
    assert (token.value, token.expires_at) == (Secret(TOKEN), answer["expires_on"])
    az.write_text(
        f"#!{sys.executable}\nimport sys\nsys.exit('ERROR: Please run az login to setup account.')\n"
    )
    assert "run 'az login'" in await fault(entra, who)
    az.unlink()
    assert "run 'az login'" in await fault(entra, who)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"client_secret": Secret("the-id-instead")}, f"set {PLACE}.client_secret to its value, not its id"),
        ({"client_id": "another-app"}, f"check {PLACE}.client_id and {PLACE}.tenant_id (AADSTS700016)"),
        ({"tenant_id": "nowhere.example"}, f"check {PLACE}.tenant_id (AADSTS90002)"),
    ],
)
async def test_what_entra_refuses_is_told_by_the_setting_to_change(
    entra: RunningEntra, changes: dict[str, Any], says: str
) -> None:
    text = await fault(entra, identity(entra, **changes))
    assert says in text
    assert "the-id-instead" not in text


@pytest.mark.parametrize("status", [200, 403, 500])
async def test_an_answer_that_is_no_token_is_a_fault_and_not_a_token(
    entra: RunningEntra, status: int
) -> None:
    entra.entra.outage = status
    text = await fault(entra, identity(entra))
    assert PLACE in text or "AZURE_AUTHORITY_HOST" in text


async def test_an_authority_with_a_foreign_certificate_gets_no_secret(entra: RunningEntra) -> None:
    fetch = entra_fetch(identity(entra), clock=time.time, egress=here())
    with pytest.raises(TokenFault, match="AZURE_AUTHORITY_HOST"):
        await fetch()
    assert entra.entra.requests == []


def test_a_plain_authority_is_refused_by_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret would go over the wire in clear."""
    import azure.identity.aio

    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "http://login.example")
    with pytest.raises(ValueError, match="https"):
        azure.identity.aio.ClientSecretCredential("t", "c", base64.b64encode(b"x").decode())


def test_without_the_extra_it_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity.aio", None)
    with pytest.raises(MissingExtra):
        entra_fetch(EntraIdentity(place=PLACE, kind="default"), clock=time.time)


@pytest.mark.parametrize("kind", ["client_secret", "default"])
async def test_a_token_comes_through_the_same_proxy_as_requests(
    entra: RunningEntra, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("AZURE_TENANT_ID", entra.entra.tenant_id)
    monkeypatch.setenv("AZURE_CLIENT_ID", entra.entra.client_id)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", entra.entra.client_secret)
    who = identity(entra) if kind == "client_secret" else EntraIdentity(place=PLACE, kind="default")
    async with TunnelProxy(user="cloak", password="p@ss:w/rd") as proxy:
        proxies = {"https": parse_proxy(proxy.url(password="p%40ss%3Aw%2Frd"))}
        fetch = entra_fetch(who, clock=time.time, egress=trusting(entra, proxies=proxies))
        for _ in range(2):
            assert (await fetch()).value == Secret(TOKEN)
        assert set(proxy.tunnels) == {entra.authority.removeprefix("https://")}
        around = trusting(entra, proxies=proxies, no_proxy="127.0.0.1")
        before = len(proxy.tunnels)
        assert (await entra_fetch(who, clock=time.time, egress=around)()).value == Secret(TOKEN)
        assert len(proxy.tunnels) == before


async def test_a_proxy_that_refuses_is_a_fault_without_its_credentials(entra: RunningEntra) -> None:
    async with TunnelProxy(user="cloak", password="right") as proxy:
        proxies = {"https": parse_proxy(proxy.url(password="s3cret"))}
        fetch = entra_fetch(identity(entra), clock=time.time, egress=trusting(entra, proxies=proxies))
        with pytest.raises(TokenFault) as failed:
            await fetch()
        assert proxy.refused > 0
    assert entra.entra.requests == []
    assert "s3cret" not in f"{failed.value} {failed.value!r}"
    assert f"the proxy 127.0.0.1:{proxy.port}" in str(failed.value)


async def test_the_environments_proxy_is_not_used_unasked(
    entra: RunningEntra, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert (await fetched(entra, identity(entra))).value == Secret(TOKEN)


# --- addresses -------------------------------------------------------------------------------------


async def test_an_authority_inside_is_not_asked_and_the_setting_is_named(entra: RunningEntra) -> None:
    egress = Egress(certificates=Certificates(ca_file=str(entra.trusted)))
    with pytest.raises(TokenFault, match=f"127.0.0.1 is this machine, and {SETTING} is not set to open it"):
        await entra_fetch(identity(entra), clock=time.time, egress=egress)()
    assert entra.entra.requests == []


def test_only_the_sign_in_that_asks_for_a_managed_identity_may_ask_the_metadata_service() -> None:
    imds, app_service = "169.254.169.254", "172.16.1.2"
    environ = {"IDENTITY_ENDPOINT": f"http://{app_service}:8081/msi/token"}
    for kind in ("client_secret", "workload_identity", "azure_cli"):
        who = EntraIdentity(place=PLACE, kind=kind)
        assert guard_for(who, Egress(), environ) == Guard()
    default = guard_for(EntraIdentity(place=PLACE, kind="default"), Egress(), environ)
    assert default.refusal(imds) is None
    assert default.refusal(app_service) is None
    for other in ("172.16.1.3", "127.0.0.1", "169.254.170.2", "fd00:ec2::254", "168.63.129.16"):
        assert default.refusal(other) is not None, other


@pytest.mark.parametrize(
    ("endpoint", "opened"),
    [
        ("http://localhost:40342/metadata", True),
        ("http://[::1]:1/x", True),
        ("", False),
        ("http://[bad", False),
        ("http://metadata.evil.example/", False),
    ],
)
def test_a_platform_s_endpoint_opens_its_own_address_and_no_name(endpoint: str, opened: bool) -> None:
    who = EntraIdentity(place=PLACE, kind="default")
    guard = guard_for(who, Egress(), {"IMDS_ENDPOINT": endpoint})
    assert (guard.refusal("::1") is None) is opened
    assert guard.refusal("10.0.0.1") is not None


def test_through_a_proxy_what_is_dialled_is_the_proxy() -> None:
    proxies = {"https": parse_proxy("http://10.0.0.9:3128")}
    who = EntraIdentity(place=PLACE, kind="client_secret")
    guard = guard_for(who, Egress(proxies), {})
    assert guard.refusal("10.0.0.9") is None
    assert guard.refusal("169.254.169.254") is not None
