"""``cloakroom doctor`` with a deployment that signs in with Microsoft Entra ID."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.sandbox import SandboxConfig
from app.store.embedded.engine import LocalEngine
from tests.support.clocks import PATIENCE
from tests.support.entra import FakeEntra, start_entra
from tests.support.planted import Planted
from tests.support.processes import ROOT
from tests.support.service import start_sandbox

TOKEN = "eyJ0eXAiOiJKV1QifQ.eyJudW1iZXIiOiI3In0.c2lnbmF0dXJlNw"
CONFIG = """\
deployments:
  voice:
    provider: azure
    base_url: {url}
    model: voice-prod
    entra: {{tenant_id: "${{TENANT}}", client_id: "${{CLIENT}}", client_secret: "${{CLIENT_SECRET}}"}}
models: {{gpt-realtime-2.1: voice}}
"""


@pytest.mark.parametrize(
    ("secret", "status", "rows"),
    [
        (None, 0, {"token": "ok", "mint": "ok"}),
        ("the-secrets-id-instead", 1, {"token": "fail", "mint": "fail"}),
    ],
    ids=["signed in", "wrong secret"],
)
async def test_the_token_is_a_row_of_its_own(
    secret: str | None,
    status: int,
    rows: dict[str, str],
    engine: LocalEngine,
    planted: Planted,
    tmp_path: Path,
) -> None:
    entra = FakeEntra(tokens=[TOKEN])
    sandbox = await start_sandbox(SandboxConfig(azure_keys=(), azure_tokens=(TOKEN,), peer="static"))
    running = await start_entra(entra, tmp_path)
    config = tmp_path / "cloakroom.yaml"
    config.write_text(CONFIG.format(url=sandbox.make_url("/")))
    environment = planted.environment(
        PATH=os.environ["PATH"],
        CLOAKROOM_REDIS_URL=engine.url,
        TENANT=entra.tenant_id,
        CLIENT=entra.client_id,
        CLIENT_SECRET=secret or entra.client_secret,
        AZURE_AUTHORITY_HOST=running.authority,
        SSL_CERT_FILE=str(running.trusted),
    )
    try:
        done = await asyncio.to_thread(doctor, "--config", str(config), environment)
    finally:
        await sandbox.close()
        await running.server.close()
    found: dict[str, Any] = {
        one["name"]: one for one in json.loads(done.stdout)["findings"] if one["subject"] == "voice"
    }
    assert done.returncode == status, done.stdout
    assert {name: found[name]["status"] for name in rows} == rows
    assert done.stderr == ""
    for hidden in (TOKEN, entra.client_secret, secret or TOKEN):
        assert hidden not in done.stdout
    if secret is not None:
        assert "deployments.voice.entra.client_secret to its value, not its id" in found["token"]["detail"]
        assert "deployments.voice.entra" in found["token"]["fix"]


def doctor(option: str, value: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the command; elsewhere than in the loop, since its endpoints live there."""
    return subprocess.run(
        [sys.executable, "-m", "app", "doctor", option, value, "--mint", "--json"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
