"""The hosts, and the one call that every test here looks at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.missing import missing
from tests.system.netns.ability import why_not
from tests.system.netns.evidence import Evidence, gather_evidence
from tests.system.netns.table import counter_table
from tests.system.netns.world import World


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Five hosts. Where they cannot be made, the test is skipped with the reason; on CI it fails."""
    reason = why_not()
    if reason is not None:
        missing(f"no proof that audio goes around the service: {reason}")
    with World() as made:
        yield made


@pytest.fixture(scope="module")
def evidence(world: World) -> Evidence:
    """A call minted on A and relayed on B, with ten seconds of audio both ways."""
    gathered = gather_evidence(world)
    print(f"\n{counter_table(gathered)}")
    print({name: value for name, value in gathered.browser.items() if name not in ("offer", "answer")})
    return gathered
