"""Certificates that change in their files: a replica takes them while it serves, as it takes its secrets."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp

from tests.support.api import Reply, mint
from tests.support.certificates import make_certificates
from tests.support.clocks import eventually
from tests.support.processes import Replica
from tests.support.proxy import pump
from tests.support.stack import Stack


class Authority:
    """A CA, and a certificate of it that serves both sides here."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.trusted, self.chain = make_certificates(folder)

    @property
    def context(self) -> ssl.SSLContext:
        """For a server that takes clients of this authority only."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.trusted))
        context.load_cert_chain(self.chain)
        context.verify_mode = ssl.CERT_REQUIRED
        # So that a client whose certificate is refused hears of it before it sends anything.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context


class Front:
    """TLS with client certificates in front of the provider."""

    def __init__(self, provider: str, authority: Authority) -> None:
        parts = urlsplit(provider)
        self._there = str(parts.hostname), int(parts.port or 80)
        self._authority = authority
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.use(self._authority)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def use(self, authority: Authority) -> None:
        """From now on be of this authority, and take its clients, on the same port; open connections end."""
        await self._end()
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, ssl=authority.context, reuse_address=True
        )
        self.port = int(self._server.sockets[0].getsockname()[1])

    def drop(self) -> None:
        """End the open connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def _end(self) -> None:
        self.drop()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(*self._there)
        self._writers |= {writer, there[1]}
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
        self._writers -= {writer, there[1]}


SETTINGS: Final = {"provider_ca_file": "trusted", "provider_client_cert_file": "chain"}


def put(folder: Path, authority: Authority) -> None:
    """The replica's files: of this authority from now on, replaced in one step each."""
    for of in SETTINGS.values():
        new = folder / f"{of}.new"
        shutil.copy(getattr(authority, of), new)
        new.rename(folder / f"{of}.pem")


async def test_new_certificates_count_without_a_restart_and_bad_ones_change_nothing(
    static_stack: Stack, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    stack = static_stack
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    put(tmp_path, old)
    async with Front(stack.sandbox.url, old) as front:
        files = {f"CLOAKROOM_{name.upper()}": str(tmp_path / f"{of}.pem") for name, of in SETTINGS.items()}
        replica = stack.replica("certified", OPENAI_BASE_URL=f"{front.url}/v1", **files)

        async def minted() -> Reply:
            return await mint(http, replica.url, stack.planted.client_key)

        async def works() -> bool:
            return (await minted()).status == 200

        assert (await minted()).status == 200

        (tmp_path / "chain.pem").write_text("no certificate", encoding="utf-8")
        refused = await asyncio.to_thread(replica.wait_for_event, "secrets_refused")
        assert refused["reason"].startswith("CLOAKROOM_PROVIDER_CLIENT_CERT_FILE: ")
        assert "holds no certificate" in refused["reason"]
        front.drop()
        await eventually(works, "the certificates in force do not serve on")

        put(tmp_path, new)
        await front.use(new)
        line = await reloaded(replica)
        assert (line["trigger"], set(line["changed"])) in (("file", {*SETTINGS}), ("again", {*SETTINGS}))
        await eventually(works, lambda: replica.output[-3000:])
        # The old ones are of no use any more: what serves are the new ones, on both sides.
        front.drop()
        await eventually(works)
        replica.stop()


async def reloaded(replica: Replica) -> dict[str, Any]:
    """The last line of a reload that took something."""
    found: list[dict[str, Any]] = await eventually(
        lambda: [line for line in replica.events("secrets_reloaded") if line["changed"]],
        lambda: replica.output[-3000:],
    )
    return found[-1]
