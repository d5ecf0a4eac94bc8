"""Checks what ``deploy/haproxy/haproxy.cfg`` promises, with the real HAProxy before two small replicas.

    python deploy/drills/load_balancer.py [--haproxy /usr/sbin/haproxy]

Run it after a change of the configuration or of HAProxy's version; it takes about a minute, needs no root
and no network. Only addresses and ports differ from the file: the replicas' names are resolved by a name
server in here, as Docker's would. Exit status 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from stand_ins import CALLS, NameServer, Replica, address, garbage, slow_header

CONFIG = Path(__file__).resolve().parent.parent / "haproxy" / "haproxy.cfg"
CANARY = "ek_canary-that-no-log-may-hold"
OUR_PROXY, STRANGER = "127.0.0.1", "127.0.0.5"


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@dataclass
class Stage:
    """The two replicas, the balancer in front and what it has logged so far."""

    a: Replica
    b: Replica
    names: NameServer
    url: str
    process: asyncio.subprocess.Process
    log: list[str]
    failures: list[str] = field(default_factory=list)

    @property
    def arrivals(self) -> int:
        return len(self.a.arrived) + len(self.b.arrived)

    def check(self, promise: str, kept: bool, saw: object = "") -> None:
        say(f"ok     {promise}" if kept else f"BROKEN {promise} -- saw {saw}")
        if not kept:
            self.failures.append(promise)

    @contextlib.asynccontextmanager
    async def client(self, address: str = OUR_PROXY) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(local_addr=(address, 0))
        async with aiohttp.ClientSession(self.url, connector=connector) as session:
            yield session

    async def post(self, drill: str = "", address: str = OUR_PROXY, **headers: str) -> tuple[int, str, str]:
        """Post a small offer; returns the status, the replica's name and the body."""
        sent = {"authorization": f"Bearer {CANARY}", "x-drill": drill, **headers}
        async with self.client(address) as session, session.post(CALLS, data=b"v=0", headers=sent) as answer:
            return answer.status, answer.headers.get("x-replica", ""), await answer.text()

    async def served_by(self, tries: int = 12) -> set[str]:
        return {(await self.post())[1] for _ in range(tries)}

    async def until(self, wanted: Callable[[], Awaitable[bool]], seconds: float) -> float:
        """Seconds until ``wanted`` held, or infinity."""
        start = time.monotonic()
        while time.monotonic() - start < seconds:
            if await wanted():
                return time.monotonic() - start
            await asyncio.sleep(0.05)
        return float("inf")


async def spread_and_headers(stage: Stage) -> None:
    stage.check("requests reach both replicas", await stage.served_by() == {"a", "b"})
    for replica in (stage.a, stage.b):
        replica.headers = {}
    await stage.post(**{"x-request-id": "browser-0001", "x-openai-agents-sdk": "js"})
    seen = stage.a.headers or stage.b.headers
    stage.check("a sane x-request-id passes", seen["x-request-id"] == "browser-0001", seen)
    stage.check("Authorization and SDK headers pass", seen["authorization"].endswith(CANARY), seen)
    stage.check("unknown X- headers pass", seen["x-openai-agents-sdk"] == "js", seen)

    for bad in ("", 'a"b {', "x" * 200):
        stage.a.headers = stage.b.headers = {}
        await stage.post(**{"x-request-id": bad})
        seen = stage.a.headers or stage.b.headers
        stage.check(f"x-request-id {bad[:8]!r} is replaced", len(seen["x-request-id"]) == 36, seen)

    forged = {"x-forwarded-for": "6.6.6.6", "x-forwarded-proto": "https", "x-forwarded-host": "evil.example"}
    stage.a.headers = stage.b.headers = {}
    await stage.post(address=STRANGER, **forged)
    seen = stage.a.headers or stage.b.headers
    told = (seen["all-forwarded-for"], seen["x-forwarded-proto"])
    stage.check("a stranger's X-Forwarded-* are not believed", told == (STRANGER, "http"), seen)
    stage.check("nor is its X-Forwarded-Host", "evil" not in seen["x-forwarded-host"], seen)
    stage.a.headers = stage.b.headers = {}
    await stage.post(**forged)
    seen = stage.a.headers or stage.b.headers
    told = (seen["all-forwarded-for"], seen["x-forwarded-proto"])
    stage.check("our TLS proxy's are kept and extended", told == (f"6.6.6.6,{OUR_PROXY}", "https"), seen)


async def bodies(stage: Stage) -> None:
    async with stage.client() as session:
        async with session.post(CALLS, data=b"x" * 65_536) as answer:
            stage.check("64 KiB arrive whole", answer.headers["x-size"] == "65536", answer.headers)
        before = stage.arrivals
        async with session.post(CALLS, data=b"x" * (4_194_304 + 1)) as answer:
            told = (answer.status, (await answer.json())["error"]["code"])
            stage.check("past 4 MiB is 413 in our shape", told == (413, "request_too_large"), told)
        stage.check("and no replica sees it", stage.arrivals == before)

        async def slowly() -> AsyncIterator[bytes]:
            yield b"first"
            await asyncio.sleep(1)
            yield b"last"

        async with session.post(CALLS, data=slowly()) as answer:
            replica = stage.a if answer.headers["x-replica"] == "a" else stage.b
        gap = replica.last_byte_at - replica.first_byte_at
        stage.check("a request body is passed on as it comes", gap > 0.8, gap)
        start = time.monotonic()
        async with session.post(CALLS, headers={"x-drill": "trickle=1"}) as answer:
            await answer.content.readany()
            first = time.monotonic() - start
            await answer.read()
        stage.check("so is an answer", first < 0.1 and time.monotonic() - start > 0.9, first)


async def one_send(stage: Stage) -> None:
    before = stage.arrivals
    status, _, text = await stage.post("drop")
    told = (status, json.loads(text)["error"]["code"], stage.arrivals - before)
    stage.check("a POST whose replica was lost: 502, sent once", told == (502, "outcome_unknown", 1), told)
    before = stage.arrivals
    async with stage.client() as session:
        async with session.post(CALLS) as answer:
            await answer.read()
        async with session.post(CALLS, headers={"x-drill": "drop"}) as answer:
            code = (await answer.json())["error"]["code"]
    told = (answer.status, code, stage.arrivals - before)
    stage.check("also as the second on its connection", told == (502, "outcome_unknown", 2), told)

    await stage.a.stop()  # its port refuses, and the check has not noticed yet
    before = stage.arrivals
    answers = [await stage.post() for _ in range(4)]
    served = [answer[:2] for answer in answers]
    sent_once = served == [(200, "b")] * 4 and stage.arrivals - before == 4
    stage.check("a refused connection goes to the other replica", sent_once, served)
    await stage.a.start()
    back = await stage.until(lambda: _both(stage), 6)
    stage.check("a replica that came back is used again", back < 6, back)


async def _both(stage: Stage) -> bool:
    return await stage.served_by(4) == {"a", "b"}


async def draining(stage: Stage) -> None:
    in_flight = [asyncio.create_task(stage.post("wait=4")) for _ in range(4)]
    await asyncio.sleep(0.5)
    busy = [len(stage.a.arrived), len(stage.b.arrived)]
    stage.a.ready = False
    noticed = await stage.until(lambda: _only_b(stage), 5)
    stage.check("a replica that is not ready gets nothing new within 2.5 s", noticed < 2.5, noticed)
    stage.a.ready = True  # the stand-in would answer 503 otherwise; only the balancer's part is of interest
    answers = await asyncio.gather(*in_flight)
    finished = {answer[:2] for answer in answers}
    stage.check("and finishes what it has", finished == {(200, "a"), (200, "b")}, finished)
    stage.check("the drill had work on both", min(busy) > 0, busy)
    await stage.until(lambda: _both(stage), 6)

    stage.a.ready = stage.b.ready = False
    await asyncio.sleep(2.5)
    status, _, text = await stage.post()
    told = (status, json.loads(text)["error"]["code"])
    stage.check("with none ready a live replica explains itself", told == (503, "draining"), told)
    stage.a.ready = stage.b.ready = True
    await stage.until(lambda: _both(stage), 6)


async def _only_b(stage: Stage) -> bool:
    return await stage.served_by(4) == {"b"}


async def patience(stage: Stage) -> None:
    slow, kept, header, noise = await asyncio.gather(
        stage.post("wait=36"), _walk_away(stage), slow_header(stage.url), garbage(stage.url)
    )
    stage.check("an answer that takes 36 s arrives", slow[0] == 200, slow)
    stage.check("a browser that leaves does not cut its relay", bool(kept), kept)
    stage.check("a header that never ends is 408", "408" in header and '"invalid_request"' in header, header)
    stage.check("what is no HTTP is 400", "400" in noise and '"invalid_request"' in noise, noise)


async def _walk_away(stage: Stage) -> bool | None:
    for replica in (stage.a, stage.b):
        replica.kept_line = None
    _, writer = await asyncio.open_connection(*address(stage.url))
    head = f"POST {CALLS} HTTP/1.1\r\nhost: x\r\nx-drill: wait=3\r\ncontent-length: 2\r\n\r\n"
    writer.write(head.encode() + b"v=")
    await writer.drain()
    await asyncio.sleep(1)
    writer.close()
    await asyncio.sleep(3)
    return stage.a.kept_line or stage.b.kept_line


async def edges(stage: Stage) -> None:
    before = stage.arrivals
    async with stage.client() as session:
        for path in ("/metrics", "/v1/METRICS", "/%6detrics"):
            async with session.get(path) as answer:
                stage.check(f"{path} is not public", answer.status == 404, answer.status)
        stage.check("and no replica sees those", stage.arrivals == before)
        async with session.get(f"/v1/models?key={CANARY}") as answer:
            stage.check("other paths pass", answer.status == 200, answer.status)

    stage.names.addresses["replica-a"] = "127.0.0.4"
    await stage.a.stop()
    stage.a.address = "127.0.0.4"
    await stage.a.start()
    found = await stage.until(lambda: _both(stage), 20)
    stage.check("a replica with a new address is found", found < 20, found)

    await stage.a.stop()
    await stage.b.stop()
    await asyncio.sleep(3)
    async with stage.client() as session, session.post(CALLS) as answer:
        told = (answer.status, (await answer.json())["error"]["code"], answer.headers.get("retry-after"))
        stage.check("with none alive: 503, our shape, Retry-After", told == (503, "overloaded", "1"), told)
        stage.check("readable from another origin", answer.headers.get("access-control-allow-origin") == "*")
    await stage.a.start()
    await stage.b.start()
    await stage.until(lambda: _both(stage), 8)


async def leaving(stage: Stage) -> None:
    late = asyncio.create_task(stage.post("wait=2"))
    await asyncio.sleep(0.5)
    stage.process.send_signal(signal.SIGUSR1)
    stage.check("a soft stop lets a request finish", (await late)[0] == 200)
    await asyncio.wait_for(stage.process.wait(), 10)
    stage.check("and then ends", True)
    await asyncio.sleep(0.2)
    lines = [line for line in stage.log if '"proxied"' in line]
    told = [json.loads(line)["path"] for line in lines]
    stage.check("the access lines are JSON and name the path", CALLS in told, told[:3])
    leaks = [line for line in stage.log if CANARY in line]
    stage.check("no log line has a header or a query string", not leaks, leaks[:3])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


async def _collect(process: asyncio.subprocess.Process, log: list[str]) -> None:
    while process.stdout and (line := await process.stdout.readline()):
        log.append(line.decode(errors="replace").strip())


def _copy_of_the_configuration(folder: str, changes: dict[str, str]) -> str:
    text = CONFIG.read_text(encoding="utf-8")
    for old, new in changes.items():
        if old not in text:
            raise SystemExit(f"{CONFIG.name} has no {old!r} any more: bring this drill up to date")
        text = text.replace(old, new)
    config = Path(folder, CONFIG.name)
    config.write_text(text, encoding="utf-8")
    for page in CONFIG.parent.glob("*.http"):
        shutil.copy(page, folder)
    return str(config)


async def drill(haproxy: list[str]) -> int:
    a, b = Replica("a", "127.0.0.2", _free_port()), Replica("b", "127.0.0.3", _free_port())
    await a.start()
    await b.start()
    loop = asyncio.get_running_loop()
    transport, names = await loop.create_datagram_endpoint(
        lambda: NameServer({"replica-a": a.address, "replica-b": b.address}), local_addr=("127.0.0.1", 0)
    )
    name_port = transport.get_extra_info("sockname")[1]
    port = _free_port()
    changes = {
        "bind :8080": f"bind 127.0.0.1:{port}",
        "bind :8404": f"bind 127.0.0.1:{_free_port()}",
        "127.0.0.11:53": f"127.0.0.1:{name_port}",
        "replica-a:8080": f"replica-a:{a.port}",
        "replica-b:8080": f"replica-b:{b.port}",
    }
    with tempfile.TemporaryDirectory() as folder:
        config = _copy_of_the_configuration(folder, changes)
        process = await asyncio.create_subprocess_exec(
            *haproxy, "-W", "-db", "-f", config, stdout=PIPE, stderr=STDOUT,
            env={**os.environ, "LB_TRUSTED_PROXIES": f"{OUR_PROXY} 10.0.0.0/8"},
        )  # fmt: skip
        log: list[str] = []
        collector = asyncio.create_task(_collect(process, log))
        stage = Stage(a, b, names, f"http://127.0.0.1:{port}", process, log)
        try:
            await stage.until(lambda: _answers(stage), 15)
            for act in (spread_and_headers, bodies, one_send, draining, patience, edges, leaving):
                await act(stage)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
            collector.cancel()
            transport.close()
            await a.stop()
            await b.stop()
    if stage.failures:
        say("\n".join((f"{len(stage.failures)} broken; the balancer said:", *log[-20:])))
    return 1 if stage.failures else 0


async def _answers(stage: Stage) -> bool:
    try:
        return await _both(stage)
    except aiohttp.ClientError:
        return False


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--haproxy", default="haproxy", help="the program, and arguments that it needs first")
    sys.exit(asyncio.run(drill(parser.parse_args().haproxy.split())))
