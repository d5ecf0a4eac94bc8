"""What Kustomize and Helm make of ``deploy/``, as objects that can be compared."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.page import ROOT
from tests.unit.deploy.kubernetes.tools import helm, kubectl

KUBERNETES: Final = ROOT / "deploy" / "kubernetes"
CHART: Final = ROOT / "deploy" / "helm" / "cloakroom"
# Each overlay has values of the same name, which make the same of the chart.
OVERLAYS: Final = ("azure", "cluster", "external-redis", "issuers", "small")
COMPONENTS: Final = (
    "http-route",
    "in-flight-autoscaling",
    "ingress",
    "monitoring",
    "private-ca",
    "redis",
    "secrets-file",
)

Object = dict[str, Any]
# Kustomize puts a sum of the content behind a generated name.
_SUM: Final = re.compile(r"-[a-z0-9]{10}\Z")
# What only Helm adds: who made an object, and sums of files, so that a changed file rolls the pods.
_HELMS: Final = frozenset(
    {"app.kubernetes.io/managed-by", "helm.sh/chart", "checksum/config", "checksum/settings"}
)


@cache
def overlay(name: str) -> tuple[Object, ...]:
    """The objects of ``kubectl apply -k deploy/kubernetes/overlays/NAME``. Change only copies of them."""
    return tuple(kustomize(KUBERNETES / "overlays" / name))


def base_with(components: Iterable[str], folder: Path) -> list[Object]:
    """The objects of an overlay of the base and these components, which is written into ``folder``."""

    def path_to(place: Path) -> str:
        return os.path.relpath(place.resolve(), folder.resolve())

    text = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "cloakroom",
        "resources": [path_to(KUBERNETES / "base")],
        "components": [path_to(KUBERNETES / "components" / name) for name in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(text), encoding="utf-8")
    return kustomize(folder)


def kustomize(folder: Path) -> list[Object]:
    return _objects(_run(kubectl(), "kustomize", str(folder)))


@cache
def example(name: str) -> tuple[Object, ...]:
    """The objects of the chart with its example values of this name. Change only copies of them."""
    return tuple(chart("--values", str(CHART / "examples" / f"{name}.yaml")))


def chart_with(values: Mapping[str, Any], *, release: str = "cloakroom") -> list[Object]:
    """The objects of the chart with these values."""
    options = (f"{name}={json.dumps(value)}" for name, value in values.items())
    return chart(*(word for option in options for word in ("--set-json", option)), release=release)


def chart(*options: str, release: str = "cloakroom") -> list[Object]:
    command = ("template", release, str(CHART), "--namespace", "cloakroom", *options)
    return _objects(_run(helm(), *command))


def _run(*command: str | Path) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _objects(text: str) -> list[Object]:
    return [found for found in yaml.load_all(text, Loader=yaml.CSafeLoader) if found is not None]


def by_name(objects: Iterable[Object]) -> dict[str, Object]:
    """The objects by ``Kind/name``."""
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in objects}


def comparable(objects: Iterable[Object]) -> dict[str, Object]:
    """The objects without what differs between the two tools and means the same."""
    objects = list(objects)
    names = [one["metadata"]["name"] for one in objects if one["kind"] == "ConfigMap"]
    plain = {name: _SUM.sub("", name) for name in names}
    return by_name(_plain(one, plain) for one in objects)


def _plain(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        kept = {key: _plain(item, names) for key, item in value.items() if key not in _HELMS}
        return {key: item for key, item in kept.items() if not (key == "annotations" and not item)}
    if isinstance(value, list):
        items = [_plain(item, names) for item in value]
        named = all(isinstance(item, dict) and "name" in item for item in items)
        # Variables, volumes, mounts and ports are found by name; their order means nothing.
        return {item["name"]: item for item in items} if items and named else items
    return names.get(value, value) if isinstance(value, str) else value


def containers(objects: Iterable[Object]) -> Iterator[Object]:
    for spec in pod_specs(objects):
        yield from spec["containers"]


def pod_specs(objects: Iterable[Object]) -> Iterator[Object]:
    for one in objects:
        if "template" in one.get("spec", {}):
            yield one["spec"]["template"]["spec"]
