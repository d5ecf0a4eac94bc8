"""docker-compose.yml, run for real: its services, its environment, its order, each in namespaces.

The replicas and the provider in a box are the images of ``deploy/Dockerfile``, replayed by ``build.py``.
HAProxy, the store's server and its client are the programs of this machine in roots of their own
(``roots.py``), with the shipped files mounted where the compose file mounts them.

Held from the file: command, environment with ``${VAR}``, ``user``, ``networks`` with their names,
``depends_on`` and health checks, ``read_only``, ``tmpfs``, ``volumes``, ``cap_drop``, ``no-new-privileges``,
``ulimits``. Not held: what control groups do (``cpus``, ``memory``, ``pids``), ``restart``, ``logging`` and
published ports; and processes see each other's numbers, since no process namespace is made.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tests.faults.rolling import Load
from tests.support.api import Reply, called, mint, minted, relay
from tests.support.clocks import eventually, until
from tests.support.compose import MissingVariable, interpolate, read_env_file
from tests.support.planted import Planted
from tests.support.processes import ROOT
from tests.system.containers.build import Builder, Image
from tests.system.containers.container import Container
from tests.system.containers.world import Plan, World

# The first test builds images, which on a busy machine takes minutes.
pytestmark = pytest.mark.timeout(1200)

REPLICAS: Final = ("replica-a", "replica-b")
CALLERS: Final = 6
THINKS_SECONDS: Final = 0.4
# Text answers in place of a WebRTC peer for each call: the load is for the replicas.
STATIC_PEER: Final = ["--host", "0.0.0.0", "--port", "9090", "--peer", "static", "--peer-cap", "1000000"]


@pytest.fixture(scope="module")
def plan(builder: Builder, programs: Callable[[], dict[str, Image]], planted: Planted) -> Plan:
    """The file with the variables of an .env, and deploy/demo.env over it."""
    variables = {
        "REDIS_PASSWORD": planted.store_password,
        "REDIS_OPERATOR_PASSWORD": "pw-of-the-operator",
        "CLOAKROOM_SIGNING_KEYS": planted.signing,
        "CLOAKROOM_SEALING_KEYS": planted.sealing,
        "CLOAKROOM_API_KEYS": f"shop:{planted.client_key}",
        **read_env_file((ROOT / "deploy" / "demo.env").read_text(encoding="utf-8")),
    }
    images = programs()
    images |= dict.fromkeys(REPLICAS, builder.image("service")) | {"sandbox": builder.image("sandbox")}
    return Plan(variables, images, commands={"sandbox": STATIC_PEER})


@pytest.fixture(scope="module")
def world(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(plan, tmp_path_factory.mktemp("world")) as running:
        yield running


class Browser:
    """What a client on the Docker host does, at the load balancer's port."""

    def __init__(self, world: World, planted: Planted) -> None:
        self._world, self._key = world, planted.client_key
        self.url = f"http://{world.address('load-balancer', 'front')}:8080"

    def __call__(self, work: Callable[[aiohttp.ClientSession, str], Any]) -> Any:
        async def session() -> Any:
            async with aiohttp.ClientSession() as http:
                return await work(http, self.url)

        return self._world.inside(lambda: asyncio.run(session()))

    def mint(self) -> Reply:
        reply: Reply = self(lambda http, url: mint(http, url, self._key))
        return reply

    def minted(self) -> str:
        return str(self(lambda http, url: minted(http, url, self._key)))

    def relay(self, handle: str) -> Reply:
        reply: Reply = self(lambda http, url: relay(http, url, handle))
        return reply

    def call(self) -> None:
        handle = self.minted()
        self(lambda http, url: called(http, url, handle))

    def until_ready(self, status: int) -> None:
        """Wait until the balancer's /readyz is this."""

        async def ask(http: aiohttp.ClientSession, url: str) -> None:
            async def told() -> bool:
                async with http.get(f"{url}/readyz") as answer:
                    return answer.status == status

            await eventually(told, f"/readyz is never {status}")

        self(ask)

    def until_used(self, *names: str) -> None:
        """Wait until the balancer gives requests to each of these replicas, by its log."""
        before = len(self._proxied())

        async def ask(http: aiohttp.ClientSession, url: str) -> None:
            async def used() -> bool:
                async with http.get(f"{url}/livez") as answer:
                    assert answer.status == 200
                return {line["replica"] for line in self._proxied()[before:]} >= set(names)

            await eventually(used, "the balancer never uses both")

        self(ask)

    def served_by(self, reply: Reply) -> str:
        """The replica that this reply came from, by the balancer's log."""
        wanted = reply.headers["x-request-id"]
        found = until(lambda: [line for line in self._proxied() if line["request_id"] == wanted])
        return str(found[0]["replica"])

    def _proxied(self) -> list[dict[str, Any]]:
        return self._world["load-balancer"].events("proxied")

    @contextmanager
    def load(self) -> Iterator[Load]:
        """Callers that mint and relay until the block ends; no request of theirs may fail."""
        loads: list[Load] = []
        faults = f"http://{self._world.address('sandbox', 'front')}:9090/_sandbox/faults"
        begun, ended = threading.Event(), threading.Event()

        async def call_on(http: aiohttp.ClientSession, url: str) -> None:
            load = Load(http, url, {"Authorization": f"Bearer {self._key}"})
            loads.append(load)
            # So that there is always an offer in flight at each replica.
            slow = {"kind": "delay", "path": "calls", "seconds": THINKS_SECONDS, "times": 0}
            async with http.post(faults, json=slow) as armed:
                assert armed.status < 300, await armed.text()
            callers = [asyncio.create_task(load.caller()) for _ in range(CALLERS)]
            begun.set()
            await asyncio.to_thread(ended.wait)
            load.ended.set()
            await asyncio.gather(*callers)
            async with http.delete(faults) as cleared:
                assert cleared.status < 300, await cleared.text()

        thread = threading.Thread(target=self, args=(call_on,))
        thread.start()
        try:
            assert begun.wait(60)
            yield loads[0]
        finally:
            ended.set()
            thread.join()
        (load,) = loads
        assert load.failures == []
        assert min(load.answers["client_secrets"], load.answers["calls"]) > 0


@pytest.fixture
def browser(world: World, planted: Planted) -> Browser:
    client = Browser(world, planted)
    client.until_ready(200)
    client.until_used(*REPLICAS)
    return client


def _until_logged(replica: Container, event: str, reply: Reply) -> None:
    wanted = reply.headers["x-request-id"]
    until(
        lambda: any(line["request_id"] == wanted for line in replica.events(event)),
        lambda: f"no line {event!r} with {wanted}:\n{replica.output[-4000:]}",
    )


def _ready(replica: Container) -> bool:
    check = ["python", "-I", "/opt/healthcheck.py", "http://127.0.0.1:8080/readyz"]
    return replica.run(check).returncode == 0


def test_each_service_is_confined_as_the_file_says(world: World, plan: Plan) -> None:
    for name, container in world.running.items():
        service = plan.service(name)
        lines = Path(f"/proc/{container.pid}/status").read_text(encoding="utf-8").splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        uid = service.get("user", plan.images[name].config.user).split(":")[0]
        assert set(status["Uid"].split()) == {uid}, name
        assert uid != "0"
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[kind], 16) == 0, (name, kind)
        assert status["NoNewPrivs"] == "1", name
        for mount in Path(f"/proc/{container.pid}/mounts").read_text(encoding="utf-8").splitlines():
            _, target, kind, options, *_ = mount.split()
            writable = options.split(",")[0] == "rw"
            assert not writable or kind in ("tmpfs", "proc", "devtmpfs"), (name, target)


def test_names_are_known_and_the_store_is_reachable_only_on_its_network(world: World) -> None:
    reached = "import socket; socket.create_connection(('redis', 6379), 30).close()"
    for name in REPLICAS:
        done = world[name].run(["python", "-c", reached])
        assert done.returncode == 0, done.stderr
    done = world["sandbox"].run(["python", "-c", reached])
    assert "gaierror" in done.stderr

    def connect() -> None:
        socket.create_connection((world.address("redis", "store"), 6379), 30).close()

    with pytest.raises(OSError, match="unreachable"):
        world["load-balancer"].host.inside(connect)


def test_the_doctor_is_content_in_the_container(world: World) -> None:
    done = world["replica-a"].run(["cloakroom", "doctor"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "may do all that the service does" in done.stdout


def test_mint_and_relay_through_the_load_balancer_land_on_different_replicas(
    world: World, browser: Browser
) -> None:
    for _ in range(40):
        reply = browser.mint()
        assert reply.status == 200, reply
        relayed = browser.relay(reply.json["value"])
        assert relayed.status == 201, relayed
        minter, relayer = browser.served_by(reply), browser.served_by(relayed)
        if minter != relayer:
            _until_logged(world[minter], "mint", reply)
            _until_logged(world[relayer], "relay", relayed)
            return
    pytest.fail("one replica did it all, forty times")


def test_a_replica_leaves_under_load_and_comes_back_and_no_request_fails(
    world: World, browser: Browser
) -> None:
    with browser.load():
        for name in REPLICAS:
            leaving = world[name]
            browser.until_used(*REPLICAS)
            leaving.signal(signal.SIGTERM)
            assert leaving.wait() == 0, leaving.output[-4000:]
            assert leaving.events("mint") or leaving.events("relay")
            world.start(name)
        browser.until_used(*REPLICAS)


def test_while_the_store_restarts_callers_are_told_and_afterwards_it_all_goes_on(
    world: World, browser: Browser, plan: Plan
) -> None:
    handle = browser.minted()
    before = {name: world[name].pid for name in REPLICAS}
    world["redis"].signal(signal.SIGTERM)
    world["redis"].wait()
    browser.until_ready(503)
    refused = browser.mint()
    assert (refused.status, refused.code) == (503, "store_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    # Nobody restarts a replica for it.
    for name in REPLICAS:
        world.wait_until_healthy(name)
    _restart_store(world, plan)
    browser.until_ready(200)
    browser.call()
    assert {name: world[name].pid for name in REPLICAS} == before
    # redis.conf keeps nothing: what was minted before is gone and can be minted again.
    lost = browser.relay(handle)
    assert lost.status == 401, lost


def test_a_store_that_is_made_to_keep_its_data_keeps_the_handles_over_a_restart(
    world: World, browser: Browser, plan: Plan, tmp_path: Path
) -> None:
    # redis.conf of an operator who wants it so, and a volume for the data.
    kept = replace(
        plan, folder=_deployment_that_keeps(tmp_path), volumes={"redis": {"/data": tmp_path / "data"}}
    )
    try:
        _restart_store(world, kept)
        browser.until_ready(200)
        handle = browser.minted()
        _restart_store(world, kept)
        browser.until_ready(200)
        assert browser.relay(handle).status == 201
    finally:
        _restart_store(world, plan)


def _restart_store(world: World, plan: Plan) -> None:
    world["redis"].stop()
    world.start("redis", plan)
    for name in REPLICAS:
        until(partial(_ready, world[name]), f"{name} is not ready again")


def _deployment_that_keeps(folder: Path) -> Path:
    shutil.copy(ROOT / "docker-compose.yml", folder)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    config = folder / "deploy" / "redis.conf"
    text = config.read_text(encoding="utf-8")
    for shipped, wanted in (
        ("appendonly no", "appendonly yes\nappendfsync always"),
        ("dir /tmp", "dir /data"),
    ):
        assert f"\n{shipped}\n" in text
        text = text.replace(f"\n{shipped}\n", f"\n{wanted}\n")
    config.write_text(text, encoding="utf-8")
    data = folder / "data"
    data.mkdir()
    os.chown(data, 999, 1000)
    return folder


def test_a_rolling_upgrade_from_the_release_before_fails_no_request(
    plan: Plan,
    release_before: tuple[Builder, Path],
    planted: Planted,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    builder, folder = release_before
    images = {**plan.images, **dict.fromkeys(REPLICAS, builder.image("service"))}
    # Its own compose file, but for what the changelog says to do first: the store's user gets today's rights.
    before = replace(plan, images=images, folder=folder)
    with World(before, tmp_path_factory.mktemp("upgrade"), {"redis": plan}) as world:
        browser = Browser(world, planted)
        browser.until_used(*REPLICAS)
        handle = browser.minted()
        with browser.load():
            for name in REPLICAS:
                browser.until_used(*REPLICAS)
                world[name].signal(signal.SIGTERM)
                assert world[name].wait() == 0, world[name].output[-4000:]
                world.start(name, plan)
            browser.until_used(*REPLICAS)
        assert browser.relay(handle).status == 201


def test_a_variable_that_is_missing_stops_the_start(plan: Plan) -> None:
    variables = {**plan.variables, "REDIS_PASSWORD": ""}
    with pytest.raises(MissingVariable, match=r"put REDIS_PASSWORD into \.env"):
        replace(plan, variables=variables).environment("replica-a")
    assert interpolate("${PUBLISH:-127.0.0.1:8080}", {}) == "127.0.0.1:8080"
