"""The demo's routes and views."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
from aiohttp import hdrs, web

from app.settings import Settings
from app.web.asset import Asset, answer
from app.web.demo.assets import PAGE, load_assets
from app.web.demo.config import demo_replicas, page_config
from app.web.demo.policy import page_headers


class DemoSite:
    """Serves the page under ``/demo``; everything is made at the start and only handed out later."""

    def __init__(self, settings: Settings) -> None:
        assets = load_assets()
        self._page = assets[PAGE]
        self._files = {name: asset for name, asset in assets.items() if name != PAGE}
        self._page_headers = page_headers(url for _, url in demo_replicas(settings))
        self._files["config.json"] = Asset.of(orjson.dumps(page_config(settings)), "application/json")

    def routes(self) -> Iterator[web.RouteDef]:
        """The demo's part of the route table."""
        yield web.get("/", self.home)
        yield web.get("/demo", self.page)
        yield web.get("/demo/", self.home)
        yield web.get("/demo/{name}", self.file)

    async def home(self, request: web.Request) -> web.Response:
        """To the page. The target is relative, so that it holds behind a proxy with a path of its own."""
        target = "demo" if request.path == "/" else "../demo"
        return web.Response(status=302, headers={hdrs.LOCATION: target})

    async def page(self, request: web.Request) -> web.Response:
        """The HTML, with its policy."""
        response = answer(request, self._page)
        response.headers.update(self._page_headers)
        return response

    async def file(self, request: web.Request) -> web.Response:
        """One of the known files; the name is looked up in a table, never on disk."""
        asset = self._files.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound
        return answer(request, asset)
