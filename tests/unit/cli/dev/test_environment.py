"""What ``cloakroom dev`` tells its children."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.dev.environment import (
    Run,
    RunSecrets,
    names_a_provider,
    replica_environment,
    sandbox_environment,
)
from app.cli.dev.recipe import model_to_ask_for, page_url, printable_client_key
from app.settings.load import load_settings


def told(user: dict[str, str], sandbox_url: str | None = "http://127.0.0.1:9") -> dict[str, str]:
    run = Run("127.0.0.1", "redis://127.0.0.1:6379/0", RunSecrets.fresh(), sandbox_url)
    return replica_environment(user, run, index=1, port=8081)


def test_the_settings_take_it_as_it_is() -> None:
    settings = load_settings(told({"PATH": "/bin"}))
    assert (settings.replica, settings.port, settings.environment) == ("replica-b", 8081, "development")
    assert settings.deployments["openai"].base_url == "http://127.0.0.1:9/v1"
    assert settings.cors_origins == ("*",)


def test_users_of_the_provider_in_a_box_can_sign_in_on_the_page() -> None:
    issuer = load_settings(told({})).issuers["sandbox"]
    assert issuer.issuer == "http://127.0.0.1:9/issuer"
    assert issuer.users is not None
    assert (issuer.users.client, issuer.users.page_client_id) == ("dev", "cloakroom-demo")
    # Not where the client of the run is not there, nor where the provider is the user's own.
    own = told({"CLOAKROOM_API_KEYS": "mine:" + "0123456789abcdefghijklmnop"})
    assert load_settings(own).issuers == {}
    assert "CLOAKROOM_ISSUERS" not in told({}, sandbox_url=None)


def test_what_the_user_set_wins() -> None:
    user = {
        "CLOAKROOM_SIGNING_KEYS": "theirs",
        "CLOAKROOM_CORS_ORIGINS": "https://shop.example",
        "CLOAKROOM_ENVIRONMENT": "production",
        "CLOAKROOM_API_KEYS": "",
    }
    env = told(user)
    assert env["CLOAKROOM_SIGNING_KEYS"] == "theirs"
    assert env["CLOAKROOM_CORS_ORIGINS"] == "https://shop.example"
    assert env["CLOAKROOM_ENVIRONMENT"] == "production"
    assert env["CLOAKROOM_API_KEYS"].startswith("dev:ck_")  # an empty value sets nothing


def test_the_replicas_answer_to_this_machine_s_names_and_reach_its_provider() -> None:
    settings = load_settings(told({"CLOAKROOM_ENVIRONMENT": "production"}))
    assert settings.allowed_hosts == ("localhost",)
    assert settings.private_networks == ("127.0.0.0/8", "::1/128")
    for host, names in (("mybox.local", ("localhost", "mybox.local")), ("0.0.0.0", ("localhost",))):
        run = Run(host, "redis://127.0.0.1:1", RunSecrets.fresh(), sandbox_url=None)
        found = replica_environment({}, run, index=0, port=1)["CLOAKROOM_ALLOWED_HOSTS"]
        assert tuple(found.split(",")) == names


def test_what_the_users_file_sets_wins_too(tmp_path: Path) -> None:
    file = tmp_path / "cloakroom.yaml"
    file.write_text("cors_origins: https://shop.example\ndefault_model: voice\n")
    env = told({"CLOAKROOM_CONFIG": str(file)}, sandbox_url=None)
    assert "CLOAKROOM_CORS_ORIGINS" not in env
    assert "CLOAKROOM_SIGNING_KEYS" in env


def test_replicas_share_every_secret_and_runs_share_none() -> None:
    run = Run("h", "r", RunSecrets.fresh(), sandbox_url=None)
    first, second = (replica_environment({}, run, index=index, port=1) for index in (0, 1))
    names = [name for name in first if name.endswith("_KEYS")]
    assert len(names) == 4
    assert [first[name] for name in names] == [second[name] for name in names]
    assert not {told({})[name] for name in names} & {first[name] for name in names}


def test_the_provider_in_a_box_learns_its_key_and_none_of_the_services_secrets() -> None:
    secrets = RunSecrets.fresh()
    env = sandbox_environment({"PATH": "/bin", "CLOAKROOM_SIGNING_KEYS": "k:s"}, secrets)
    assert env == {"PATH": "/bin", "CLOAKROOM_SANDBOX_OPENAI_KEY": secrets.provider_key}


def test_a_run_shows_no_secret_in_its_repr() -> None:
    secrets = RunSecrets.fresh()
    assert secrets.client_key not in repr(secrets)
    assert secrets.signing not in repr(secrets)


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, False),
        ({"OPENAI_API_KEY": ""}, False),
        ({"OPENAI_BASE_URL": "http://x"}, False),
        ({"OPENAI_API_KEY": "sk-x"}, True),
        ({"AZURE_OPENAI_ENDPOINT": "https://x"}, True),
        ({"CLOAKROOM_CONFIG": "x.yaml"}, True),
        ({"CLOAKROOM_DEPLOYMENTS__A__PROVIDER": "openai"}, True),
    ],
)
def test_a_provider_of_the_users_own_is_noticed(environ: dict[str, str], named: bool) -> None:
    assert names_a_provider(environ) is named


@pytest.mark.parametrize(
    ("yaml", "model"),
    [
        ("default_model: voice\nmodels: {other: d}", "voice"),
        ("models: {'*': d, support: d}", "support"),
        ("models: {support: d, gpt-realtime-2.1: d}", "gpt-realtime-2.1"),
        ("[]", "gpt-realtime-2.1"),
        ("{", "gpt-realtime-2.1"),
    ],
)
def test_the_printed_mint_names_a_model_that_the_file_knows(yaml: str, model: str, tmp_path: Path) -> None:
    file = tmp_path / "cloakroom.yaml"
    file.write_text(yaml)
    assert model_to_ask_for({"CLOAKROOM_CONFIG": str(file)}) == model


def test_a_key_of_the_users_own_is_not_printed() -> None:
    secrets = RunSecrets.fresh()
    assert printable_client_key({}, secrets) == secrets.client_key
    shown = printable_client_key({"CLOAKROOM_API_KEYS": "shop:ck_very_own"}, secrets)
    assert shown.startswith("${CLIENT_KEY:?")
    assert "very_own" not in shown


def test_the_page_knows_every_replica_and_comes_with_the_runs_own_key() -> None:
    secrets = RunSecrets.fresh()
    replicas = (("replica-a", "http://127.0.0.1:8080"), ("replica-b", "http://127.0.0.1:8081"))
    run = Run("127.0.0.1", "redis://127.0.0.1:6379/0", secrets, "http://127.0.0.1:9", replicas)

    def told_with(user: dict[str, str]) -> dict[str, str]:
        return replica_environment(user, run, index=0, port=8080)

    told_default = told_with({})
    assert load_settings(told_default).demo_replicas == (
        "replica-a=http://127.0.0.1:8080",
        "replica-b=http://127.0.0.1:8081",
    )
    page = "http://127.0.0.1:8080/demo"
    assert page_url(replicas[0][1], told_default, secrets) == f"{page}#key={secrets.client_key}"
    theirs = told_with({"CLOAKROOM_API_KEYS": "shop:ck_abcdefghijklmnopqrstuvwxyz0123"})
    assert page_url(replicas[0][1], theirs, secrets) == page
    assert page_url(replicas[0][1], told_with({"CLOAKROOM_DEMO": "false"}), secrets) is None
