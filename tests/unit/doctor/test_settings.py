"""What the doctor says of settings that load: what is risky in production is a warning with its setting."""

from __future__ import annotations

import hashlib
import json

from app.doctor.finding import Finding
from app.doctor.settings import settings_findings, shared_secret_findings
from tests.unit.settings.environments import ADMIN_KEY, CLIENT_KEY, GOOD, OTHER_KEY, OWN, PLANTED, load
from tests.unit.values import OPENAI_KEY, ring, ring_secret

WELL = {
    "CLOAKROOM_ADMIN_KEYS": f"ops:{ADMIN_KEY}",
    "CLOAKROOM_CORS_ORIGINS": "https://app.example.com",
    "CLOAKROOM_PUBLIC_URL": "https://voice.example.com",
    "CLOAKROOM_ALLOWED_HOSTS": "voice.example.com,cloakroom",
    "CLOAKROOM_DEFAULT_MODEL": "gpt-realtime-2.1",
}


def rows(has_engine: bool = True, /, **changes: str) -> dict[str, Finding]:
    """By name; of several, the one that is not ok."""
    found: dict[str, Finding] = {}
    for row in settings_findings(load({**GOOD, **WELL}, **changes), has_engine=has_engine, cpus=4):
        assert not [secret for secret in PLANTED if secret in row.detail + row.fix]
        if row.name not in found or row.status != "ok":
            found[row.name] = row
    return found


def test_a_production_that_is_well_set_has_no_warning() -> None:
    found = rows()
    assert {row.status for row in found.values()} == {"ok"}, found
    assert found["environment"].detail == "production"


def test_what_is_risky_in_production_warns_and_names_the_setting() -> None:
    for changes, name, setting in [
        ({"CLOAKROOM_CORS_ORIGINS": ""}, "CORS", "CLOAKROOM_CORS_ORIGINS"),
        ({"CLOAKROOM_CORS_ORIGINS": "*"}, "CORS", "CLOAKROOM_CORS_ORIGINS"),
        ({"CLOAKROOM_PUBLIC_URL": ""}, "public URL", "CLOAKROOM_PUBLIC_URL"),
        ({"CLOAKROOM_PUBLIC_URL": "http://voice.example.com"}, "public URL", "CLOAKROOM_PUBLIC_URL"),
        ({"CLOAKROOM_ALLOWED_HOSTS": ""}, "allowed hosts", "CLOAKROOM_ALLOWED_HOSTS"),
        ({"CLOAKROOM_ADMIN_KEYS": ""}, "admin keys", "CLOAKROOM_ADMIN_KEYS"),
        ({"CLOAKROOM_DEMO": "true"}, "demo page", "CLOAKROOM_DEMO"),
    ]:
        row = rows(**changes)[name]
        assert row.status == "warn", changes
        assert setting in row.fix


def test_workers_are_told_with_what_their_limits_come_to() -> None:
    assert rows()["workers"].detail == "one process, which uses one CPU"
    assert rows(CLOAKROOM_WORKERS="auto")["workers"] == Finding(
        "settings",
        "workers",
        "ok",
        "4 processes, which together take 4,096 requests in flight, 1,024 sidebands, 4,096 held calls and "
        "256 connections to the store",
    )
    too_many = rows(CLOAKROOM_WORKERS="6")["workers"]
    assert (too_many.status, too_many.fix) == ("warn", "set CLOAKROOM_WORKERS=auto")
    assert "6 processes" in too_many.detail
    assert "4 CPUs" in too_many.detail


def test_ice_servers_are_named_and_weak_credentials_warn() -> None:
    assert "browsers connect directly" in rows()["ICE servers"].detail
    turn, secret = "turn:turn.example.com:3478", "Zr8Qe2LmX5vTn7Ks4Wc9Hy3Jd6Fb1Pga"

    def row(*servers: object, **more: str) -> Finding:
        return rows(CLOAKROOM_ICE=json.dumps({"servers": servers, **more}))["ICE servers"]

    sound = row("stun:turn.example.com", turn, turn_secret=secret)
    assert (sound.status, sound.detail) == (
        "ok",
        f"stun:turn.example.com, {turn}; credentials live 3600 s",
    )
    short = row(turn, turn_secret="north-wind")
    assert (short.status, "ice.turn_secret is short" in short.detail) == ("warn", True)
    fixed = row({"urls": turn, "username": "page", "credential": secret})
    assert (fixed.status, "a fixed credential" in fixed.detail) == ("warn", True)
    for found in (sound, short, fixed):
        assert secret not in found.detail + found.fix
        assert "north-wind" not in found.detail + found.fix


def test_a_turn_secret_that_is_also_a_clients_key_is_told() -> None:
    ice = json.dumps({"servers": ["turn:turn.example.com"], "turn_secret": CLIENT_KEY})
    (row,) = shared_secret_findings(load(CLOAKROOM_ICE=ice))
    assert (row.status, "ice.turn_secret" in row.detail) == ("warn", True)


def test_development_is_spared_what_only_matters_in_production() -> None:
    found = rows(
        CLOAKROOM_ENVIRONMENT="development",
        CLOAKROOM_CORS_ORIGINS="",
        CLOAKROOM_PUBLIC_URL="",
        CLOAKROOM_DEMO="true",
    )
    assert {row.status for row in found.values()} == {"ok"}


def test_without_a_store_it_says_which_one_serve_would_start() -> None:
    spared = {"CLOAKROOM_ENVIRONMENT": "development", "CLOAKROOM_REDIS_URL": ""}
    assert "an embedded server" in rows(**spared)["store"].detail
    assert "memory://" in rows(False, **spared)["store"].detail
    assert rows(**spared)["store"].status == "warn"


def test_rings_tell_which_key_is_in_use() -> None:
    found = rows(CLOAKROOM_SIGNING_KEYS=ring("new", "old"), CLOAKROOM_SEALING_KEYS=ring("b", "a", "z"))
    assert found["signing keys"].detail == "new signs (HS256); old verifies only"
    assert found["sealing keys"].detail == "b seals (AES-256-GCM); a, z unseal only"


def test_a_client_that_may_mint_for_nothing_is_pointed_out() -> None:
    clients = json.dumps({"mute": {"api_key": OTHER_KEY, "models": []}, "eu": {"api_key": ADMIN_KEY[::-1]}})
    found = rows(CLOAKROOM_CLIENTS=clients)
    assert found["clients"].status == "warn"
    assert found["clients"].detail == "mute may mint for no model"
    assert "clients.mute.models" in found["clients"].fix


def test_a_deployment_that_no_model_leads_to_is_pointed_out() -> None:
    deployments = {name: {"provider": "openai", "api_key": OPENAI_KEY} for name in ("used", "idle")}
    found = rows(
        CLOAKROOM_DEPLOYMENTS=json.dumps(deployments), CLOAKROOM_MODELS='{"gpt-realtime-2.1": "used"}'
    )
    assert found["models"].status == "warn"
    assert found["models"].detail == "no model leads to idle"


def test_models_uses_and_the_default_are_told() -> None:
    models = '{"*": "openai", "gpt-realtime-2.1": ["openai"]}'
    changes = {"CLOAKROOM_DEPLOYMENTS": f'{{"openai": {{"provider": "openai", "api_key": "{OPENAI_KEY}"}}}}'}
    found = rows(CLOAKROOM_MODELS=models, CLOAKROOM_HANDLE_MAX_CALLS="1", **changes)
    assert found["models"].detail == "any other name -> openai; gpt-realtime-2.1 -> openai"
    assert found["uses of a handle"].detail == "a handle opens 1 call"
    assert found["default model"].detail == "gpt-realtime-2.1"
    assert "as the provider allows" in rows()["uses of a handle"].detail
    assert (
        "is refused"
        in rows(CLOAKROOM_MODELS='{"gpt-realtime-2.1": "openai"}', CLOAKROOM_DEFAULT_MODEL="", **changes)[
            "default model"
        ].detail
    )


def test_one_secret_in_two_places_is_pointed_out_also_as_its_digest() -> None:
    (row,) = shared_secret_findings(load({**GOOD, **WELL}))
    assert row.status == "ok"
    same = ring_secret("sign1")
    for changes, places in [
        ({"CLOAKROOM_SEALING_KEYS": f"other:{same}"}, ("CLOAKROOM_SIGNING_KEYS", "CLOAKROOM_SEALING_KEYS")),
        (
            {"CLOAKROOM_ADMIN_KEYS": f"ops:{OPENAI_KEY}"},
            ("CLOAKROOM_ADMIN_KEYS (ops)", "a deployment's api_key"),
        ),
        (
            {"CLOAKROOM_API_KEYS": f"shop:{OPENAI_KEY}"},
            ("CLOAKROOM_API_KEYS (shop)", "a deployment's api_key"),
        ),
        (
            {"CLOAKROOM_API_KEYS": f"shop:{CLIENT_KEY},web:{_digest(CLIENT_KEY)}"},
            ("CLOAKROOM_API_KEYS (shop)", "CLOAKROOM_API_KEYS (web)"),
        ),
    ]:
        (row,) = shared_secret_findings(load({**GOOD, **WELL}, **changes))
        assert row.status == "warn"
        assert row.detail == f"{places[0]} and {places[1]} hold the same secret"
        assert "cloakroom keys new" in row.fix


def test_two_deployments_may_share_the_provider_s_key() -> None:
    deployments = {name: {"provider": "openai", "api_key": OPENAI_KEY} for name in ("a", "b")}
    settings = load(OWN, CLOAKROOM_DEPLOYMENTS=json.dumps(deployments), CLOAKROOM_MODELS='{"*": "a"}')
    (row,) = shared_secret_findings(settings)
    assert row.status == "ok"


def _digest(key: str) -> str:
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()
