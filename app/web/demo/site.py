"""The demo's routes, files, settings and security headers.

All bodies are made at the start. A name in a request is looked up in a table, never on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from aiohttp import hdrs, web

from app import __version__
from app.broker.routing.catalog import ANY_MODEL
from app.models import Family
from app.providers.base import NamesIceServers
from app.providers.registry import PROVIDERS
from app.settings import Settings
from app.settings.aliases import AnyModelSettings, choices
from app.web.answers import Asset, asset_answer

PAGE: Final = "index.html"
_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
# An empty URL is the replica that served the page, whatever its address.
_HERE: Final = ""


class DemoSite:
    """Serves the page under ``/demo``."""

    def __init__(self, settings: Settings) -> None:
        replicas = _replicas(settings)
        assets = load_assets()
        self._page = assets.pop(PAGE)
        sign_in = _sign_in(settings)
        others = [url for _, url in replicas]
        if sign_in is not None:
            others.append(_origin(sign_in["issuer"]))
        self._page_headers = _page_headers(others)
        config = Asset.of(
            orjson.dumps({**_config(settings, replicas), "sign_in": sign_in}), "application/json"
        )
        self._files = {**assets, "config.json": config}

    def routes(self) -> Iterator[web.RouteDef]:
        """The demo's part of the route table."""
        yield web.get("/", self.home)
        yield web.get("/demo", self.page)
        yield web.get("/demo/", self.home)
        yield web.get("/demo/{name}", self.file)

    async def home(self, request: web.Request) -> web.Response:
        """Redirect to the page. The target is relative, so that it works behind a proxy's path prefix."""
        target = "demo" if request.path == "/" else "../demo"
        return web.Response(status=302, headers={hdrs.LOCATION: target})

    async def page(self, request: web.Request) -> web.Response:
        """The HTML, with its security headers."""
        response = asset_answer(request, self._page)
        response.headers.update(self._page_headers)
        return response

    async def file(self, request: web.Request) -> web.Response:
        """One of the page's files, or ``config.json``."""
        asset = self._files.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound
        return asset_answer(request, asset)


def load_assets() -> dict[str, Asset]:
    """Return every file of ``static/`` by its name.

    Raises:
        ValueError: a file has a type that the page does not use.
    """
    found = {}
    for entry in files(__package__).joinpath("static").iterdir():
        suffix = "." + entry.name.rpartition(".")[2]
        if suffix not in _TYPES:
            raise ValueError(f"{entry.name}: the demo page serves only {', '.join(_TYPES)}")
        found[entry.name] = Asset.of(entry.read_bytes(), _TYPES[suffix])
    return found


def _replicas(settings: Settings) -> list[tuple[str, str]]:
    """(name, origin) of each replica that the page offers; by default this one alone."""
    pairs = [entry.partition("=") for entry in settings.demo_replicas]
    return [(name, url) for name, _, url in pairs] or [(settings.replica, _HERE)]


def _config(settings: Settings, replicas: list[tuple[str, str]]) -> dict[str, Any]:
    """The body of ``config.json``: names and addresses, no secret."""
    models = {alias: _manners(settings, entry) for alias, entry in sorted(settings.models.items())}
    # With the alias * the provider decides which names exist, so the page lets the user type one.
    any_model = models.pop(ANY_MODEL, None)
    return {
        "version": __version__,
        "models": [{"name": alias, **manners} for alias, manners in models.items()],
        "any_model": any_model,
        "default_model": settings.default_model or next(iter(models), None),
        "ice_servers": _names_ice_servers(settings),
        "replicas": [{"name": name, "url": url} for name, url in replicas],
    }


def _manners(settings: Settings, entry: AnyModelSettings) -> dict[str, str]:
    """How a page calls this model: the kind of its sessions, and the label of its data channel.

    They are those of the deployment that is tried first.
    """
    first, *_ = sorted(choices(entry), key=lambda choice: choice.priority)
    traits = PROVIDERS[settings.deployments[first.deployment].provider].traits
    live = Family.LIVE in traits.families
    return {"session": Family.LIVE if live else Family.REALTIME, "channel": traits.data_channel}


def _names_ice_servers(settings: Settings) -> bool:
    """Whether the service names STUN or TURN servers for some call."""
    dialects = [PROVIDERS[deployment.provider] for deployment in settings.deployments.values()]
    return bool(settings.ice.servers) or any(isinstance(one, NamesIceServers) for one in dialects)


def _sign_in(settings: Settings) -> Mapping[str, str] | None:
    """Where the page's users can sign in, and as which application; None where they cannot."""
    for issuer in settings.issuers.values():
        if issuer.users is not None and issuer.users.page_client_id is not None:
            return {
                "issuer": issuer.issuer,
                "client_id": issuer.users.page_client_id,
                "audience": issuer.audience[0],
            }
    return None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _page_headers(origins: Iterable[str]) -> Mapping[str, str]:
    """Security headers: nothing inline, nothing from elsewhere, connections to these origins only.

    The audio needs no ``media-src``: it is a stream given to the element, not a URL (CSP 3, section 6.1).
    """
    connect = " ".join(["'self'", *sorted({origin for origin in origins if origin})])
    directives = (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        f"connect-src {connect}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # The page writes text, never markup, and the browser enforces that.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(directives),
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "X-Frame-Options": "DENY",
    }
