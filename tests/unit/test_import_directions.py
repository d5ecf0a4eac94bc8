"""The direction of imports, and that a breach of it is found."""

from __future__ import annotations

from pathlib import Path

import pytest

import app
from tests.unit.layers import LAYERS, ONLY, PURE, breaches, group_of, imports_of

ROOT = Path(app.__file__).parent
REAL = imports_of(ROOT)


def test_every_module_imports_downwards_only() -> None:
    assert breaches(REAL) == []


def test_the_walk_sees_the_whole_package() -> None:
    assert len(REAL) == len(list(ROOT.rglob("*.py")))
    assert "app.models.Secret" in REAL["app.handles.sealing"] | REAL["app.providers.openai"]
    assert {"app.store.watcher.Watcher", "app.store.faults.DRIVER_ERRORS"} <= REAL["app.store.connection"]
    assert "redis.asyncio.cluster.RedisCluster" in REAL["app.store.redis_py.driver"]
    # Inside a function, and relative.
    assert "fakeredis" in REAL["app.store.redis_py.clients"]
    assert any(name.startswith("app.sandbox.") for name in REAL["app.sandbox.server"])


def test_every_listed_name_exists() -> None:
    """A layer that nothing lives in would allow what nobody meant."""
    listed = {group for row in LAYERS for group in row} | PURE | set().union(*ONLY.values())
    assert listed <= REAL.keys()


# One import that the code does not have, and a word of the complaint that must come.
BREACHES = [
    ("app.store.records.handles", "app.providers.base.Provider", "beside or above"),
    ("app.outbound.client", "app.store.keys", "beside or above"),
    ("app.models", "app.errors.CloakroomError", "beside or above"),
    ("app.errors", "app.models.Client", "beside or above"),
    ("app.broker.relay", "app.web.answers.error_response", "beside or above"),
    ("app.broker.relay", "app.settings.Settings", "beside or above"),
    ("app.store.connection", "app.settings.model.Settings", "beside or above"),
    ("app.web.mint_views", "app.main.create_app", "beside or above"),
    ("app.web.gate", "app.server", "beside or above"),
    ("app.main", "app.cli.serve.serve", "beside or above"),
    ("app.server", "app.__main__.main", "beside or above"),
    ("app.main", "app.sandbox.create_sandbox", "stands apart"),
    ("app.sandbox.server", "app.models.Secret", "stands apart"),
    (
        "app.broker.mint",
        "redis.asyncio",
        "only app.store.redis_py may",
    ),
    (
        "app.store.faults",
        "redis.exceptions.RedisError",
        "only app.store.redis_py may",
    ),
    ("app.broker.relay", "aiohttp.web", "may"),
    ("app.providers.openai", "aiohttp", "may"),
    ("app.web.mint_views", "aiohttp.ClientSession", "talk to the outside"),
    ("app.web.gate", "aiohttp", "talk to the outside"),
    ("app.main", "aiohttp.ClientTimeout", "talk to the outside"),
    ("app.web.mint_views", "aiohttp.client.request", "talk to the outside"),
    ("app.web.mint_views", "aiohttp.TCPConnector", "talk to the outside"),
    ("app.broker.relay", "azure.identity.aio", "only app.outbound may"),
    ("app.broker.relay", "jwt", "only app.handles, app.identity, app.sandbox may"),
    ("app.handles.tokens", "time", "pure"),
    ("app.handles.sealing", "asyncio.sleep", "pure"),
    ("app.providers.base", "socket", "pure"),
    ("app.handles.lifetimes", "time.time", "pure"),
]


@pytest.mark.parametrize(("module", "imported", "complaint"), BREACHES)
def test_a_breach_anywhere_is_found(module: str, imported: str, complaint: str) -> None:
    found = breaches({**REAL, module: REAL[module] | {imported}})
    assert any(complaint in line and line.startswith(f"{module} imports ") for line in found)
    assert len(found) <= 2


@pytest.mark.parametrize(
    ("module", "imported", "circle"),
    [
        ("app.handles.sealing", "app.handles.grants.Grant", ["app.handles.grants", "app.handles.sealing"]),
        ("app.broker.settlement", "app.broker.relay.Relay", ["app.broker.relay", "app.broker.settlement"]),
    ],
)
def test_a_circle_in_a_room_is_found(module: str, imported: str, circle: list[str]) -> None:
    found = breaches({**REAL, module: REAL[module] | {imported}})
    for name in circle:
        assert f"{name} imports itself in a circle" in found


@pytest.mark.parametrize("module", ["app.helpers", "app.utils.text", "app.storehouse", "app.webhooks"])
def test_a_module_without_a_place_is_found(module: str) -> None:
    found = breaches({**REAL, module: frozenset()})
    assert found == [f"{module} is in no layer: give it its place in tests/unit/layers.py"]


def test_a_breach_in_a_file_is_found_however_it_is_written(tmp_path: Path) -> None:
    package = tmp_path / "app"
    for name, text in {
        "__init__.py": "",
        "models.py": "def late():\n    from app.web import cors\n",
        "store/__init__.py": "",
        "store/records/__init__.py": "",
        "store/records/handles.py": "from ...providers import base\n",
        "providers/__init__.py": "from app import store\n",
        "providers/base.py": "import app.store.records.handles as handles\n",
        "web/__init__.py": "",
        "web/cors.py": "if True:\n    import redis\n",
    }.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert breaches(imports_of(package)) == [
        "app.models imports app.web.cors, which is beside or above it",
        "app.providers imports app.store, which is beside or above it",
        "app.providers.base imports app.store.records.handles, which is beside or above it",
        "app.store.records.handles imports app.providers.base, which is beside or above it",
        "app.web.cors imports redis, but it is pure",
        "app.web.cors imports redis: only app.store.redis_py may",
    ]


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("app", "app"),
        ("app.store", "app.store"),
        ("app.store.scripts", "app.store"),
        ("app.stores", None),
        ("app.cli.dev.stack", "app.cli"),
        ("application", None),
    ],
)
def test_a_module_belongs_to_the_longest_name_above_it(name: str, group: str | None) -> None:
    assert group_of(name) == group
