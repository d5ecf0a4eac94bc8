"""The pods against the service: their environment starts it, and their figures are those of its settings."""

from __future__ import annotations

import io
import subprocess
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.cli.keys.new import new
from app.settings import Settings, known_environment_names, load_settings
from app.telemetry.scrape import IN_FLIGHT
from tests.support.compose import in_bytes, read_env_file, seconds, services
from tests.unit.deploy.kubernetes.pods import POD, environment_of, write_files
from tests.unit.deploy.kubernetes.rendering import (
    COMPONENTS,
    KUBERNETES,
    OVERLAYS,
    Object,
    base_with,
    by_name,
    chart_with,
    containers,
    overlay,
)
from tests.unit.deploy.kubernetes.tools import kubectl

PASSWORD = "0123456789abcdef0123456789abcdef"
# What the Secret "cloakroom" has besides keys, by overlay.
SECRETS = {
    "small": {"REDIS_PASSWORD": PASSWORD, "OPENAI_API_KEY": "sk-anything"},
    "external-redis": {
        "CLOAKROOM_REDIS_URL": f"redis+sentinel://u:{PASSWORD}@a,b,c/voice",
        "OPENAI_API_KEY": "sk-anything",
    },
    "cluster": {
        "CLOAKROOM_REDIS_URL": f"rediss+cluster://u:{PASSWORD}@a,b",
        "OPENAI_API_KEY": "sk-anything",
    },
    "issuers": {"CLOAKROOM_REDIS_URL": f"rediss://u:{PASSWORD}@a:6380/0", "OPENAI_API_KEY": "sk-anything"},
    "azure": {"CLOAKROOM_REDIS_URL": f"rediss://u:{PASSWORD}@a:10000/0"},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Object]:
    """The base with each component."""
    return by_name(base_with(COMPONENTS, tmp_path_factory.mktemp("whole")))


@pytest.fixture(scope="module")
def printed_keys() -> str:
    printed = io.StringIO()
    with redirect_stdout(printed):
        new()
    return printed.getvalue()


def default_of(name: str) -> Any:
    return Settings.model_fields[name].default


def slowest_request() -> float:
    names = ("body_timeout_seconds", "connect_timeout_seconds", "relay_timeout_seconds")
    return float(sum(map(default_of, names), start=2 * default_of("store_timeout_seconds")))


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_replica_of_every_overlay_starts(name: str, printed_keys: str, tmp_path: Path) -> None:
    objects = overlay(name)
    server = by_name(objects)["Deployment/cloakroom"]
    secret = {**read_env_file(printed_keys), **SECRETS[name]}
    environment = environment_of(server, {"cloakroom": secret})
    for place, folder in write_files(objects, server, tmp_path).items():
        environment = {key: value.replace(place, str(folder)) for key, value in environment.items()}
    settings = load_settings(environment)
    assert settings.production
    assert settings.replica == POD
    assert settings.ops_port == 9090
    assert settings.models
    assert settings.redis_url is not None
    if name == "small":
        assert settings.redis_url.get_secret_value() == f"redis://cloakroom:{PASSWORD}@cloakroom-redis:6379/0"
    else:
        assert settings.public_url == "https://voice.example.com"
        assert PASSWORD in settings.redis_url.get_secret_value()
    if name == "azure":
        entra = settings.deployments["azure"].entra
        assert entra is not None
        assert entra.kind == "workload_identity"
    if name == "issuers":
        assert set(settings.issuers) == {"cluster", "sso"}
        assert settings.private_networks == ("10.0.0.0/8",)
        # Its own token is where a projected volume puts one, for the API server and renewed by the kubelet.
        spec = server["spec"]["template"]["spec"]
        (volume,) = (one for one in spec["volumes"] if "projected" in one)
        (token,) = (source["serviceAccountToken"] for source in volume["projected"]["sources"])
        (container,) = spec["containers"]
        (mount,) = (one for one in container["volumeMounts"] if one["name"] == volume["name"])
        assert settings.issuers["cluster"].token_file == f"{mount['mountPath']}/{token['path']}"
        assert "audience" not in token


def test_a_replica_starts_with_every_secret_in_a_file(printed_keys: str, tmp_path: Path) -> None:
    place = tmp_path / "secrets-file"
    place.mkdir()
    server = by_name(base_with(["secrets-file"], place))["Deployment/cloakroom"]
    environment = environment_of(server, {})
    (volume,) = (one for one in server["spec"]["template"]["spec"]["volumes"] if "secret" in one)
    assert volume["secret"] == {"secretName": "cloakroom-config"}
    keys = {name.removeprefix("CLOAKROOM_").lower(): key for name, key in read_env_file(printed_keys).items()}
    text = {
        **keys,
        "redis_url": f"rediss://u:{PASSWORD}@a:6380/0",
        "deployments": {"openai": {"provider": "openai", "api_key": "sk-anything"}},
        "models": {"*": "openai"},
    }
    file = tmp_path / "cloakroom.yaml"
    file.write_text(yaml.safe_dump(text), encoding="utf-8")
    (container,) = server["spec"]["template"]["spec"]["containers"]
    (mount,) = (one for one in container["volumeMounts"] if one["name"] == "config")
    assert environment["CLOAKROOM_CONFIG"] == f"{mount['mountPath']}/cloakroom.yaml"
    assert "subPath" not in mount, "the kubelet never updates such a file, so its secrets could not rotate"
    settings = load_settings(environment | {"CLOAKROOM_CONFIG": str(file)})
    assert settings.signing_keys is not None
    assert not [name for name, value in environment.items() if PASSWORD in value or "KEYS" in name]


def test_every_variable_of_ours_is_one_that_the_settings_know(whole: dict[str, Object]) -> None:
    (container,) = containers([whole["Deployment/cloakroom"]])
    ours = {one["name"] for one in container["env"] if one["name"].startswith("CLOAKROOM_")}
    assert len(ours) >= 6
    assert ours <= known_environment_names()


def test_the_secret_can_be_made_of_what_keys_new_prints(printed_keys: str) -> None:
    # The command of docs/deployment.md.
    command = ["create", "secret", "generic", "cloakroom", "--from-env-file=/dev/stdin"]
    done = subprocess.run(
        [str(kubectl()), *command, "--dry-run=client", "-o", "yaml"],
        input=f"{printed_keys}REDIS_PASSWORD={PASSWORD}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    secret = yaml.safe_load(done.stdout)
    assert secret["metadata"]["name"] == "cloakroom"
    assert secret["data"].keys() == {
        "CLOAKROOM_SIGNING_KEYS",
        "CLOAKROOM_SEALING_KEYS",
        "CLOAKROOM_API_KEYS",
        "CLOAKROOM_ADMIN_KEYS",
        "REDIS_PASSWORD",
    }


@pytest.mark.parametrize("drain", [0, 15, 40])
def test_a_pod_gets_time_to_drain_and_to_finish(drain: int, whole: dict[str, Object]) -> None:
    made = [whole["Deployment/cloakroom"], *chart_with({"drainSeconds": drain})]
    for deployment in (one for one in made if one["kind"] == "Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        variables = {one["name"]: one.get("value") for one in spec["containers"][0]["env"]}
        times = [float(variables[f"CLOAKROOM_{name}_SECONDS"] or 0) for name in ("DRAIN", "SHUTDOWN")]
        assert spec["terminationGracePeriodSeconds"] >= sum(times) + 10
        assert times[1] >= default_of("body_timeout_seconds") + default_of("relay_timeout_seconds")


def test_a_route_waits_longer_than_the_slowest_request(whole: dict[str, Object]) -> None:
    (rule,) = whole["HTTPRoute/cloakroom"]["spec"]["rules"]
    assert {seconds(value) > slowest_request() for value in rule["timeouts"].values()} == {True}
    annotations = whole["Ingress/cloakroom"]["metadata"]["annotations"]
    waits = [value for name, value in annotations.items() if "timeout" in name]
    assert len(waits) == 3
    assert all(float(value.removesuffix("s")) > slowest_request() for value in waits)


def test_no_route_repeats_an_offer(whole: dict[str, Object]) -> None:
    (rule,) = whole["HTTPRoute/cloakroom"]["spec"]["rules"]
    assert "retry" not in rule
    annotations = whole["Ingress/cloakroom"]["metadata"]["annotations"]
    tries = [value for name, value in annotations.items() if name.endswith("proxy-next-upstream")]
    assert tries == ["error timeout"] * 2


def test_no_route_leads_to_the_operations_port(whole: dict[str, Object]) -> None:
    (container,) = containers([whole["Deployment/cloakroom"]])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    variables = {one["name"]: one.get("value") for one in container["env"]}
    assert ports == {"http": default_of("port"), "ops": int(variables["CLOAKROOM_OPS_PORT"])}
    assert "9090" not in str(whole["HTTPRoute/cloakroom"]) + str(whole["Ingress/cloakroom"])
    open_to_all = [rule for rule in whole["NetworkPolicy/cloakroom"]["spec"]["ingress"] if "from" not in rule]
    assert [port["port"] for rule in open_to_all for port in rule["ports"]] == [ports["http"]]
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    assert [(one["port"], one["path"]) for one in probes] == [
        ("http", "/livez"),
        ("http", "/livez"),
        ("http", "/readyz"),
    ]


def test_the_autoscaler_acts_before_a_replica_is_full(whole: dict[str, Object]) -> None:
    metrics = whole["HorizontalPodAutoscaler/cloakroom"]["spec"]["metrics"]
    (pods,) = (one["pods"] for one in metrics if one["type"] == "Pods")
    assert pods["metric"]["name"] == IN_FLIGHT.name
    assert int(pods["target"]["averageValue"]) == default_of("max_in_flight") / 2
    adapter = yaml.safe_load(
        (KUBERNETES / "components" / "in-flight-autoscaling" / "prometheus-adapter.yaml").read_text("utf-8")
    )
    (rule,) = adapter["rules"]["custom"]
    assert rule["name"]["as"] == IN_FLIGHT.name
    assert rule["seriesQuery"].startswith(f"{IN_FLIGHT.name}{{")


def test_the_store_is_that_of_compose(whole: dict[str, Object]) -> None:
    (store,) = containers([whole["Deployment/cloakroom-redis"]])
    composed = services()["redis"]
    assert (store["image"], store["command"]) == (composed["image"], composed["command"])
    assert {one["name"] for one in store["env"]} == composed["environment"].keys()
    limit = composed["deploy"]["resources"]["limits"]["memory"]
    assert store["resources"]["limits"]["memory"] == f"{in_bytes(limit) // 2**20}Mi"
    mounted = {volume.split(":")[1] for volume in composed["volumes"]}
    (settings,) = (one for name, one in whole.items() if name.startswith("ConfigMap/cloakroom-redis"))
    assert {f"/etc/cloakroom/{name}" for name in settings["data"]} == mounted


def test_the_network_of_the_store_is_closed_but_for_the_replicas(whole: dict[str, Object]) -> None:
    policy = whole["NetworkPolicy/cloakroom-redis"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy
    (rule,) = policy["ingress"]
    labels = rule["from"][0]["podSelector"]["matchLabels"]
    assert labels == whole["Deployment/cloakroom"]["spec"]["selector"]["matchLabels"]
