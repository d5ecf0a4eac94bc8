"""Objects against the schemas of the API versions that they name, Kubernetes' own and custom resources'."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.support.programs import required
from tests.unit.deploy.kubernetes.rendering import Object
from tests.unit.deploy.kubernetes.tools import custom_types, schemas

# The oldest version that Chart.yaml asks for, and the newest that the package knows.
OLDEST: Final = "1.29"
NEWEST: Final = "1.37"
# In the package "strict" means that an unknown field is an error, as it is for kubectl apply.
_PLACE: Final = "kubernetes_validate/kubernetes-json-schema/v{version}.0-local-strict/{name}.json"
_GROUP_DOMAIN: Final = re.compile(r"^([^./]*)(?:\.[^/]*)?/")
_CUSTOM: Final = ("gateway.networking.k8s.io/", "monitoring.coreos.com/")


def problems_of(objects: Iterable[Object], version: str) -> list[str]:
    """What a cluster of this version would refuse; custom resources are looked at, too."""
    objects = list(objects)
    custom = [one for one in objects if one["apiVersion"].startswith(_CUSTOM)]
    own = [one for one in objects if not one["apiVersion"].startswith(_CUSTOM)]
    return [*(problem for one in own for problem in _own_problems(one, version)), *_custom_problems(custom)]


def _own_problems(one: Object, version: str) -> list[str]:
    group_version = _GROUP_DOMAIN.sub(r"\1-", one["apiVersion"])
    name = f"{one['kind'].lower()}-{group_version}"
    where = f"{one['kind']} {one['metadata']['name']}"
    return [
        f"{where} {error.json_path}: {error.message}" for error in _validator(name, version).iter_errors(one)
    ]


@cache
def _validator(name: str, version: str) -> Draft202012Validator:
    return Draft202012Validator(_schema(name, version), registry=_definitions(version))


@cache
def _definitions(version: str) -> Registry[Any]:
    resource = Resource.from_contents(_schema("_definitions", version))
    return resource @ Registry()


def _schema(name: str, version: str) -> Any:
    with zipfile.ZipFile(schemas()) as packed:
        return json.loads(packed.read(_PLACE.format(version=version, name=name)))


def _custom_problems(objects: list[Object]) -> list[str]:
    if not objects:
        return []
    node = required("node", package="nodejs")
    done = subprocess.run(
        [node, "validate_custom.mjs"],
        cwd=custom_types(),
        input=json.dumps(objects),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found
