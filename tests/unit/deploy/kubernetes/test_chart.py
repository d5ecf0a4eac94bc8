"""The chart makes the same objects as the overlays, and refuses values that it does not know."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import __version__
from tests.support.page import ROOT
from tests.unit.deploy.kubernetes.rendering import (
    CHART,
    KUBERNETES,
    OVERLAYS,
    base_with,
    by_name,
    chart_with,
    comparable,
    containers,
    example,
    overlay,
)
from tests.unit.deploy.kubernetes.schemas import OLDEST
from tests.unit.deploy.kubernetes.tools import helm

VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
ABOUT = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))


def test_each_overlay_has_its_values() -> None:
    folders = {path.name for path in (KUBERNETES / "overlays").iterdir()}
    examples = {path.stem for path in (CHART / "examples").iterdir()}
    assert folders == examples == set(OVERLAYS)


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_chart_makes_the_objects_of_the_overlay(name: str) -> None:
    assert comparable(example(name)) == comparable(overlay(name))


def test_the_chart_makes_the_objects_of_the_parts_that_no_overlay_has(tmp_path: Path) -> None:
    values = {
        "ingress.enabled": True,
        "ca.configMap": "cloakroom-ca",
        "autoscaling.inFlight": 512,
        "existingSecret": "",
        "configSecret": "cloakroom-config",
    }
    parts = base_with(("ingress", "private-ca", "in-flight-autoscaling", "secrets-file"), tmp_path)
    assert comparable(chart_with(values)) == comparable(parts)


def test_helm_finds_nothing_to_say_against_it() -> None:
    done = subprocess.run(
        [helm(), "lint", "--strict", "--quiet", CHART], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"htpRoute.enabled": True}, "htpRoute"),
        ({"redis.enabled": "yes"}, "redis/enabled"),
        ({"existingSecret": ""}, "existingSecret or configSecret"),
        ({"config": "models: {}", "configSecret": "settings"}, "config and configSecret"),
        ({"existingSecret": "", "configSecret": "x", "redis.enabled": True}, "REDIS_PASSWORD"),
        ({"host": "https://voice.example.com"}, "host"),
        ({"monitoring.runbookBase": "https://git.example.com/x"}, "runbookBase"),
    ],
)
def test_a_value_that_it_does_not_know_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        chart_with(values)


def test_every_value_is_in_the_schema_and_in_the_table_of_the_documents() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert schema["properties"].keys() - {"global"} == VALUES.keys()
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    section = page.partition("### The chart's values")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    told = {name.partition(".")[0] for row in rows for name in re.findall(r"`([\w.]+)`", row)}
    assert told == VALUES.keys()


def test_it_makes_no_secret_and_takes_none() -> None:
    for name in OVERLAYS:
        kinds = {one["kind"] for one in (*example(name), *overlay(name))}
        assert "Secret" not in kinds
    (container,) = containers(chart_with({"existingSecret": "vault"}))
    assert container["envFrom"] == [{"secretRef": {"name": "vault"}}]


def test_everything_of_another_release_has_its_name() -> None:
    made = by_name(chart_with({"redis.enabled": True, "monitoring.enabled": True}, release="voice"))
    assert {name.partition("/")[2] for name in made} == {"voice", "voice-redis"}
    server = made["Deployment/voice"]["spec"]["template"]["spec"]["containers"][0]
    assert "@voice-redis:6379" in str(server["env"])
    # The alerts ask for this job, whatever the release is called.
    assert made["ServiceMonitor/voice"]["spec"]["jobLabel"] == "app.kubernetes.io/name"
    assert made["Service/voice"]["metadata"]["labels"]["app.kubernetes.io/name"] == "cloakroom"


def test_what_a_release_adds_is_there() -> None:
    variable = {"name": "CLOAKROOM_LOG_LEVEL", "value": "debug"}
    volume = {"name": "more", "secret": {"secretName": "more"}}
    mount = {"name": "more", "mountPath": "/more"}
    values = {
        "extraEnv": [variable],
        "extraVolumes": [volume],
        "extraVolumeMounts": [mount],
        "configSecret": "settings",
        "image": {"repository": "registry.example.com/cloakroom", "tag": "1.2.3", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "httpRoute": {"enabled": True, "retry": {"attempts": 0}},
        "monitoring": {"enabled": True, "labels": {"release": "prometheus"}, "runbookBase": "https://git/x/"},
    }
    made = by_name(chart_with(values))
    spec = made["Deployment/cloakroom"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert variable in container["env"]
    assert volume in spec["volumes"]
    assert mount in container["volumeMounts"]
    assert {"name": "config", "secret": {"secretName": "settings"}} in spec["volumes"]
    assert container["image"] == "registry.example.com/cloakroom:1.2.3"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert made["HTTPRoute/cloakroom"]["spec"]["rules"][0]["retry"] == {"attempts": 0}
    rule = made["PrometheusRule/cloakroom"]
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    links = re.findall(r"'runbook_url': '([^']*)'", str(rule))
    assert links
    assert all(link.startswith("https://git/x/docs/runbook.md#") for link in links)


def test_version_and_image_are_those_of_the_release() -> None:
    release = re.match(r"\d+\.\d+\.\d+", __version__)
    assert release
    assert ABOUT["version"] == ABOUT["appVersion"] == release[0]
    (container,) = containers(overlay("external-redis"))
    assert container["image"] == f"cloakroom:{release[0]}"


def test_it_asks_for_the_oldest_version_that_the_manifests_are_checked_with() -> None:
    assert ABOUT["kubeVersion"] == f">={OLDEST}.0-0"
