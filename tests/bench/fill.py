"""Fills a store with live handles: the records and index entries that a million mints would have left.

They are written by ``HandleStore.save`` itself, over a connection that packs a thousand of its script calls
into one write, which is some twenty times as quick as a mint.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import hiredis
import redis

from app.handles.grants import Grant, seal_grant
from app.handles.keyring import parse_sealing_ring
from app.handles.sealing import Sealer
from app.handles.tokens import new_handle_id
from app.models import Secret
from app.store import scripts
from app.store.connection import StoreConnection
from app.store.records.handles import HandleStore
from app.store.records.record import HandleRecord
from app.store.scripts import Script
from tests.bench.nginx import KEY
from tests.bench.tools import BenchError

CLIENTS: Final = 20
# Revoked in the course of the measurement.
LEAVER: Final = "leaver"
_LEAVES_EVERY: Final = 100
_BATCH: Final = 1000
_REPORT_EVERY: Final = 50_000
# Lives as at a busy moment: some handles fresh, some nearly over, none of them over before the run is.
_LIVES: Final = (1800, 7100)

ScriptCall = tuple[Script, Sequence[str], Sequence[str | int]]


class BulkConnection:
    """Stands in for ``StoreConnection`` where only scripts are written; reads replies late."""

    def __init__(self, url: str) -> None:
        with redis.Redis.from_url(url) as client:
            for script in vars(scripts).values():
                if isinstance(script, Script):
                    client.script_load(script.text)
            port = client.connection_pool.connection_kwargs["port"]
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._reader = hiredis.Reader()
        self._packed: list[bytes] = []
        self._owed = 0

    def by_slot(self, names: Sequence[str]) -> list[Sequence[str]]:
        return [names]

    # A single server: no other node could take a record.
    elsewhere = False

    async def run_first(self, call: ScriptCall, *beside: ScriptCall, patient: bool = False) -> Any:
        del patient
        return (await self.run_scripts(call, *beside))[0]

    async def run_script(self, script: Script, key_names: Sequence[str], *args: str | int) -> Any:
        return (await self.run_scripts((script, key_names, args)))[0]

    async def run_scripts(self, *calls: ScriptCall) -> list[Any]:
        pack: Any = hiredis.pack_command  # its stub asks for a tuple of one
        self._packed += [
            pack(("EVALSHA", script.sha1, len(names), *names, *args)) for script, names, args in calls
        ]
        if len(self._packed) >= _BATCH:
            self.flush()
        return [1] * len(calls)

    def flush(self) -> None:
        """Send what was collected, then read the replies to what was sent before."""
        sent, self._packed = self._packed, []
        self._socket.sendall(b"".join(sent))
        self._settle()
        self._owed = len(sent)

    def close(self) -> None:
        self.flush()
        self._settle()
        self._socket.close()

    def _settle(self) -> None:
        while self._owed:
            reply = self._reader.gets()
            if reply is False:
                self._reader.feed(self._socket.recv(65_536))
                continue
            if isinstance(reply, Exception):
                raise BenchError(f"the store refused a record: {reply}")
            self._owed -= 1


def fill(url: str, wanted: int, *, told: Callable[[str], None], first: int = 0) -> None:
    """Write handles number ``first`` to ``wanted``.

    ``told`` hears how far it is.

    Raises:
        BenchError: the store refuses a record.
    """
    connection = BulkConnection(url)
    store = HandleStore(cast(StoreConnection, connection), replica="bench-a")
    sealer = Sealer(parse_sealing_ring(f"seal1:{secrets.token_urlsafe(32)}"))
    now, chance = time.time(), random.Random(wanted)

    async def write() -> None:
        for number in range(first, wanted):
            life = chance.uniform(*_LIVES)
            await store.save(_record(number, sealer, int(now), int(now + life)), life=life)
            if number and number % _REPORT_EVERY == 0:
                told(f"{number:,} of {wanted:,} handles")

    try:
        asyncio.run(write())
    finally:
        connection.close()


def _record(number: int, sealer: Sealer, now: int, expires_at: int) -> HandleRecord:
    handle_id = new_handle_id()
    client = LEAVER if number % _LEAVES_EVERY == 0 else f"client-{number % CLIENTS}"
    sealed = seal_grant(sealer, Grant(Secret(KEY), None), handle_id, client, str(expires_at))
    return HandleRecord(
        id=handle_id,
        model="gpt-realtime-2.1",
        deployment="openai",
        provider="openai",
        family="realtime",
        client=client,
        subject=f"user-{number:07d}",
        origin="https://shop.example.com",
        minted_at=now,
        expires_at=expires_at,
        minted_by="bench-a",
        max_calls=0,
        sealed_key=sealed,
    )
