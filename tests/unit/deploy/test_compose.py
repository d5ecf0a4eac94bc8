"""docker-compose.yml against the settings, the command line and the files that it names."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from app.cli.keys.new import new
from app.sandbox.config import SandboxConfig
from app.settings import Settings, SettingsError, known_environment_names, load_settings
from app.store.embedded.engine import find_engine
from tests.support.clocks import PATIENCE, until
from tests.support.compose import (
    REPLICAS,
    ROOT,
    MissingVariable,
    environment_of,
    in_bytes,
    interpolate,
    load_compose,
    read_env_file,
    seconds,
    services,
)
from tests.support.store_server import wheels_server

PASSWORD = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def dotenv() -> dict[str, str]:
    """An .env file made as docs/deployment.md says."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        new()
    return read_env_file(printed.getvalue()) | {"REDIS_PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def demo() -> dict[str, str]:
    return read_env_file((ROOT / "deploy" / "demo.env").read_text(encoding="utf-8"))


def test_every_name_of_ours_is_one_that_the_settings_know() -> None:
    names = {name for replica in REPLICAS for name in services()[replica]["environment"]}
    ours = {name for name in names if name.startswith("CLOAKROOM_")}
    assert ours
    assert ours <= known_environment_names()


def test_the_replicas_start_with_a_real_provider(dotenv: dict[str, str]) -> None:
    variables = dotenv | {"OPENAI_API_KEY": "sk-anything"}
    settings = [load_settings(environment_of(replica, variables)) for replica in REPLICAS]
    assert [one.replica for one in settings] == list(REPLICAS)
    assert all(one.production for one in settings)
    url = settings[0].redis_url
    assert url is not None
    assert url.get_secret_value() == f"redis://cloakroom:{PASSWORD}@redis:6379/0"


def test_the_demo_points_them_at_the_provider_in_a_box(dotenv: dict[str, str], demo: dict[str, str]) -> None:
    azure = {"AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com", "OPENAI_API_KEY": "sk-real"}
    settings = load_settings(environment_of("replica-a", dotenv | azure | demo))
    assert set(settings.deployments) == {"openai"}
    deployment = settings.deployments["openai"]
    assert deployment.base_url == "http://sandbox:9090/v1"
    assert deployment.api_key is not None
    assert deployment.api_key.get_secret_value() in SandboxConfig().openai_keys


def test_without_a_provider_the_replicas_say_so(dotenv: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="no provider is configured"):
        load_settings(environment_of("replica-a", dotenv))


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("CLOAKROOM_SIGNING_KEYS", "cloakroom keys new"),
        ("CLOAKROOM_SEALING_KEYS", "cloakroom keys new"),
        ("CLOAKROOM_API_KEYS", "cloakroom keys new"),
        ("REDIS_PASSWORD", "openssl rand"),
    ],
)
def test_a_missing_secret_stops_compose_with_the_command_that_makes_one(
    dotenv: dict[str, str], name: str, mend: str
) -> None:
    without = {key: value for key, value in dotenv.items() if key != name}
    with pytest.raises(MissingVariable, match=mend) as caught:
        environment_of("replica-a", without)
    assert name in str(caught.value)


def test_the_replicas_share_everything_but_their_name() -> None:
    a, b = (dict(services()[replica]) for replica in REPLICAS)
    environments = [dict(one.pop("environment")) for one in (a, b)]
    assert a == b
    assert [one.pop("CLOAKROOM_REPLICA") for one in environments] == list(REPLICAS)
    assert environments[0] == environments[1]


@pytest.mark.parametrize("replica", REPLICAS)
def test_a_stop_leaves_time_to_drain_and_to_finish(replica: str, dotenv: dict[str, str]) -> None:
    settings = load_settings(environment_of(replica, dotenv | {"OPENAI_API_KEY": "sk-anything"}))
    slowest = settings.body_timeout_seconds + settings.relay_timeout_seconds
    assert settings.shutdown_seconds >= slowest
    grace = seconds(services()[replica]["stop_grace_period"])
    assert grace > settings.drain_seconds + settings.shutdown_seconds


def test_what_is_published_is_by_default_for_this_machine_alone() -> None:
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert {name: [interpolate(port, {}) for port in ports] for name, ports in published.items()} == {
        "load-balancer": ["127.0.0.1:8080:8080"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }


def test_the_store_is_reachable_from_the_replicas_alone() -> None:
    assert load_compose()["networks"]["store"]["internal"] is True
    on_it = {name for name, service in services().items() if "store" in service["networks"]}
    assert on_it == {"redis", *REPLICAS}
    assert services()["redis"]["networks"] == ["store"]


@pytest.mark.parametrize("name", sorted(services()))
def test_every_container_is_confined(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert in_bytes(service["deploy"]["resources"]["limits"]["memory"]) > 0


@pytest.mark.parametrize("name", sorted(services()))
def test_every_foreign_image_is_pinned_to_a_full_version(name: str) -> None:
    service = services()[name]
    if "build" not in service:
        assert service["image"].rpartition(":")[2].partition("-")[0].count(".") == 2, service["image"]


@pytest.mark.parametrize("name", sorted(services()))
def test_every_mounted_file_exists_and_is_mounted_to_be_read(name: str) -> None:
    for volume in services()[name].get("volumes", []):
        source, _, rest = volume.partition(":")
        if source.startswith("./"):
            assert (ROOT / source).exists(), volume
            assert rest.endswith(":ro")
        else:
            assert source in load_compose()["volumes"]


@pytest.mark.parametrize("name", sorted(services()))
def test_every_service_is_waited_for_until_it_is_healthy(name: str) -> None:
    for waited_for, how in services()[name].get("depends_on", {}).items():
        assert how["condition"] == "service_healthy"
        checked = services()[waited_for]
        # The health check of our own images is in the Dockerfile.
        assert "healthcheck" in checked or "build" in checked, waited_for


def test_only_profiles_start_what_is_not_needed() -> None:
    optional = {name: one["profiles"] for name, one in services().items() if "profiles" in one}
    observability = ["observability"]
    assert optional == {"sandbox": ["demo"], "prometheus": observability, "grafana": observability}
    for replica in REPLICAS:
        assert services()[replica]["depends_on"]["sandbox"]["required"] is False


def redis_configuration() -> dict[str, str]:
    text = (ROOT / "deploy" / "redis.conf").read_text(encoding="utf-8")
    lines = (line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value.strip('"') for name, value in lines}


def test_a_full_store_refuses_and_neither_evicts_nor_is_killed() -> None:
    redis = redis_configuration()
    assert redis["maxmemory-policy"] == "noeviction"
    limit = in_bytes(services()["redis"]["deploy"]["resources"]["limits"]["memory"])
    assert in_bytes(redis["maxmemory"]) * 1.25 <= limit


def test_nothing_of_the_store_is_kept_on_disk() -> None:
    redis = redis_configuration()
    assert (redis["save"], redis["appendonly"]) == ("", "no")


def test_the_store_s_image_has_the_version_that_the_tests_run_on() -> None:
    name, _, tag = services()["redis"]["image"].rpartition(":")
    server = wheels_server()
    assert name == "valkey/valkey"
    assert f"Valkey {tag.partition('-')[0]}" == str(server)


def test_the_store_has_a_place_for_every_connection_of_the_pools() -> None:
    pool = Settings.model_fields["redis_max_connections"].default
    assert int(redis_configuration()["maxclients"]) >= 2 * len(REPLICAS) * pool


@pytest.mark.parametrize("operators_password", ["", "fedcba9876543210"], ids=["no operator", "an operator"])
def test_the_stores_command_starts_a_server_with_the_users_of_the_acl_file(
    tmp_path: Path, operators_password: str
) -> None:
    # The script of the compose file as it stands, with this machine's server and a socket file for a port.
    engine, shell = find_engine(os.environ), shutil.which("sh")
    assert engine is not None
    assert shell is not None
    text = (ROOT / "deploy" / "redis.conf").read_text(encoding="utf-8")
    address = tmp_path / "s"
    config = tmp_path / "redis.conf"
    config.write_text(text.replace("port 6379", f"port 0\nunixsocket {address}"), encoding="utf-8")
    program, path = services()["redis"]["command"]
    source = next(one for one in services()["redis"]["volumes"] if f":{path}:" in one).partition(":")[0]
    script = (ROOT / source).read_text(encoding="utf-8")
    script = script.replace("/etc/cloakroom/redis.conf", str(config))
    script = script.replace("/etc/cloakroom/users.acl", str(ROOT / "deploy" / "redis" / "users.acl"))
    script = script.replace("/tmp/users.acl", str(tmp_path / "users.acl"))
    script = script.replace("command -v valkey-server", f"command -v {engine.path}")
    environment = {**os.environ, "REDISCLI_AUTH": PASSWORD, "REDIS_OPERATOR_PASSWORD": operators_password}
    server = subprocess.Popen([shell, "-c", script], env=environment, stdout=subprocess.DEVNULL)
    assert program == "sh"
    operator = f"AUTH operator {operators_password or '0' * 64}"
    try:
        assert _say(address, "PING").startswith(b"-NOAUTH")
        assert _say(address, f"AUTH default {PASSWORD}").startswith(b"-WRONGPASS")
        said = _say(
            address,
            f"AUTH cloakroom {PASSWORD}",
            "PING",
            "SET cloakroom:x 1 PX 1000",
            "SET other 1",
            "KEYS *",
        )
        assert said.startswith(b"+OK\r\n+PONG\r\n+OK\r\n-NOPERM")
        assert said.count(b"-NOPERM") == 2
        said = _say(address, operator, "INFO memory", "INFO persistence", "FLUSHALL")
        if operators_password:
            assert b"maxmemory_policy:noeviction" in said
            assert b"aof_enabled:0" in said
            assert b"-NOPERM" in said
        else:
            assert said.startswith(b"-WRONGPASS")
        command_line = Path(f"/proc/{server.pid}/cmdline").read_bytes()
        written = (tmp_path / "users.acl").read_bytes()
        for secret in filter(None, (PASSWORD, operators_password)):
            assert secret.encode() not in command_line + written
    finally:
        server.terminate()
    # The shell gave its place to the server, so the container's stop signal reaches it.
    assert server.wait(PATIENCE) == 0


def _say(address: Path, *commands: str) -> bytes:
    """Send inline commands to the server and return what it says to all of them."""
    with socket.socket(socket.AF_UNIX) as line:
        until(lambda: line.connect_ex(str(address)) == 0, "the server did not start")
        line.sendall("".join(f"{command}\r\n" for command in (*commands, "QUIT")).encode())
        said = b""
        while part := line.recv(4096):
            said += part
        return said.removesuffix(b"+OK\r\n")
