"""What a pod's process is started with, worked out as the kubelet does: variables, references, files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from tests.support.certificates import make_certificates
from tests.unit.deploy.kubernetes.rendering import Object, by_name

POD: Final = "cloakroom-5d4f7c9b6-x2x7k"
CLUSTERS_CA: Final = "kube-root-ca.crt"
# A reference may only name a variable that stands before it in the same list.
_REFERENCE: Final = re.compile(r"\$\((\w+)\)")

Secrets = Mapping[str, Mapping[str, str]]


def environment_of(deployment: Object, secrets: Secrets) -> dict[str, str]:
    """The environment of the first container.

    Raises:
        KeyError: a Secret or one of its keys is missing, and not optional.
    """
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= secrets[source["secretRef"]["name"]]
    listed: dict[str, str] = {}
    for variable in container["env"]:
        value = _value(variable, listed, secrets)
        if value is not None:
            listed[variable["name"]] = value
    return found | listed


def _value(variable: Object, listed: Mapping[str, str], secrets: Secrets) -> str | None:
    if "value" in variable:
        return _REFERENCE.sub(lambda match: listed.get(match[1], match[0]), variable["value"])
    source = variable["valueFrom"]
    if "fieldRef" in source:
        assert source["fieldRef"]["fieldPath"] == "metadata.name"
        return POD
    reference = source["secretKeyRef"]
    if reference.get("optional") and reference["key"] not in secrets.get(reference["name"], {}):
        return None
    return secrets[reference["name"]][reference["key"]]


def write_files(objects: Iterable[Object], deployment: Object, root: Path) -> dict[str, Path]:
    """Write the ConfigMaps that the first container mounts; returns where each mount's folder is.

    Of the cluster's own there is the one with its CA, which every namespace has.
    """
    made = by_name(objects)
    spec = deployment["spec"]["template"]["spec"]
    maps = {
        volume["name"]: volume["configMap"]["name"] for volume in spec["volumes"] if "configMap" in volume
    }
    places = {}
    for mount in spec["containers"][0]["volumeMounts"]:
        if mount["name"] in maps:
            folder = root / mount["name"]
            folder.mkdir()
            if maps[mount["name"]] == CLUSTERS_CA:
                authority, _ = make_certificates(root)
                authority.rename(folder / "ca.crt")
            else:
                for name, text in made[f"ConfigMap/{maps[mount['name']]}"]["data"].items():
                    (folder / name).write_text(text, encoding="utf-8")
            places[mount["mountPath"]] = folder
    return places
