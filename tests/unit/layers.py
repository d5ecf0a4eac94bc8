"""Who may import whom, as data, and the walk through the imports that holds the code to it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import aiohttp.client
import aiohttp.connector


def _rooms(names: str) -> tuple[str, ...]:
    return tuple(f"app.{name}".rstrip(".") for name in names.split())


# From the bottom up: a room may import itself and every room of a lower row, nothing beside it or above it.
_ROWS: Final = (
    *("reports", ". errors models", "telemetry", "handles providers store", "identity", "outbound"),
    *("broker", "settings", "wiring", "web", "operations", "main", "server doctor", "supervisor", "cli"),
    "__main__",
)
LAYERS: Final = tuple(_rooms(row) for row in _ROWS)
# HTTP to providers and the state in Redis know nothing of each other, though one row is lower.
STRANGERS: Final = frozenset({("app.outbound", "app.store")})
# The provider in a box is a program by itself: it imports nothing of ours, and nothing of ours imports it.
APART: Final = frozenset({"app.sandbox"})
# No clock, no socket, no loop: what they need of these is passed in.
PURE: Final = frozenset(
    _rooms(
        "errors models reports handles identity providers store.keys store.address outbound.http1 web.cors "
        "web.schemas web.calls.offers web.calls.reports telemetry.redaction telemetry.timings "
        "telemetry.tracing broker.clients broker.session_policy broker.routing.catalog "
        "broker.routing.breaker broker.pool.demand broker.pool.shapes supervisor.deaths supervisor.messages"
    )
)
IMPURE: Final = frozenset(
    {"asyncio", "time", "socket", "aiohttp", "redis", "threading", "subprocess", "logging"}
)
# Which rooms may import a library. A replica whose store is one server does without redis: 6 MB.
_LIBRARIES: Final[Mapping[str, str]] = {
    "aiohttp": "web main operations server sandbox cli.reach.admin_api outbound.entra outbound.sideband",
    "aiohappyeyeballs azure httptools": "outbound",
    "aiortc av": "sandbox",
    "cryptography": "handles sandbox",
    "cyclopts rich": "cli",
    "fakeredis redis": "store.redis_py",
    "jwt": "handles identity sandbox",
    "markdown_it": "web.reference",
    "opentelemetry prometheus_client": "telemetry",
    "pydantic": "settings wiring",
    "pydantic_settings": "settings",
    "yaml": "settings cli web.reference",
    "yarl": "outbound cli.reach.admin_api",
}
ONLY: Final = {
    library: frozenset(_rooms(rooms)) for names, rooms in _LIBRARIES.items() for library in names.split()
}
# The outbound half of aiohttp: the command line's way to the admin API, azure-identity, which runs on it, and
# the WebSockets to providers.
CLIENT_MODULES: Final = frozenset(_rooms("cli.reach.admin_api outbound.entra outbound.sideband"))
CLIENT_NAMES: Final = frozenset({*aiohttp.client.__all__, *aiohttp.connector.__all__, "client", "connector"})

Imports = Mapping[str, frozenset[str]]


def imports_of(root: Path) -> dict[str, frozenset[str]]:
    """Every module below ``root`` with everything that it imports, also inside functions."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = [root.name, *path.relative_to(root).with_suffix("").parts]
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found[module] = frozenset(_imported(tree, module if is_package else module.rpartition(".")[0]))
    return found


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]) if base else ".".join(above)
            # A name may be a module of its own or something inside one: both readings are kept.
            yield from (f"{base}.{alias.name}" for alias in node.names)


def breaches(imports: Imports) -> list[str]:
    """Every import that the data above does not allow, in words; empty when all is well."""
    return sorted(
        [
            *_unlisted(imports),
            *_upward(imports),
            *_libraries(imports),
            *_impurities(imports),
            *_circles(imports),
        ],
    )


def group_of(name: str) -> str | None:
    """The longest listed name that this one is or lies below."""
    listed = [group for row in LAYERS for group in row] + sorted(APART)
    # "app" itself is the package's own file, not a home for whatever has no other.
    fitting = [
        group for group in listed if name == group or (group != "app" and name.startswith(f"{group}."))
    ]
    return max(fitting, key=len, default=None)


def _row_of(group: str) -> int:
    return next(number for number, row in enumerate(LAYERS) if group in row)


def _unlisted(imports: Imports) -> Iterator[str]:
    for module in imports:
        if group_of(module) is None:
            yield f"{module} is in no layer: give it its place in tests/unit/layers.py"


def _ours(imported: str, modules: Imports) -> str | None:
    """The module of ours that an imported name means: itself, or the one that it is taken from."""
    if imported in modules:
        return imported
    parent = imported.rpartition(".")[0]
    return parent if parent in modules else (imported if imported.startswith("app.") else None)


def _upward(imports: Imports) -> Iterator[str]:
    for module, names in imports.items():
        group = group_of(module)
        for target in {_ours(name, imports) for name in names} - {None}:
            other = group_of(target or "")
            if group is None or other is None or group == other:
                continue
            if group in APART or other in APART:
                yield f"{module} imports {target}: {group if group in APART else other} stands apart"
            elif _row_of(other) >= _row_of(group) or (group, other) in STRANGERS:
                yield f"{module} imports {target}, which is beside or above it"


def _is_in(module: str, places: frozenset[str]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def _libraries(imports: Imports) -> Iterator[str]:
    for module, names in imports.items():
        for name in names:
            library = name.partition(".")[0]
            if library in ONLY and not _is_in(module, ONLY[library]):
                yield f"{module} imports {name}: only {', '.join(sorted(ONLY[library]))} may"
            elif library == "aiohttp" and module not in CLIENT_MODULES and _is_client_half(name):
                yield f"{module} imports {name}: only {', '.join(sorted(CLIENT_MODULES))} talk to the outside"


def _is_client_half(name: str) -> bool:
    return name == "aiohttp" or name.split(".")[1] in CLIENT_NAMES


def _impurities(imports: Imports) -> Iterator[str]:
    for module in (name for name in imports if _is_in(name, PURE)):
        for name in imports[module]:
            if name.partition(".")[0] in IMPURE:
                yield f"{module} imports {name}, but it is pure"


def _circles(imports: Imports) -> Iterator[str]:
    """Every module that imports itself through others of its room; a wider circle has an import upwards."""
    direct = {
        module: {
            target
            for target in {_ours(name, imports) for name in names}
            & (imports.keys() - {module, _face(module)})
            if group_of(target or "") == group_of(module)
        }
        for module, names in imports.items()
    }
    for module in direct:
        seen: set[str | None] = set()
        ahead = set(direct[module])
        while ahead:
            seen |= ahead
            ahead = {further for name in ahead for further in direct[name or ""]} - seen
        if module in seen:
            yield f"{module} imports itself in a circle"


def _face(module: str) -> str:
    """The package that a module is in: its face hands names on, and is no stop of a circle."""
    return module.rpartition(".")[0]
