"""Rules for pods: Kubernetes' Pod Security Standard "restricted", and what this house asks besides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from tests.unit.deploy.kubernetes.rendering import Object, pod_specs

_VOLUMES: Final = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"}
    | {"persistentVolumeClaim", "projected", "secret"}
)
_SECCOMP: Final = ("RuntimeDefault", "Localhost")
_HOST: Final = ("hostNetwork", "hostPID", "hostIPC")


def breaches(objects: Iterable[Object]) -> list[str]:
    """Every rule that a pod of these objects breaks."""
    return [
        f"{place}: {problem}"
        for spec in pod_specs(objects)
        for place, problem in (*_restricted(spec), *_house_rules(spec))
    ]


def _restricted(spec: Object) -> Iterator[tuple[str, str]]:
    """The standard as its page has it, version v1.37; both levels, baseline and restricted."""
    for name in _HOST:
        if spec.get(name):
            yield "pod", f"{name} is true"
    pod = spec.get("securityContext", {})
    for name in ("sysctls", "seLinuxOptions", "appArmorProfile", "windowsOptions"):
        if pod.get(name):
            yield "pod", f"{name} is set"
    for volume in spec.get("volumes", []):
        if not volume.keys() - {"name"} <= _VOLUMES:
            yield "pod", f"the volume {volume['name']} is of a kind that is not allowed"
    for container in _all_containers(spec):
        context = container.get("securityContext", {})
        for problem in _container_breaches(container, context, pod):
            yield container["name"], problem


def _container_breaches(container: Object, context: Object, pod: Object) -> Iterator[str]:
    capabilities = context.get("capabilities", {})
    if context.get("privileged"):
        yield "it is privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "it may gain privileges"
    if "ALL" not in capabilities.get("drop", []):
        yield "it does not drop all capabilities"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "it adds capabilities"
    if context.get("procMount", "Default") != "Default":
        yield "it sees the whole of /proc"
    if _effective("runAsNonRoot", context, pod) is not True:
        yield "it may run as root"
    if _effective("runAsUser", context, pod) == 0:
        yield "it runs as root"
    if (_effective("seccompProfile", context, pod) or {}).get("type") not in _SECCOMP:
        yield "it has no seccomp profile"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "it takes a port of the node"
    handlers = [container.get(f"{kind}Probe", {}) for kind in ("startup", "liveness", "readiness")]
    if any("host" in handler.get("httpGet", {}) for handler in handlers):
        yield "a probe asks another host"


def _house_rules(spec: Object) -> Iterator[tuple[str, str]]:
    if spec.get("automountServiceAccountToken") is not False:
        yield "pod", "it gets a token for the cluster"
    if spec.get("enableServiceLinks") is not False:
        yield "pod", "variables of other Services reach it"
    for container in _all_containers(spec):
        resources = container.get("resources", {})
        asked = {f"{kind} {name}" for kind, names in resources.items() for name in names}
        for name in sorted({"requests cpu", "requests memory", "limits memory"} - asked):
            yield container["name"], f"it has no {name}"
        if not container.get("securityContext", {}).get("readOnlyRootFilesystem"):
            yield container["name"], "it may write to its root"
        for kind in ("startup", "liveness", "readiness"):
            if f"{kind}Probe" not in container:
                yield container["name"], f"it has no {kind} probe"
        if container["image"].rpartition(":")[2].partition("-")[0].count(".") != 2:
            yield container["name"], f"its image {container['image']} has no full version"


def _all_containers(spec: Object) -> Iterator[Object]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(kind, [])


def _effective(name: str, context: Object, pod: Object) -> Any:
    return context.get(name, pod.get(name))
