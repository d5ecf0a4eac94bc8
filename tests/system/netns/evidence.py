"""One call across the hosts, and everything that was counted meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from tests.support.planted import Planted
from tests.support.processes import Process, Replica, Sandbox
from tests.system.netns.browser import CLIENT_KEY_ENV
from tests.system.netns.counters import Counters
from tests.system.netns.store import PASSWORD_ENV
from tests.system.netns.world import BROWSER, CONTROL, PROVIDER, REPLICA_A, REPLICA_B, STORE, World


@dataclass(frozen=True)
class Evidence:
    """What the hosts and the two ends of the call say.

    Attributes:
        before: each host's counters when it had no program yet.
        after: the same when the last program had ended, so that nothing is still under way.
        browser: the browser's report.
        provider_calls: the provider's calls while the browser's audio flowed.
        minted_on, relayed_on: the replicas that logged it, once for each time.
    """

    before: Mapping[str, Counters]
    after: Mapping[str, Counters]
    browser: Mapping[str, Any]
    provider_calls: list[dict[str, Any]]
    minted_on: list[str]
    relayed_on: list[str]


def gather_evidence(world: World) -> Evidence:
    """Start every program on its host, make the call, end them all."""
    planted = Planted()
    before = world.counters()
    with ExitStack() as resources:
        store = resources.enter_context(
            Process(
                ["tests.system.netns.store", CONTROL[STORE]],
                {PASSWORD_ENV: planted.store_password},
                prefix=world[STORE].prefix,
            )
        )
        sandbox = resources.enter_context(
            Sandbox(
                "--host",
                CONTROL[PROVIDER],
                openai_key=planted.openai_key,
                azure_key=planted.azure_key,
                prefix=world[PROVIDER].prefix,
            )
        )
        port = store.wait_for_event("store_ready")["port"]
        replicas = [
            resources.enter_context(
                Replica(
                    name,
                    planted.environment(
                        CLOAKROOM_HOST=CONTROL[name],
                        CLOAKROOM_REDIS_URL=f"redis://:{planted.store_password}@{CONTROL[STORE]}:{port}/0",
                        OPENAI_API_KEY=planted.openai_key,
                        OPENAI_BASE_URL=f"{sandbox.url}/v1",
                        CLOAKROOM_PRIVATE_NETWORKS=f"{CONTROL[PROVIDER]}/32",
                        CLOAKROOM_PLAIN_HTTP_HOSTS=CONTROL[PROVIDER],
                    ),
                    prefix=world[name].prefix,
                )
            )
            for name in (REPLICA_A, REPLICA_B)
        ]
        a, b = replicas
        browser = resources.enter_context(
            Process(
                ["tests.system.netns.browser", a.url, b.url],
                {CLIENT_KEY_ENV: planted.client_key},
                prefix=world[BROWSER].prefix,
            )
        )
        report = browser.wait_for_event("report")
        calls = world[PROVIDER].inside(lambda: sandbox.control("GET", "calls"))["calls"]
    return Evidence(
        before,
        world.counters(),
        report,
        calls,
        [replica.name for replica in replicas for _ in replica.events("mint")],
        [replica.name for replica in replicas for _ in replica.events("relay")],
    )
