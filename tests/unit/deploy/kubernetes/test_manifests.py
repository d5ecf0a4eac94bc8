"""Every manifest against the schemas of its API version, the rules for pods, and its neighbours."""

from __future__ import annotations

import copy
import os
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.page import ROOT
from tests.unit.deploy.kubernetes.pods import CLUSTERS_CA
from tests.unit.deploy.kubernetes.policy import breaches
from tests.unit.deploy.kubernetes.rendering import (
    COMPONENTS,
    KUBERNETES,
    OVERLAYS,
    Object,
    base_with,
    by_name,
    containers,
    example,
    kustomize,
    overlay,
)
from tests.unit.deploy.kubernetes.schemas import NEWEST, OLDEST, problems_of

# Objects that a user makes: the documents say how.
FROM_OUTSIDE = {
    "Secret/cloakroom",
    "Secret/cloakroom-config",
    "Secret/cloakroom-redis",
    "ConfigMap/cloakroom-ca",
    # Kubernetes puts it into every namespace.
    f"ConfigMap/{CLUSTERS_CA}",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """The base with each component, which is more than any overlay has."""
    return base_with(COMPONENTS, tmp_path_factory.mktemp("whole"))


def test_the_components_are_those_that_there_are() -> None:
    assert {path.name for path in (KUBERNETES / "components").iterdir()} == set(COMPONENTS)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_a_cluster_takes_the_base_with_every_component(whole: list[Object], version: str) -> None:
    namespace = yaml.safe_load((KUBERNETES / "namespace.yaml").read_text(encoding="utf-8"))
    assert problems_of([*whole, namespace], version) == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_cluster_takes_every_overlay_and_the_chart(name: str) -> None:
    assert problems_of([*overlay(name), *example(name)], NEWEST) == []


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "template", "spec", "terminationGracePeriod"), 5),
        ("Deployment", ("spec", "minReadySeconds"), "five"),
        ("NetworkPolicy", ("spec", "ingres"), []),
        ("HorizontalPodAutoscaler", ("spec", "maxReplicas"), None),
        ("HTTPRoute", ("spec", "rules", 0, "timeouts", "request"), "1 minute"),
        ("HTTPRoute", ("spec", "rules", 0, "timeout"), "60s"),
        ("ServiceMonitor", ("spec", "endpoints", 0, "interval_seconds"), "15s"),
        ("PrometheusRule", ("spec", "groups", 1, "rules", 0, "for"), "soon"),
    ],
)
def test_the_schemas_notice(whole: list[Object], kind: str, path: tuple[str | int, ...], value: Any) -> None:
    changed = copy.deepcopy(next(one for one in whole if one["kind"] == kind))
    inner: Any = changed
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    assert len(problems_of([changed], NEWEST)) == 1


def test_no_pod_breaks_a_rule(whole: list[Object]) -> None:
    assert breaches(whole) == []
    for name in OVERLAYS:
        assert breaches([*overlay(name), *example(name)]) == [], name


def _in_pod(**fields: Any) -> Callable[[Object], None]:
    return lambda spec: spec.update(fields)


def _in_container(**fields: Any) -> Callable[[Object], None]:
    return lambda spec: spec["containers"][0].update(fields)


def _in_context(**fields: Any) -> Callable[[Object], None]:
    return lambda spec: spec["containers"][0]["securityContext"].update(fields)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_in_pod(hostNetwork=True), "hostNetwork"),
        (_in_pod(volumes=[{"name": "host", "hostPath": {"path": "/"}}]), "volume host"),
        (_in_pod(securityContext={"seccompProfile": {"type": "RuntimeDefault"}}), "may run as root"),
        (_in_pod(securityContext={"runAsNonRoot": True}), "seccomp"),
        (_in_pod(automountServiceAccountToken=True), "token"),
        (_in_pod(enableServiceLinks=True), "variables"),
        (_in_context(privileged=True), "privileged"),
        (_in_context(allowPrivilegeEscalation=True), "gain privileges"),
        (_in_context(capabilities={"drop": ["NET_RAW"]}), "capabilities"),
        (_in_context(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}), "adds"),
        (_in_context(runAsUser=0), "runs as root"),
        (_in_context(readOnlyRootFilesystem=False), "root"),
        (_in_context(procMount="Unmasked"), "/proc"),
        (_in_container(image="cloakroom:latest"), "version"),
        (_in_container(ports=[{"containerPort": 8080, "hostPort": 80}]), "port of the node"),
        (_in_container(resources={"requests": {"cpu": "1", "memory": "1Gi"}}), "limits memory"),
        (_in_container(readinessProbe={"httpGet": {"host": "example.com", "port": 80}}), "another host"),
    ],
)
def test_the_rules_notice(whole: list[Object], change: Callable[[Object], None], said: str) -> None:
    server = copy.deepcopy(by_name(whole)["Deployment/cloakroom"])
    change(server["spec"]["template"]["spec"])
    found = breaches([server])
    assert any(said in problem for problem in found), found


def test_every_reference_leads_to_something(whole: list[Object]) -> None:
    made = by_name(whole)
    for one in (found for found in whole if "template" in found.get("spec", {})):
        spec = one["spec"]["template"]["spec"]
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
        for constraint in spec.get("topologySpreadConstraints", []):
            assert constraint["labelSelector"]["matchLabels"].items() <= labels.items()
        if "serviceAccountName" in spec:
            assert f"ServiceAccount/{spec['serviceAccountName']}" in made
        for name in references(spec):
            assert name in made.keys() | FROM_OUTSIDE, name


def references(spec: Object) -> set[str]:
    """The Secrets and ConfigMaps that a pod takes variables and files of."""
    variables = [one["valueFrom"] for c in spec["containers"] for one in c["env"] if "valueFrom" in one]
    sources = [source for c in spec["containers"] for source in c.get("envFrom", [])]
    found = {f"Secret/{one['secretKeyRef']['name']}" for one in variables if "secretKeyRef" in one}
    found |= {f"Secret/{one['secretRef']['name']}" for one in sources}
    for volume in spec["volumes"]:
        if "configMap" in volume:
            found.add(f"ConfigMap/{volume['configMap']['name']}")
        if "secret" in volume:
            found.add(f"Secret/{volume['secret']['secretName']}")
    return found


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget", "NetworkPolicy"])
def test_what_selects_pods_selects_those_of_its_name(whole: list[Object], kind: str) -> None:
    made = by_name(whole)
    chosen = [one for one in whole if one["kind"] == kind]
    assert chosen
    for one in chosen:
        spec = one["spec"]
        labels = spec.get("podSelector", spec.get("selector"))
        labels = labels.get("matchLabels", labels)
        pods = [
            name
            for name, found in made.items()
            if "template" in found.get("spec", {})
            and labels.items() <= found["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert pods == [f"Deployment/{one['metadata']['name']}"]


def test_every_port_that_is_named_is_there(whole: list[Object]) -> None:
    made = by_name(whole)
    for name in ("cloakroom", "cloakroom-redis"):
        (container,) = made[f"Deployment/{name}"]["spec"]["template"]["spec"]["containers"]
        named = {port["name"] for port in container["ports"]}
        assert {port["targetPort"] for port in made[f"Service/{name}"]["spec"]["ports"]} == named
    ports = {port["name"]: port["port"] for port in made["Service/cloakroom"]["spec"]["ports"]}
    (backend,) = made["HTTPRoute/cloakroom"]["spec"]["rules"][0]["backendRefs"]
    assert (backend["name"], backend["port"]) == ("cloakroom", ports["http"])
    (path,) = made["Ingress/cloakroom"]["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": "cloakroom", "port": {"name": "http"}}
    monitor = made["ServiceMonitor/cloakroom"]["spec"]
    assert [endpoint["port"] for endpoint in monitor["endpoints"]] == ["ops"]
    assert (
        monitor["selector"]["matchLabels"].items() <= made["Service/cloakroom"]["metadata"]["labels"].items()
    )
    scaled = made["HorizontalPodAutoscaler/cloakroom"]["spec"]["scaleTargetRef"]
    assert f"{scaled['kind']}/{scaled['name']}" in made


def test_the_overlay_of_the_documents_can_be_rendered(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(# kustomization\.yaml\n.*?)```", page, re.DOTALL)
    place = os.path.relpath(ROOT / "deploy", tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(text.replace("cloakroom/deploy", place), encoding="utf-8")
    made = kustomize(tmp_path)
    assert problems_of(made, NEWEST) == []
    (container,) = containers(made)
    assert container["image"] == "registry.example.com/cloakroom:0.2.0"
    variables = {one["name"]: one.get("value") for one in container["env"]}
    route = by_name(made)["HTTPRoute/cloakroom"]["spec"]
    assert variables["CLOAKROOM_PUBLIC_URL"] == f"https://{route['hostnames'][0]}"
    assert variables["CLOAKROOM_TRUSTED_PROXIES"] == "1"
    assert variables["CLOAKROOM_OPS_PORT"] == "9090", "the patch replaces the list"
    assert [one["name"] for one in route["parentRefs"]] == ["shared"]


def test_every_file_of_a_command_in_the_documents_is_there() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w/])deploy/[\w./-]*\w", page))
    assert len(named) > 12
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_what_is_copied_from_elsewhere_is_up_to_date() -> None:
    made = runpy.run_path(str(KUBERNETES / "build.py"))["files"]()
    assert len(made) == 8
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, f"run python deploy/kubernetes/build.py: {path}"


def test_the_rules_of_the_operator_are_those_of_prometheus(whole: list[Object]) -> None:
    alerts = yaml.safe_load((KUBERNETES.parent / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    assert by_name(whole)["PrometheusRule/cloakroom"]["spec"] == alerts
