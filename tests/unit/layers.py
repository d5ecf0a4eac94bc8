"""Who may import whom, as data, and the walk through the imports that holds the code to it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import aiohttp.client
import aiohttp.connector

# From the bottom up; a group may import itself and every group of a lower row, nothing beside or above.
# A name stands for the module and for all that is below it; the longest name that fits counts.
LAYERS: Final[tuple[tuple[str, ...], ...]] = (
    # Leaves: they import nothing of ours.
    (
        "app",
        "app.entropy",
        "app.errors",
        "app.models",
        "app.keyring",
        "app.lean",
        "app.redaction",
        "app.lifeline",
        "app.timings",
        "app.trace_context",
    ),
    # What is known of a session's JSON.
    ("app.sessions",),
    # Parts: each knows the leaves and itself. Store and upstream never meet.
    (
        "app.catalog",
        "app.clients",
        "app.handles",
        "app.sealing",
        "app.lifetimes",
        "app.session_echo",
        "app.store",
        "app.upstream",
        "app.ops",
        "app.settlement",
    ),
    # What a handle stands for, sealed.
    ("app.grants",),
    # Use cases, each over what it is made of.
    ("app.mint_attempts",),
    ("app.minting", "app.hangup", "app.operations"),
    ("app.relay",),
    # Settings stand above the use cases: those get plain values.
    ("app.settings",),
    ("app.appkeys", "app.wiring"),
    ("app.web",),
    ("app.main",),
    ("app.server", "app.doctor"),
    ("app.cli",),
    ("app.__main__",),
)
# The provider in a box is a program of its own: it imports nothing of ours, and nothing of ours imports it.
APART: Final = frozenset({"app.sandbox"})

# Libraries that only these may import; ``aiohttp`` in ``app.web`` and above is its server half.
ONLY: Final[Mapping[str, frozenset[str]]] = {
    "redis": frozenset(
        {
            "app.store.driver",
            "app.store.execution",
            "app.store.connection",
            "app.store.faults",
            "app.store.inspection",
        }
    ),
    "fakeredis": frozenset({"app.store.driver"}),
    "aiohttp": frozenset(
        {
            "app.cli.operator.admin_api",
            "app.web",
            "app.appkeys",
            "app.main",
            "app.server",
            "app.sandbox",
        }
    ),
    "httptools": frozenset({"app.upstream.http1_answer"}),
    "aiohappyeyeballs": frozenset({"app.upstream.dialer"}),
    "yarl": frozenset({"app.upstream.http1_request", "app.cli.operator.admin_api"}),
    "prometheus_client": frozenset({"app.ops.metrics_collector", "app.ops.metrics_text"}),
    "opentelemetry": frozenset({"app.ops.tracing_otel", "app.ops.tracing_export"}),
    "jwt": frozenset({"app.handles"}),
    "cryptography": frozenset({"app.keyring", "app.sealing"}),
    "pydantic": frozenset({"app.settings", "app.wiring.secrets"}),
    "pydantic_settings": frozenset({"app.settings"}),
    "markdown_it": frozenset({"app.web.openapi.markup"}),
    "yaml": frozenset({"app.settings", "app.cli", "app.web.openapi.document"}),
    "azure": frozenset({"app.upstream.entra"}),
    "aiortc": frozenset({"app.sandbox"}),
    "av": frozenset({"app.sandbox"}),
    "cyclopts": frozenset({"app.cli"}),
    "rich": frozenset({"app.cli"}),
}
# The outbound half of aiohttp is for the command line's module that talks to the service, whose own client
# is in ``app.upstream``. ``import aiohttp`` alone has both halves in it.
CLIENT_MODULES: Final = frozenset({"app.cli.operator.admin_api"})
CLIENT_NAMES: Final = frozenset({*aiohttp.client.__all__, *aiohttp.connector.__all__, "client", "connector"})

# Pure parts: clock, randomness of the loop and sockets are passed in or do not occur.
PURE: Final = frozenset(
    {
        "app.errors",
        "app.models",
        "app.keyring",
        "app.redaction",
        "app.timings",
        "app.trace_context",
        "app.catalog",
        "app.clients",
        "app.handles",
        "app.sealing",
        "app.lifetimes",
        "app.session_echo",
        "app.sessions",
        "app.store.address",
        "app.store.keys",
        "app.upstream.base",
        "app.upstream.openai",
        "app.upstream.azure",
        "app.upstream.hangup",
        "app.upstream.http1_answer",
        "app.upstream.http1_fields",
        "app.upstream.http1_request",
        "app.upstream.providers",
        "app.web.cors",
        "app.web.schemas",
        "app.web.beta",
        "app.web.multipart",
    }
)
IMPURE: Final = frozenset(
    {"asyncio", "time", "socket", "aiohttp", "redis", "threading", "subprocess", "logging"}
)

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
        [*_unlisted(imports), *_upward(imports), *_libraries(imports), *_impurities(imports)],
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
            elif _row_of(other) >= _row_of(group):
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
    for module in imports.keys() & PURE:
        for name in imports[module]:
            if name.partition(".")[0] in IMPURE:
                yield f"{module} imports {name}, but it is pure"
