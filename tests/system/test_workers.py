"""One command, several workers on one port: they serve, die, are replaced and end as one replica."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from app.settings.groups.workers import usable_cpus
from tests.faults.drill import Progress
from tests.faults.workers import kill
from tests.support.api import called, mint, minted, relay
from tests.support.clocks import eventually, until
from tests.support.crew import Crew, alive, fresh_connections, stats
from tests.support.handles import claims_of
from tests.support.planted import Planted
from tests.support.processes import Process
from tests.support.scrape import OPEN_METRICS, scrape
from tests.support.stack import Stack


@pytest.fixture
def crews(static_stack: Stack) -> Iterator[list[Crew]]:
    """Those that a test starts; they end with it."""
    started: list[Crew] = []
    yield started
    for crew in started:
        crew.stop()


@pytest.fixture
async def each() -> AsyncIterator[aiohttp.ClientSession]:
    """A connection for each request."""
    async with fresh_connections() as session:
        yield session


async def start(crews: list[Crew], stack: Stack, workers: int | str = 2, **settings: str) -> Crew:
    crew = await asyncio.to_thread(Crew, "crew", stack.environment(**settings), workers)
    crews.append(crew)
    return crew


async def ready(http: aiohttp.ClientSession, base: str) -> tuple[int, dict[str, object]]:
    async with http.get(f"{base}/readyz") as answer:
        return answer.status, await answer.json()


async def minted_by_each(http: aiohttp.ClientSession, crew: Crew, key: str) -> tuple[dict[str, str], int]:
    """Mint until each worker has answered: a handle of each by the name in the answer; how many mints."""
    found: dict[str, str] = {}
    number = 0

    async def all_of_them() -> bool:
        nonlocal number
        reply = await mint(http, crew.url, key)
        assert reply.status == 200, reply
        number += 1
        found[reply.headers["x-cloakroom-replica"]] = reply.json["value"]
        return len(found) == crew.count

    await eventually(all_of_them, lambda: f"not every worker answers: {list(found)}")
    return found, number


async def test_any_worker_relays_what_any_other_minted(
    static_stack: Stack, crews: list[Crew], each: aiohttp.ClientSession
) -> None:
    crew = await start(crews, static_stack, 3)
    handles, _ = await minted_by_each(each, crew, static_stack.planted.client_key)
    assert sorted(handles) == ["crew.0", "crew.1", "crew.2"]
    relayed_by = set()
    for _ in range(200):
        for handle in handles.values():
            reply = await relay(each, crew.url, handle)
            assert reply.status == 201, reply
            relayed_by.add(reply.headers["x-cloakroom-replica"])
        if len(relayed_by) == 3:
            break
    assert relayed_by == set(handles)
    (supervising,) = crew.events("supervising")
    listening = crew.events("listening")
    assert {tuple(one["addresses"]) for one in listening} == {tuple(supervising["addresses"])}
    assert {one["replica"] for one in listening} == set(handles)
    assert {one["pid"] for one in listening} == set(crew.pids().values())
    figures = await stats(each, crew.url, static_stack.planted.admin_key)
    assert [(one["worker"], one["pid"], one["up"], one["restarts"]) for one in figures["workers"]] == [
        (number, pid, True, 0) for number, pid in sorted(crew.pids().items())
    ]
    assert figures["in_flight"] == sum(one["in_flight"] for one in figures["workers"]) >= 1


async def test_the_metrics_are_of_all_workers_and_survive_one(
    static_stack: Stack, crews: list[Crew], each: aiohttp.ClientSession
) -> None:
    crew = await start(crews, static_stack)
    key = static_stack.planted.client_key
    _, number = await minted_by_each(each, crew, key)
    for accept in ("*/*", OPEN_METRICS):
        # Whichever is asked tells of all.
        for _ in range(8):
            seen = await scrape(each, crew.url, accept)
            assert seen.status == 200
            assert seen.value("cloakroom_mints_total") == number
            assert seen.value("cloakroom_request_duration_seconds_count", operation="mint") == number
            assert seen.value("cloakroom_worker_up") == 2
            for worker in ("0", "1"):
                assert seen.value("process_resident_memory_bytes", worker=worker)
            assert seen.value("cloakroom_requests_in_flight_limit") == 2 * 1024
    died = crew.kill(1)
    await asyncio.to_thread(crew.wait_for_next, 1, died)
    await eventually(lambda: len(crew.events("listening")) == 3)
    assert (await scrape(each, crew.url)).value("cloakroom_mints_total") == number
    _, more = await minted_by_each(each, crew, key)
    seen = await scrape(each, crew.url)
    assert seen.value("cloakroom_mints_total") == number + more
    assert seen.value("cloakroom_worker_restarts_total", worker="1") == 1
    assert seen.value("cloakroom_worker_restarts_total", worker="0") == 0
    assert seen.value("cloakroom_worker_up") == 2


async def test_a_worker_that_dies_again_and_again_ends_the_replica_with_the_reason(
    static_stack: Stack, crews: list[Crew], each: aiohttp.ClientSession
) -> None:
    crew = await start(crews, static_stack)
    died = crew.kill(0)
    for _ in range(3):
        died = await asyncio.to_thread(crew.wait_for_next, 0, died)
        os.kill(died, signal.SIGKILL)

    # The next start waits for two seconds.
    async def told() -> bool:
        return (await ready(each, crew.url)) == (200, {"status": "ready", "workers_down": 1})

    await eventually(told, lambda: crew.output)
    died = await asyncio.to_thread(crew.wait_for_next, 0, died)
    os.kill(died, signal.SIGKILL)
    assert await asyncio.to_thread(crew.wait) == 1
    assert [one["again_in_seconds"] for one in crew.events("worker_died")] == [0, 0.5, 1, 2, None]
    last = crew.lines[-1]
    assert last.startswith("cloakroom: the workers cannot be kept alive: worker 0 died 5 times within 60 s")
    assert "SIGKILL" in last
    assert not any(map(alive, crew.pids().values()))


async def test_sigterm_drains_all_workers_and_fails_no_request(
    static_stack: Stack, crews: list[Crew], each: aiohttp.ClientSession
) -> None:
    crew = await start(crews, static_stack, CLOAKROOM_DRAIN_SECONDS="3")
    key, leaving = static_stack.planted.client_key, asyncio.Event()
    served: list[int] = []

    async def caller(http: aiohttp.ClientSession) -> None:
        # A load balancer's callers go elsewhere once it has seen that the replica drains.
        while not leaving.is_set():
            handle = await minted(http, crew.url, key)
            await called(http, crew.url, handle)
            served.append(1)

    async with aiohttp.ClientSession() as keeping:
        callers = [asyncio.create_task(caller(http)) for http in (each, keeping) for _ in range(4)]
        await eventually(lambda: len(served) > 20)
        crew.signal(signal.SIGTERM)
        await asyncio.to_thread(crew.wait_for_event, "draining")
        await eventually(lambda: len(crew.events("draining")) == 2)
        for _ in range(20):
            status, body = await ready(each, crew.url)
            assert (status, body["error"]["code"]) == (503, "draining")  # type: ignore[index]  # an error's body
        leaving.set()
        await asyncio.gather(*callers)
    assert await asyncio.to_thread(crew.wait) == 0
    assert len(crew.events("draining")) == 2
    assert not any(map(alive, crew.pids().values()))


async def test_a_relay_in_flight_is_finished_before_the_end(
    static_stack: Stack, crews: list[Crew], each: aiohttp.ClientSession
) -> None:
    crew = await start(crews, static_stack)
    handle = await minted(each, crew.url, static_stack.planted.client_key)
    static_stack.sandbox.control("POST", "faults", {"kind": "delay", "path": "calls", "seconds": 3.0})
    relaying = asyncio.create_task(relay(each, crew.url, handle))
    await eventually(static_stack.sandbox.struck)
    # As a terminal and some service managers do: each process gets it.
    for pid in (*crew.pids().values(), crew.pid):
        os.kill(pid, signal.SIGINT)
    assert (await relaying).status == 201
    assert await asyncio.to_thread(crew.wait) == 0


async def test_a_second_signal_ends_all_at_once(static_stack: Stack, crews: list[Crew]) -> None:
    crew = await start(crews, static_stack, CLOAKROOM_DRAIN_SECONDS="300")
    crew.signal(signal.SIGTERM)
    await asyncio.to_thread(crew.wait_for_event, "draining")
    crew.signal(signal.SIGINT)
    assert await asyncio.to_thread(crew.wait) == -signal.SIGINT
    await eventually(lambda: not any(map(alive, crew.pids().values())))


async def test_workers_end_with_their_supervisor_and_finish_what_is_in_flight(
    static_stack: Stack, crews: list[Crew], each: aiohttp.ClientSession
) -> None:
    crew = await start(crews, static_stack, CLOAKROOM_DRAIN_SECONDS="300")
    handle = await minted(each, crew.url, static_stack.planted.client_key)
    static_stack.sandbox.control("POST", "faults", {"kind": "delay", "path": "calls", "seconds": 3.0})
    relaying = asyncio.create_task(relay(each, crew.url, handle))
    await eventually(static_stack.sandbox.struck)
    crew.signal(signal.SIGKILL)
    assert (await relaying).status == 201
    await eventually(lambda: not any(map(alive, crew.pids().values())))
    with pytest.raises(aiohttp.ClientConnectorError):
        await ready(each, crew.url)


async def test_sighup_has_every_worker_read_the_secrets_anew_and_ends_none(
    static_stack: Stack, crews: list[Crew], each: aiohttp.ClientSession, tmp_path: Path
) -> None:
    file, planted = tmp_path / "api_keys", static_stack.planted
    file.write_text(f"shop:{planted.client_key}", encoding="utf-8")
    environment = static_stack.environment(CLOAKROOM_API_KEYS_FILE=str(file))
    del environment["CLOAKROOM_API_KEYS"]
    crew = await asyncio.to_thread(Crew, "crew", environment, 2)
    crews.append(crew)
    before, new_key = crew.pids(), Planted().client_key
    file.write_text(f"shop:{planted.client_key},kiosk:{new_key}", encoding="utf-8")
    crew.signal(signal.SIGHUP)
    await eventually(lambda: len(crew.events("secrets_reloaded")) == 2, lambda: crew.output)
    assert {line["replica"] for line in crew.events("secrets_reloaded")} == {"crew.0", "crew.1"}
    assert crew.events("settings_need_restart") == []
    await minted_by_each(each, crew, new_key)
    assert crew.pids() == before


async def test_auto_is_a_worker_for_each_cpu_that_may_be_used(static_stack: Stack, crews: list[Crew]) -> None:
    if usable_cpus() == 1:
        with contextlib.ExitStack() as stack:
            replica = stack.enter_context(static_stack.replica("auto", CLOAKROOM_WORKERS="auto"))
            assert replica.events("supervising") == []
        return
    crew = await start(crews, static_stack, "auto")
    assert crew.count == len(crew.pids()) == usable_cpus()


async def test_a_worker_that_is_started_again_reads_the_settings_anew(
    static_stack: Stack, crews: list[Crew], each: aiohttp.ClientSession, tmp_path: Path
) -> None:
    file = tmp_path / "cloakroom.yaml"
    file.write_text("handle_max_calls: 1\n", encoding="utf-8")
    crew = await start(crews, static_stack, CLOAKROOM_CONFIG=str(file))

    admin = {"Authorization": f"Bearer {static_stack.planted.admin_key}"}

    async def uses_of_worker_1() -> int:
        handles, _ = await minted_by_each(each, crew, static_stack.planted.client_key)
        url = f"{crew.url}/admin/v1/handles/{claims_of(handles['crew.1'])['jti']}"
        async with each.get(url, headers=admin) as answer:
            return int((await answer.json())["max_calls"])

    assert await uses_of_worker_1() == 1
    # Where it listens is settled.
    file.write_text("handle_max_calls: 2\nops_port: 0\n", encoding="utf-8")
    died = crew.kill(1)
    await asyncio.to_thread(crew.wait_for_next, 1, died)
    assert await uses_of_worker_1() == 2
    file.write_text("handle_max_calls: many\n", encoding="utf-8")
    died = crew.kill(1)
    await asyncio.to_thread(crew.wait_for_next, 1, died)
    assert await uses_of_worker_1() == 1
    (told,) = crew.events("settings_not_usable")
    assert "CLOAKROOM_HANDLE_MAX_CALLS" in told["reason"]
    assert (await scrape(each, crew.url)).value("cloakroom_worker_up") == 2


def failing(stack: Stack, **settings: str) -> Process:
    """``serve --workers 2`` that cannot start; returns when it has ended."""
    process = Process(
        ["app", "serve", "--workers", "2"],
        stack.environment(CLOAKROOM_HOST="127.0.0.1", CLOAKROOM_REPLICA="crew", **settings),
    )
    with process:
        assert process.wait() == 1
    return process


def test_a_taken_port_is_told_once(static_stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = failing(static_stack, CLOAKROOM_PORT=str(taken.getsockname()[1]))
    assert process.lines == [
        "cloakroom: cannot listen: Address already in use; see CLOAKROOM_HOST, _PORT, _OPS_HOST, _OPS_PORT"
    ]


def test_settings_that_only_a_worker_can_judge_are_told_once(static_stack: Stack) -> None:
    process = failing(static_stack, CLOAKROOM_PORT="0", CLOAKROOM_PROVIDER_CA_FILE="/nowhere/ca.pem")
    told = [line for line in process.lines if not line.startswith("{")]
    assert sum("CLOAKROOM_PROVIDER_CA_FILE" in line for line in told) == 1
    assert told[-1] == (
        "cloakroom: the workers cannot be kept alive: worker 0 ended with status 1 before it served; what it "
        "said is above"
    )
    assert len(process.events("worker_started")) == 1


async def test_metrics_and_operators_have_their_port_beside(
    static_stack: Stack, crews: list[Crew], each: aiohttp.ClientSession
) -> None:
    crew = await start(crews, static_stack, CLOAKROOM_OPS_PORT="0")
    (supervising,) = crew.events("supervising")
    main, operations = (f"http://{address}" for address in supervising["addresses"])
    assert main == crew.url
    for _ in range(8):
        assert (await scrape(each, operations)).value("cloakroom_worker_up") == 2
        assert (await ready(each, operations))[0] == 200
    async with each.get(f"{main}/metrics") as answer:
        assert answer.status == 404
    assert len((await stats(each, operations, static_stack.planted.admin_key))["workers"]) == 2


async def test_the_log_is_whole_lines_of_workers_with_names(
    static_stack: Stack, crews: list[Crew], each: aiohttp.ClientSession
) -> None:
    crew = await start(crews, static_stack)
    key = static_stack.planted.client_key
    await asyncio.gather(*(minted(each, crew.url, key) for _ in range(300)))
    # A line that is cut in two cannot be read.
    await eventually(lambda: len(crew.events("mint")) == 300)
    mints = crew.events("mint")
    assert {line["replica"] for line in mints} == {"crew.0", "crew.1"}
    assert all(line.startswith("{") and line.endswith("}") for line in crew.lines)


def test_without_the_setting_there_is_no_supervisor(static_stack: Stack) -> None:
    assert static_stack.a.events("supervising") == []
    until(lambda: static_stack.a.running)


async def test_killed_workers_cost_only_their_own_requests() -> None:
    figures = await kill(Progress("workers"), 2)
    assert figures["refused"] == 0
    assert int(figures["mints"]) > 0
    assert int(figures["relays"]) > 0
