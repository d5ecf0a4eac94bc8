"""The services of docker-compose.yml on one machine of namespaces: networks, names, order, health.

Each network of the file is a bridge in the namespace ``machine``, which stands for the Docker host; each
service is a namespace with a cable to the bridges of its networks. A service knows the names on its networks
from /etc/hosts, and HAProxy also from a name server at Docker's address.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from tests.support.clocks import until
from tests.support.compose import environment_of, load_compose, services
from tests.support.processes import ROOT, Process
from tests.system.containers.build import Image
from tests.system.containers.container import Container
from tests.system.containers.spec import Confinement
from tests.system.netns.host import Host, remove_abandoned

_NAME_SERVER: Final = "127.0.0.11"  # Docker's, which haproxy.cfg asks
MACHINE: Final = "machine"


@dataclass(frozen=True)
class Plan:
    """What is started: a compose file, its variables, and the image of each service.

    Attributes:
        folder: has docker-compose.yml and what it mounts.
        commands: other commands than the file's, by service.
        volumes: folders of this machine that a service may write to, by service and by the container's path.
    """

    variables: Mapping[str, str]
    images: Mapping[str, Image]
    folder: Path = ROOT
    commands: Mapping[str, list[str]] = field(default_factory=dict)
    volumes: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)

    def service(self, name: str) -> dict[str, Any]:
        """What the file says about this service."""
        return services(self.folder)[name]

    def environment(self, name: str) -> dict[str, str]:
        """The variables of the image, and over them those of the service."""
        return {**self.images[name].config.env, **environment_of(name, self.variables, self.folder)}

    def needs(self, name: str) -> list[str]:
        """The services that must be healthy before this one starts."""
        needed: dict[str, dict[str, Any]] = self.service(name).get("depends_on", {})
        for condition in needed.values():
            assert condition["condition"] == "service_healthy", "the tests know no other condition"
        missing = {other for other, how in needed.items() if how.get("required", True)} - set(self.images)
        assert not missing, f"{name} needs {missing}"
        return [other for other in needed if other in self.images]

    def healthcheck(self, name: str) -> list[str]:
        """The service's own health check, else the image's."""
        told = self.service(name).get("healthcheck", {}).get("test")
        if told is None:
            return list(self.images[name].config.healthcheck)
        kind, *words = told
        return ["sh", "-c", *words] if kind == "CMD-SHELL" else words

    def confinement(self, name: str, names_files: list[tuple[str, str]]) -> Confinement:
        """What the container may do."""
        service, image = self.service(name), self.images[name]
        config = image.config
        command = self.commands.get(name) or service.get("command")
        uid, gid = (int(part) for part in service.get("user", config.user).split(":"))
        tmpfs = service.get("tmpfs", [])
        nofile = service.get("ulimits", {}).get("nofile")
        return Confinement(
            root=str(image.root),
            command=[*config.entrypoint, *(command or config.command)],
            folder=config.folder,
            uid=uid,
            gid=gid,
            binds=[*names_files, *map(self._bind, service.get("volumes", []))],
            tmpfs=tmpfs,
            volumes=[(str(source), target) for target, source in self.volumes.get(name, {}).items()],
            limits={"nofile": (nofile["soft"], nofile["hard"])} if nofile else {},
            read_only=service["read_only"],
            drop_capabilities=service["cap_drop"] == ["ALL"],
            no_new_privileges="no-new-privileges:true" in service["security_opt"],
        )

    def _bind(self, volume: str) -> tuple[str, str]:
        source, target, mode = volume.split(":")
        assert mode == "ro", volume
        return str(self.folder / source), target


class World:
    """The services of a plan, from entry to exit; a container can be stopped, and started by another plan.

    Args:
        plan: of the services, their networks and their order.
        folder: for files of this world.
        others: the plans of services that are started by another one.
    """

    def __init__(self, plan: Plan, folder: Path, others: Mapping[str, Plan] | None = None) -> None:
        self._plan, self._folder = plan, folder
        self._others = others or {}
        run = secrets.token_hex(3)
        self.machine = Host(MACHINE, run)
        self._hosts = {name: Host(name, run) for name in plan.images}
        networks = load_compose(plan.folder)["networks"]
        self._networks = [name for name in networks if any(name in self._joined(one) for one in plan.images)]
        self.running: dict[str, Container] = {}
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        remove_abandoned()
        with ExitStack() as resources:
            self._resources = resources
            for host in (self.machine, *self._hosts.values()):
                resources.callback(host.delete)
                host.create()
            for network in self._networks:
                self.machine.ip("link", "add", network, "type", "bridge")
                self.machine.ip("address", "add", f"{self._prefix(network)}.1/24", "dev", network)
                self.machine.ip("link", "set", network, "up")
            for name in self._hosts:
                self._connect(name)
                self._serve_names(name)
            resources.callback(self._stop_all)
            for name in self._hosts:
                self._start_with_needs(name)
            self._resources = resources.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def __getitem__(self, name: str) -> Container:
        return self.running[name]

    def address(self, name: str, network: str) -> str:
        """The service's address on this network."""
        return f"{self._prefix(network)}.{2 + list(self._hosts).index(name)}"

    def start(self, name: str, plan: Plan | None = None) -> Container:
        """Start the service, by its plan in this world or another one, and wait until it is healthy."""
        plan = plan or self._others.get(name, self._plan)
        host = self._hosts[name]
        files = [(str(self._names_file(name)), "/etc/hosts")]
        container = Container(host, plan.confinement(name, files), plan.environment(name))
        self.running[name] = container
        self.wait_until_healthy(name, plan)
        return container

    def wait_until_healthy(self, name: str, plan: Plan | None = None) -> None:
        """Run the shipped health check until it is content."""
        plan = plan or self._others.get(name, self._plan)
        container, check = self.running[name], plan.healthcheck(name)
        until(_healthy(container, check), lambda: f"{name} is not healthy:\n{container.output[-4000:]}")

    def inside(self, work: Callable[[], Any]) -> Any:
        """Do this on the Docker host."""
        return self.machine.inside(work)

    def _start_with_needs(self, name: str) -> None:
        if name in self.running:
            return
        for other in self._plan.needs(name):
            self._start_with_needs(other)
        self.start(name)

    def _stop_all(self) -> None:
        # Those that need others go first.
        for container in reversed(self.running.values()):
            container.kill()

    def _joined(self, name: str) -> list[str]:
        joined: list[str] = self._plan.service(name)["networks"]
        return joined

    def _prefix(self, network: str) -> str:
        return f"10.78.{self._networks.index(network)}"

    def _connect(self, name: str) -> None:
        host, number = self._hosts[name], list(self._hosts).index(name)
        for network in self._joined(name):
            end, cable = f"eth-{network}", f"{network}-{number}"
            self.machine.ip(
                *("link", "add", cable, "type", "veth", "peer", "name", end, "netns", host.namespace)
            )
            self.machine.ip("link", "set", cable, "master", network, "up")
            host.ip("address", "add", f"{self.address(name, network)}/24", "dev", end)
            host.ip("link", "set", end, "up")

    def _known_to(self, name: str) -> dict[str, str]:
        return {
            other: self.address(other, network)
            for network in self._joined(name)
            for other in self._hosts
            if network in self._joined(other)
        }

    def _names_file(self, name: str) -> Path:
        return self._folder / f"hosts-{name}"

    def _serve_names(self, name: str) -> None:
        known = self._known_to(name)
        lines = ["127.0.0.1 localhost", *(f"{address} {other}" for other, address in known.items())]
        self._names_file(name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        arguments = ["tests.system.containers.names", _NAME_SERVER, json.dumps(known)]
        # One that HAProxy needs; the others read their file.
        if name == "load-balancer":
            server = Process(arguments, {}, prefix=self._hosts[name].prefix)
            self._resources.enter_context(server)
            server.wait_for_event("names_ready")


def _healthy(container: Container, check: list[str]) -> Callable[[], bool]:
    def healthy() -> bool:
        assert container.running, f"it ended:\n{container.output[-4000:]}"
        return container.run(check).returncode == 0

    return healthy
