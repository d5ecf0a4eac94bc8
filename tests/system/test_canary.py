"""Planted secrets are looked for in every sink: logs, the store's memory and files, answers, and reprs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from app.models import Client
from app.settings import load_settings
from app.store.embedded.engine import LocalEngine
from app.wiring import build_catalog
from tests.support.api import mint, minted, post, relay
from tests.support.clocks import eventually
from tests.support.handles import bad_handles
from tests.support.offers import fresh_offer
from tests.support.onlooker import async_onlooker
from tests.support.sinks import assert_nothing_planted_in, store_dump
from tests.support.stack import Stack

FILES = ("--appendonly", "yes", "--rdbcompression", "no", "--slowlog-log-slower-than", "0")


async def _traffic(stack: Stack, http: aiohttp.ClientSession) -> list[str]:
    """Everything that can be asked, good and bad; returns every answer with its headers."""
    answers = []
    for fault in (None, "html", "garble", "drop_after", "bad_json", "bad_header", "redirect"):
        if fault is not None:
            stack.sandbox.control("POST", "faults", {"kind": fault, "path": "client_secrets", "times": 1})
        answers.append(str(await mint(http, stack.a.url, stack.planted.client_key)))
        handle = await minted(http, stack.a.url, stack.planted.client_key)
        offer = fresh_offer()
        if fault is not None:
            stack.sandbox.control("POST", "faults", {"kind": fault, "path": "calls", "times": 1})
        for _ in range(2):
            answers.append(str(await relay(http, stack.b.url, handle, offer)))
    for text, _ in bad_handles(handle, stack.planted.signing).values():
        answers.append(str(await relay(http, stack.b.url, text)))
    for key in (stack.planted.openai_key, stack.planted.admin_key):
        # A secret in the wrong place: as a key, a path, a query, a header and a body.
        answers.append(str(await mint(http, stack.a.url, key)))
        answers.append(str(await post(http, f"{stack.a.url}/v1/{key}?key={key}", json={"key": key})))
        answers.append(
            str(
                await post(
                    http,
                    f"{stack.a.url}/v1/realtime/client_secrets",
                    data=key,
                    headers={**stack.mint_headers, "Content-Type": "application/json"},
                )
            )
        )
    return answers


async def test_no_secret_reaches_any_sink(http: aiohttp.ClientSession) -> None:
    with Stack(peer="static", engine_arguments=FILES, CLOAKROOM_LOG_LEVEL="debug") as stack:
        store = async_onlooker(stack.engine.url, decode=False)
        monitored: list[str] = []
        async with store.monitor() as monitor:

            async def listen() -> None:
                async for command in monitor.listen():
                    monitored.append(str(command))

            listening = asyncio.create_task(listen())
            answers = await _traffic(stack, http)
            await store.echo("that is all")
            await eventually(lambda: any("that is all" in line for line in monitored))
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        slowlog = [str(entry) for entry in await store.slowlog_get(1000)]
        await store.save()
        await store.aclose()

        assert any("sealed_key" in line for line in monitored)
        assert any("EVALSHA" in line.upper() for line in slowlog)
        assert_nothing_planted_in(stack, "the logs", stack.a.output, stack.b.output)
        assert_nothing_planted_in(stack, "the answers", *answers)
        assert_nothing_planted_in(stack, "the store", *await store_dump(stack.engine.url))
        assert_nothing_planted_in(stack, "MONITOR", *monitored)
        assert_nothing_planted_in(stack, "SLOWLOG", *slowlog)
        files = [path for path in stack.engine.directory.rglob("*") if path.is_file()]
        assert {path.suffix for path in files} >= {".rdb", ".aof"}
        for path in files:
            assert_nothing_planted_in(stack, path.name, path.read_bytes().decode("latin-1"))


def test_nothing_secret_is_shown_by_a_repr(static_stack: Stack, engine: LocalEngine, tmp_path: Path) -> None:
    config = tmp_path / "cloakroom.yaml"
    config.write_text(
        "deployments:\n"
        "  main: {provider: openai, api_key: '${OPENAI_API_KEY}'}\n"
        "  az: {provider: azure, base_url: https://x.openai.azure.com, model: voice, api_key: '${AZ}'}\n"
        "models: {gpt-realtime: main, voice: az}\n"
        "clients:\n"
        "  web: {api_key: '${WEB}'}\n"
    )
    planted = static_stack.planted
    settings = load_settings(
        static_stack.environment(
            CLOAKROOM_CONFIG=str(config), AZ=planted.azure_key, WEB=planted.admin_key + "web"
        )
    )
    deployment = build_catalog(settings).resolve(Client("web"), "voice")
    shown = [repr(settings), str(settings), settings.model_dump_json(), repr(deployment), f"{deployment}"]
    for secret in planted.all_values():
        for text in shown:
            assert secret not in text
