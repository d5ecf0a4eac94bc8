"""The access list is exact: the service gets by with it, and there is nothing in it that it does not use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
import redis as sync_redis

from app.doctor.store import StoreDoctor
from app.settings import load_settings
from app.store import keys
from app.store.acl import CLUSTER, COMMANDS, users_file
from app.store.address import parse_address
from app.store.connection import StoreConnection
from app.store.driver import connect
from app.store.embedded.engine import LocalEngine
from tests.conftest import ServiceFactory
from tests.support.access import url_for_service, user_arguments
from tests.support.onlooker import onlooker
from tests.support.page import ROOT
from tests.support.planted import Planted
from tests.system.whole_life import SETTINGS, commands_used, live_through_everything

# Seconds that a test waits for what must come; it says nothing about how soon.
PATIENCE: Final = 60.0
ACL_FILE: Final = ROOT / "deploy" / "redis" / "users.acl"
# What this file itself sends as the default user, and signing on, which needs no grant. At SCRIPT FLUSH,
# Valkey 9.1 counts a CONFIG GET, which it asks itself.
OURS: Final = frozenset(
    {"config|resetstat", "script|flush", "config|get", "acl|log", "acl|setuser", "info", "auth", "hello"}
)
# What the doctor asks for and is content to be refused: each is a row 'skipped' with the way to look instead.
DOCTORS_QUESTIONS: Final = {"info", "time", "acl|whoami", "config|get", "cluster|info"}


class Server:
    """A store in which the service has its own user, and the test the default one."""

    def __init__(self, engine: LocalEngine, url: str, granted: frozenset[str]) -> None:
        self.url, self.granted = url, granted
        self.admin: Any = onlooker(engine.url)

    def refusals(self) -> list[tuple[str, str]]:
        """What the server refused since it started, and why."""
        return [(entry["object"], entry["reason"]) for entry in self.admin.acl_log(count=1000)]

    def unknown_commands(self) -> int:
        """How often the server answered ``ERR``: to a command that it does not know, above all."""
        return int(self.admin.info("errorstats").get("errorstat_ERR", {"count": 0})["count"])


@contextmanager
def single_server(planted: Planted, folder: Path) -> Iterator[Server]:
    password = planted.store_password
    with LocalEngine(password=password, extra_args=user_arguments(password)) as engine:
        yield Server(engine, url_for_service(engine, password, database=1), frozenset(COMMANDS))


@contextmanager
def sentinel(planted: Planted, folder: Path) -> Iterator[Server]:
    """A Sentinel in front; the user signs on at the primary, and the Sentinel has no users."""
    password = planted.store_password
    with LocalEngine(password=password, extra_args=user_arguments(password)) as primary:
        with LocalEngine() as free:
            port = free.port
        config = folder / "sentinel.conf"
        config.write_text(f"port {port}\nsentinel monitor main 127.0.0.1 {primary.port} 1\n")
        with LocalEngine(port=port, config=config, extra_args=("--sentinel",)) as watcher:
            url = url_for_service(watcher, password, scheme="redis+sentinel") + "/main/1"
            yield Server(primary, url, frozenset(COMMANDS))


@contextmanager
def cluster(planted: Planted, folder: Path) -> Iterator[Server]:
    """A Cluster has no database but 0, and nothing to select; what a moving slot needs has its own test."""
    with cluster_node(planted) as node:
        give_slots(node)
        granted = frozenset(COMMANDS) - {"select"} | frozenset(CLUSTER) - {"asking"}
        yield Server(node, url_for_service(node, planted.store_password, scheme="redis+cluster"), granted)


def cluster_node(planted: Planted) -> LocalEngine:
    password = planted.store_password
    arguments = ("--cluster-enabled", "yes", *user_arguments(password, cluster=True))
    return LocalEngine(password=password, extra_args=arguments)


def give_slots(node: LocalEngine) -> None:
    command(node, "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    until(lambda: is_well(node))


def is_well(node: LocalEngine) -> bool:
    return "cluster_state:ok" in str(command(node, "CLUSTER", "INFO"))


def begin_to_move(key: str, old: LocalEngine, new: LocalEngine) -> None:
    """From now on the old node sends whoever asks for the key to the new one, with the word to ask first."""
    slot = command(old, "CLUSTER", "KEYSLOT", key)
    command(new, "CLUSTER", "SETSLOT", slot, "IMPORTING", command(old, "CLUSTER", "MYID"))
    command(old, "CLUSTER", "SETSLOT", slot, "MIGRATING", command(new, "CLUSTER", "MYID"))
    command(old, "DEL", key)


def command(node: LocalEngine, *words: str | int) -> Any:
    with onlooker(node.url) as client:
        return client.execute_command(*words)


def until(true: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("the cluster did not get there")


@pytest.mark.parametrize("kind", [single_server, sentinel, cluster], ids=lambda kind: kind.__name__)
async def test_the_service_uses_each_command_that_it_is_granted_and_is_refused_none(
    kind: Callable[[Planted, Path], Any],
    planted: Planted,
    tmp_path: Path,
    service_factory: ServiceFactory,
) -> None:
    with kind(planted, tmp_path) as server:
        server.admin.config_resetstat()
        service = await service_factory(store_url=server.url, **SETTINGS)
        await live_through_everything(service, server.admin.script_flush)
        assert server.refusals() == []
        assert server.unknown_commands() == 0

        await _let_the_doctor_look(planted, server.url)
        refused = server.refusals()
        assert {(name, reason) for name, reason in refused if name not in DOCTORS_QUESTIONS} == set()
        used = commands_used(server.admin, ours=OURS)
        assert used == server.granted


async def _let_the_doctor_look(planted: Planted, url: str) -> None:
    environment = planted.environment(CLOAKROOM_REDIS_URL=url, OPENAI_API_KEY=planted.openai_key)
    doctor = StoreDoctor(load_settings(environment), seconds=PATIENCE, clock=time.time)
    rows = {row.name: row for row in await doctor.examine()}
    assert {row.status for row in rows.values()} <= {"ok", "skipped"}, rows
    assert rows["access"].status == "ok"


async def test_a_key_whose_slot_is_moving_is_found_with_what_the_access_list_grants(planted: Planted) -> None:
    with cluster_node(planted) as old, cluster_node(planted) as new:
        # The driver knows only nodes that have slots, so the new one has the last of them.
        command(old, "CLUSTER", "ADDSLOTSRANGE", 0, 16382)
        command(new, "CLUSTER", "ADDSLOTS", 16383)
        command(new, "CLUSTER", "MEET", "127.0.0.1", old.port)
        until(lambda: is_well(old) and is_well(new))
        url = url_for_service(old, planted.store_password, scheme="redis+cluster")
        connection = StoreConnection(
            connect(parse_address(url), replica="mover", timeout=PATIENCE, max_connections=4),
            replica="mover",
            timeout=PATIENCE,
        )
        try:
            assert await connection.probe()
            begin_to_move(keys.lease(connection.process), old, new)
            assert await connection.probe()
        finally:
            await connection.close()
        assert "cmdstat_asking" in command(new, "INFO", "commandstats")
        assert command(new, "ACL", "LOG") == []


def test_the_acl_file_is_made_of_the_rule() -> None:
    assert ACL_FILE.read_text(encoding="utf-8") == users_file()


def test_as_it_is_the_acl_file_lets_nobody_in(tmp_path: Path) -> None:
    with LocalEngine(extra_args=("--aclfile", str(ACL_FILE))) as engine:
        for name in ("default", "cloakroom", "operator"):
            with (
                sync_redis.Redis(port=engine.port, username=name, password="0" * 64) as client,
                pytest.raises(sync_redis.AuthenticationError),
            ):
                client.ping()


async def test_with_a_password_the_acl_file_is_all_that_the_service_needs(
    planted: Planted, tmp_path: Path, service_factory: ServiceFactory
) -> None:
    password = planted.store_password
    file = tmp_path / "users.acl"
    file.write_text(users_file(sha256(password.encode()).hexdigest()))
    with LocalEngine(extra_args=("--aclfile", str(file))) as engine:
        service = await service_factory(store_url=url_for_service(engine, password))
        assert (await service.relay(await service.minted())).status == 201
