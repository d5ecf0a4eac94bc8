"""The servers that are compared, each with the requests that it takes."""

from __future__ import annotations

import json
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol, Self

from tests.bench.nginx import offer
from tests.bench.program import Program
from tests.bench.tools import ROOT
from tests.bench.wrk import TOKEN, Load, request_template
from tests.support.planted import Planted

ORIGIN: Final = "https://shop.example.com"
MINT_PATH: Final = "/v1/realtime/client_secrets"
RELAY_PATH: Final = "/v1/realtime/calls"
MODEL: Final = "gpt-realtime-2.1"
MINT_BODY: Final = f'{{"model": "{MODEL}"}}'.encode()
# What a browser sends beside what matters.
_BROWSER: Final = (
    ("Origin", ORIGIN),
    ("Accept", "*/*"),
    ("Accept-Language", "en-GB,en;q=0.9"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0",
    ),
    ("Referer", f"{ORIGIN}/"),
)
# Far above what is measured: the limit is counted and never reached.
_MINTS_PER_MINUTE: Final = 1_000_000


class Contender(Protocol):
    """A running server and its loads."""

    name: str
    url: str

    @property
    def pid(self) -> int: ...

    def mint(self, *, limited: bool) -> Load: ...

    def relay(self, handles: int) -> Load: ...

    def forget_output(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def mint_load(key: str, *, path: str = MINT_PATH) -> Load:
    """Mints with a client's key."""
    headers = (("Authorization", f"Bearer {TOKEN.decode()}"), ("Content-Type", "application/json"), *_BROWSER)
    return Load(request_template(path, headers, MINT_BODY), (key,))


def relay_load(tokens: tuple[str, ...], *, path: str = RELAY_PATH) -> Load:
    """Relays of one offer after another, no two alike, with these handles in turn."""
    headers = (("Authorization", f"Bearer {TOKEN.decode()}"), ("Content-Type", "application/sdp"), *_BROWSER)
    return Load(request_template(path, headers, offer()), tokens)


def mint_once(url: str, key: str) -> dict[str, Any]:
    """One mint, outside every measurement; the JSON of its answer."""
    request = urllib.request.Request(
        url + MINT_PATH,
        method="POST",
        data=MINT_BODY,
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        found: dict[str, Any] = json.load(response)
        return found


class Floor(Program):
    """The bare aiohttp server of ``floor.py``.

    ``trips``: how often Cloakroom goes to Redis for each kind of request; the floor goes as often.
    """

    def __init__(self, *, provider: str, redis: str, cpus: set[int], prefix: tuple[str, ...] = ()) -> None:
        super().__init__(
            "floor",
            [*prefix, sys.executable, "-m", "tests.bench.floor"],
            {"FLOOR_PROVIDER": provider, "FLOOR_REDIS": redis},
            cpus=cpus,
        )
        self.trips = {"mint, limited": 2, "mint": 1, "relay": 2}
        try:
            port = self.wait_for_event("floor_ready", seconds=300)["port"]
        except BaseException:
            self.stop()
            raise
        self.url = f"http://127.0.0.1:{port}"

    def mint(self, *, limited: bool) -> Load:
        trips = self.trips["mint, limited" if limited else "mint"]
        return mint_load("ck_floor", path=f"/{trips}{MINT_PATH}")

    def relay(self, handles: int) -> Load:
        del handles
        return relay_load(("ek_floor",), path=f"/{self.trips['relay']}{RELAY_PATH}")


class Cloakroom(Program):
    """One replica, set up as in production: limits, CORS, sealing, metrics, and a log line for every request.

    Args:
        tree: the checkout whose ``app`` runs; this one when None.
        more: further settings.
    """

    def __init__(
        self,
        *,
        provider: str,
        redis: str,
        cpus: set[int],
        name: str = "cloakroom",
        tree: Path | None = None,
        planted: Planted | None = None,
        more: Mapping[str, str] | None = None,
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.planted = planted or Planted()
        self._limited_key = "ck_limited_" + self.planted.client_key
        client = {"shop_limited": {"api_key": self._limited_key, "mints_per_minute": _MINTS_PER_MINUTE}}
        settings = {
            **self.planted.environment(
                CLOAKROOM_ENVIRONMENT="production",
                CLOAKROOM_REDIS_URL=redis,
                CLOAKROOM_CLIENTS=json.dumps(client),
                CLOAKROOM_CORS_ORIGINS=ORIGIN,
                CLOAKROOM_HOST="127.0.0.1",
                CLOAKROOM_PORT="0",
                CLOAKROOM_REPLICA="bench-a",
                OPENAI_API_KEY=self.planted.openai_key,
                OPENAI_BASE_URL=provider,
            ),
            **(more or {}),
        }
        # An older checkout does not know the setting.
        if ((tree or ROOT) / "app" / "outbound" / "addresses.py").exists():
            settings["CLOAKROOM_PRIVATE_NETWORKS"] = "127.0.0.0/8"
        super().__init__(
            name, [*prefix, sys.executable, "-m", "app", "serve"], settings, cpus=cpus, directory=tree or ROOT
        )
        try:
            listening = self.wait_for_event("listening", seconds=300)
        except BaseException:
            self.stop()
            raise
        self.url = "http://" + listening["addresses"][0]

    def mint(self, *, limited: bool) -> Load:
        return mint_load(self._limited_key if limited else self.planted.client_key)

    def relay(self, handles: int) -> Load:
        tokens = tuple(mint_once(self.url, self.planted.client_key)["value"] for _ in range(handles))
        return relay_load(tokens)

    def __enter__(self) -> Self:
        return self


def scratch_directory() -> tempfile.TemporaryDirectory[str]:
    """A directory that goes with its ``with``."""
    return tempfile.TemporaryDirectory(prefix="bench-")
