"""A web server of somebody else: pages on origins that the service knows, or does not know."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Self

from aiohttp import web

PAGES: Final = Path(__file__).parent / "pages"


class Elsewhere:
    """One application on two ports, so two origins: ``known`` is for the service's settings."""

    def __init__(self, modules: Path) -> None:
        self._modules = modules
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_static("/pages", PAGES)
        # The packages may be installed later, by the first test that needs them.
        self._modules.mkdir(exist_ok=True)
        app.router.add_static("/node_modules", self._modules)
        # Without a favicon every page would begin with an error on its console.
        app.router.add_get("/favicon.ico", _nothing)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        self._resources.push_async_callback(runner.cleanup)
        origins = []
        for _ in range(2):
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            origins.append(f"http://127.0.0.1:{runner.addresses[-1][1]}")
        self.known, self.unknown = origins
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()


async def _nothing(_request: web.Request) -> web.Response:
    return web.Response(status=204)
