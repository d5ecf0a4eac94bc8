"""The doctor's look at real stores: every shape that is well, and every way to be unwell that can be made."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.doctor.finding import Finding
from app.doctor.store import StoreDoctor
from app.settings import load_settings
from app.store.acl import COMMANDS, rule, tokens
from app.store.embedded.engine import LocalEngine
from tests.support.certificates import make_certificates
from tests.support.clocks import eventually
from tests.support.cluster import follows
from tests.support.onlooker import onlooker
from tests.support.planted import Planted

PLANTED = Planted()
PASSWORD = PLANTED.store_password
# Seconds that the doctor may wait for a server that answers; only a busy machine needs more than a few.
PATIENCE = 60.0


async def look(
    url: str, *, seconds: float = PATIENCE, skew: float = 0.0, **settings: str
) -> dict[str, Finding]:
    """The rows by their names; a name that stands twice keeps its worst row."""
    environment = PLANTED.environment(CLOAKROOM_REDIS_URL=url, OPENAI_API_KEY=PLANTED.openai_key, **settings)
    doctor = StoreDoctor(load_settings(environment), seconds=seconds, clock=lambda: time.time() + skew)
    rows: dict[str, Finding] = {}
    for row in await doctor.examine():
        assert PASSWORD not in row.detail + row.fix
        if row.name not in rows or row.status == "fail":
            rows[row.name] = row
    return rows


def command(url: str, *words: str | int) -> object:
    with onlooker(url, decode=False) as client:
        return client.execute_command(*words)


@asynccontextmanager
async def tls_in_front(port: int, chain: Path) -> AsyncIterator[int]:
    """What speaks TLS in front of a server that may have been built without it; yields its port."""

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
        sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, here = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, here), pump(there, writer))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture
def own() -> Iterator[LocalEngine]:
    """A server of one's own, with a password."""
    with LocalEngine(password=PASSWORD) as running:
        yield running


@pytest.mark.parametrize("kind", ["server", "cluster", "sentinel"])
async def test_a_store_that_is_well_passes_whatever_its_shape(
    kind: str, request: pytest.FixtureRequest, engine: LocalEngine
) -> None:
    url = engine.url if kind == "server" else request.getfixturevalue(kind)
    rows = await look(url)
    assert not [row for row in rows.values() if row.status != "ok"]
    assert {
        "reach",
        "writes",
        "shape",
        "version",
        "eviction",
        "memory",
        "persistence",
        "replicas",
        "clock",
        "access",
    } <= (rows.keys())
    shape = {
        "server": "a single server, 0 replicas",
        "cluster": "a Cluster with 1 primary, all slots served",
        "sentinel": "the primary that Sentinel names, 0 replicas",
    }
    assert rows["shape"].detail == shape[kind]
    assert rows["version"].detail.startswith(("Redis ", "Valkey "))


async def test_the_rehearsal_leaves_no_record_behind_and_nothing_without_an_end(own: LocalEngine) -> None:
    assert (await look(own.url))["access"].status == "ok"
    names = [b":handle:", b":claim:", b":call:", b":pool:"]

    def left() -> list[bytes]:
        found = command(own.url, "KEYS", "*")
        assert isinstance(found, list)
        return found

    for _ in range(300):
        if not any(name in key for key in left() for name in names):
            break
        await asyncio.sleep(0.2)
    assert [key for key in left() if any(name in key for name in names)] == []
    assert left(), "the lists of the index outlive what they name a little"
    for key in left():
        life = command(own.url, "PTTL", key.decode())
        # -2: it ended meanwhile; -1 would be a key without an end.
        assert life == -2 or (isinstance(life, int) and 0 < life <= 130_000)


async def test_a_dead_store_is_one_failed_row_and_one_skipped(own: LocalEngine) -> None:
    url = own.url
    own.stop()
    rows = await look(url)
    assert {name: row.status for name, row in rows.items()} == {
        "address": "ok",
        "reach": "fail",
        "details": "skipped",
    }
    assert rows["reach"].fix == "start the server, or check host and port in CLOAKROOM_REDIS_URL"


async def test_a_hung_store_is_a_failed_row_within_the_deadline(own: LocalEngine) -> None:
    os.kill(own.pid, signal.SIGSTOP)
    try:
        # The server stays hung until the doctor has given up.
        rows = await look(own.url, seconds=0.5)
    finally:
        os.kill(own.pid, signal.SIGCONT)
    assert rows["reach"].status == "fail"
    assert "redis-cli PING" in rows["reach"].fix


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: url.replace(PASSWORD, "not-it"), "write user and password into CLOAKROOM_REDIS_URL"),
        (lambda url: url.replace(f":{PASSWORD}@", ""), "write user and password into CLOAKROOM_REDIS_URL"),
        (
            lambda url: url.replace("127.0.0.1", "no-such-host.invalid"),
            "check the host in CLOAKROOM_REDIS_URL",
        ),
        (lambda url: url.replace("redis://", "redis+cluster://"), "choose the scheme in CLOAKROOM_REDIS_URL"),
        (
            lambda url: url.replace("redis://", "redis+sentinel://").replace("/0", "/main"),
            "CLOAKROOM_REDIS_URL",
        ),
        (lambda url: url.replace("/0", "/99"), "leave the database number out of CLOAKROOM_REDIS_URL"),
    ],
    ids=["wrong password", "no password", "unknown host", "no cluster", "no sentinel", "no such database"],
)
async def test_a_url_that_does_not_fit_the_server_says_what_to_change(
    change: Callable[[str], str], words: str, own: LocalEngine
) -> None:
    rows = await look(change(own.url))
    assert rows["reach"].status == "fail"
    assert words in rows["reach"].fix


async def test_a_server_whose_certificate_is_not_trusted_says_so(own: LocalEngine, tmp_path: Path) -> None:
    trusted, chain = make_certificates(tmp_path)
    async with tls_in_front(own.port, chain) as port:
        secure = own.url.replace("redis://", "rediss://").replace(str(own.port), str(port))
        refused = await look(secure)
        accepted = await look(f"{secure}?ca={trusted}")
    assert refused["reach"].status == "fail"
    assert refused["reach"].detail == "the TLS handshake failed"
    assert "?ca=FILE" in refused["reach"].fix
    assert accepted["access"].status == "ok"
    assert accepted["address"].detail.endswith(", TLS")


async def test_an_access_list_that_refuses_names_the_step_and_the_command(own: LocalEngine) -> None:
    command(
        own.url,
        *("ACL", "SETUSER", "app", "on", f">{PASSWORD}x", "~cloakroom:*", "&*", "+@all"),
        *("-hset", "-info", "-time", "-acl", "-config"),
    )
    rows = await look(f"redis://app:{PASSWORD}x@127.0.0.1:{own.port}")
    assert rows["access"].status == "fail"
    assert rows["access"].detail.startswith("'app' cannot ")
    assert rows["access"].fix == f"redis-cli ACL SETUSER app {rule()}"
    # What only the doctor asks for is skipped, not failed, and says how to look instead.
    assert {name: rows[name].status for name in ("info", "clock", "writes")} == {
        "info": "skipped",
        "clock": "skipped",
        "writes": "ok",
    }
    assert rows["info"].fix.startswith("redis-cli INFO")


async def test_on_a_cluster_the_mend_keeps_what_a_cluster_needs(cluster: str) -> None:
    url = cluster.replace("redis+cluster", "redis")
    granted = [token for token in tokens(cluster=True) if token != "+hset"]
    command(url, "ACL", "SETUSER", "narrow", "on", f">{PASSWORD}x", *granted)
    rows = await look(cluster.replace("://", f"://narrow:{PASSWORD}x@"))
    command(url, "ACL", "DELUSER", "narrow")
    assert rows["access"].fix == f"redis-cli ACL SETUSER narrow {rule(cluster=True)}"


async def test_a_key_pattern_that_is_too_narrow_is_named(own: LocalEngine) -> None:
    command(own.url, "ACL", "SETUSER", "app", "on", f">{PASSWORD}x", "~cloakroom:lease:*", "&*", "+@all")
    rows = await look(f"redis://app:{PASSWORD}x@127.0.0.1:{own.port}")
    assert rows["access"].status == "fail"
    assert rows["access"].fix == "redis-cli ACL SETUSER app '~cloakroom:*'"


@pytest.mark.parametrize("channels", ["resetchannels", "&other:*"])
async def test_a_channel_that_is_closed_to_the_service_is_named(own: LocalEngine, channels: str) -> None:
    command(own.url, "ACL", "SETUSER", "app", "on", f">{PASSWORD}x", "~cloakroom:*", channels, "+@all")
    rows = await look(f"redis://app:{PASSWORD}x@127.0.0.1:{own.port}")
    assert rows["access"].detail.startswith("'app' cannot watch the live events: ")
    assert rows["access"].fix == "redis-cli ACL SETUSER app '&cloakroom:events'"


async def test_replicas_that_acknowledge_are_counted_and_held_to_the_setting(own: LocalEngine) -> None:
    with LocalEngine() as replica:
        command(replica.url, "CONFIG", "SET", "masterauth", PASSWORD)
        command(replica.url, "REPLICAOF", "127.0.0.1", own.port)
        await eventually(lambda: follows(replica), "a replica that follows")
        row = (await look(own.url))["replicas"]
        assert row.status == "ok"
        assert row.detail.startswith(
            "1 acknowledges a write (min-replicas-to-write 0, min-replicas-max-lag 10); a failover may lose"
        )
        two = (await look(own.url, CLOAKROOM_STORE_WAIT_REPLICAS="2"))["replicas"]
        assert (two.status, two.fix) == (
            "fail",
            "start the missing replicas, or set CLOAKROOM_STORE_WAIT_REPLICAS to 1",
        )
        os.kill(replica.pid, signal.SIGSTOP)
        # It is connected as before, and acknowledges nothing.
        one = (await look(own.url, CLOAKROOM_STORE_WAIT_REPLICAS="1"))["replicas"]
        assert one.detail.startswith("0 acknowledge a write")


@pytest.mark.parametrize(("wanted", "status"), [("0", "skipped"), ("1", "fail")])
async def test_a_user_who_may_not_wait_is_told_so_as_loudly_as_it_matters(
    own: LocalEngine, wanted: str, status: str
) -> None:
    granted = [token for token in tokens() if token != "+wait"]
    command(own.url, "ACL", "SETUSER", "app", "on", f">{PASSWORD}x", *granted)
    url = f"redis://app:{PASSWORD}x@127.0.0.1:{own.port}"
    row = (await look(url, CLOAKROOM_STORE_WAIT_REPLICAS=wanted))["replicas"]
    assert row.status == status
    assert row.fix.startswith("redis-cli ACL SETUSER ")
    assert row.fix.endswith(" +wait")


@pytest.mark.parametrize("missing", [name for name in COMMANDS if name != "wait"])
async def test_each_command_that_the_access_list_lacks_fails_the_row_or_the_connection(
    own: LocalEngine, missing: str
) -> None:
    granted = [token for token in tokens() if token != f"+{missing}"]
    command(own.url, "ACL", "SETUSER", "app", "on", f">{PASSWORD}x", *granted)
    rows = await look(f"redis://app:{PASSWORD}x@127.0.0.1:{own.port}/1")
    failed = {name: row for name, row in rows.items() if row.status == "fail"}
    assert failed
    assert all("ACL SETUSER" in row.fix for row in failed.values()), failed


async def test_a_user_who_may_not_even_say_who_it_is_is_told_what_to_allow(own: LocalEngine) -> None:
    command(own.url, "ACL", "SETUSER", "app", "on", f">{PASSWORD}x", "~*", "+@all", "-client|setname")
    rows = await look(f"redis://app:{PASSWORD}x@127.0.0.1:{own.port}")
    assert rows["reach"].status == "fail"
    assert rows["reach"].fix.endswith("+client|setname")


async def test_a_read_only_replica_fails_and_the_primary_is_asked_for(own: LocalEngine) -> None:
    command(own.url, "REPLICAOF", "127.0.0.1", 1)
    rows = await look(own.url)
    for name in ("shape", "writes", "access"):
        assert rows[name].status == "fail", name
    assert rows["shape"].fix == "name the primary in CLOAKROOM_REDIS_URL, or redis+sentinel://"


async def test_a_full_server_fails_its_writes(own: LocalEngine) -> None:
    command(own.url, "CONFIG", "SET", "maxmemory", 1024)
    rows = await look(own.url)
    assert rows["writes"].status == "fail"
    assert rows["writes"].detail == "the server's memory is full"
    assert rows["memory"].status == "warn"


async def test_a_policy_that_evicts_is_a_failure_where_uses_are_limited(own: LocalEngine) -> None:
    command(own.url, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", 100_000_000)
    assert (await look(own.url))["eviction"].status == "warn"
    limited = await look(own.url, CLOAKROOM_HANDLE_MAX_CALLS="1")
    assert limited["eviction"].status == "fail"
    assert "maxmemory-policy noeviction" in limited["eviction"].fix


@pytest.mark.parametrize(("name", "value"), [("appendonly", "yes"), ("save", "900 1")])
async def test_persistence_is_pointed_out(name: str, value: str, own: LocalEngine) -> None:
    command(own.url, "CONFIG", "SET", name, value)
    row = (await look(own.url))["persistence"]
    command(own.url, "CONFIG", "SET", name, "no" if value == "yes" else "")
    assert row.status == "warn"
    assert "sealed keys stay on disk" in row.detail


async def test_one_node_of_a_cluster_under_a_plain_url_is_told_apart(cluster: str) -> None:
    rows = await look(cluster.replace("redis+cluster://", "redis://"))
    assert rows["shape"].status == "fail"
    assert rows["shape"].fix == "write redis+cluster:// in CLOAKROOM_REDIS_URL"


async def test_a_cluster_that_lost_slots_fails() -> None:
    with LocalEngine(extra_args=("--cluster-enabled", "yes")) as node:
        command(node.url, "CLUSTER", "ADDSLOTSRANGE", 0, 9999)
        rows = await look(f"redis+cluster://127.0.0.1:{node.port}")
    assert "fail" in {row.status for row in rows.values()}
    text = " ".join(row.detail for row in rows.values()).lower()
    assert "slot" in text


async def test_a_clock_that_differs_is_a_warning_since_expiry_is_relative(engine: LocalEngine) -> None:
    row = (await look(engine.url, skew=-90))["clock"]
    assert row.status == "warn"
    assert row.detail.startswith("+90 s against ours")


async def test_in_production_a_store_without_a_password_is_a_warning(engine: LocalEngine) -> None:
    rows = await look(engine.url, CLOAKROOM_ENVIRONMENT="production")
    assert rows["password"].status == "warn"
    assert "CLOAKROOM_REDIS_URL" in rows["password"].fix


async def test_the_embedded_store_has_nothing_to_look_at() -> None:
    rows = await look("memory://")
    assert {name: row.status for name, row in rows.items()} == {"address": "skipped"}


async def test_an_unreadable_url_is_a_failure_that_quotes_nothing() -> None:
    rows = await look(f"redis://:{PASSWORD}@host:port/0")
    assert rows["address"].status == "fail"
    assert rows["address"].fix == "correct CLOAKROOM_REDIS_URL"
