"""``python -m tests.bench.cpu``: CPU microseconds per mint and relay, beside the floor, in a minute.

    --rounds 5 --seconds 1      more or longer rounds
    --connections 32            of the load
    --json FILE                 the figures as JSON, too
    --tree DIR                  another checkout of Cloakroom beside this one: an earlier commit, say
    --wait-replicas             also one that waits for a replica of the store, with limited handles

The quick mode of ``make bench``: the same servers, loads and figures, without LiteLLM, pages and pictures.
CPU time, unlike wall-clock time, barely moves on a busy machine; the servers take turns all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from app.store.embedded.engine import LocalEngine
from tests.bench import procfs, traffic
from tests.bench.contenders import Cloakroom, Contender, Floor
from tests.bench.measure import Sample, sample, summary
from tests.bench.nginx import Provider
from tests.bench.tools import run_to_end
from tests.bench.wrk import Load
from tests.support.clocks import until
from tests.support.cluster import command, follows

KINDS: Final = ("mint, limited", "mint", "relay")
HANDLES: Final = 500
# The limit is so high that no handle is spent; each relay waits all the same.
_WAITS: Final = {"CLOAKROOM_STORE_WAIT_REPLICAS": "1", "CLOAKROOM_HANDLE_MAX_CALLS": "1000"}

# By kind of request and name of the server.
Samples = dict[tuple[str, str], list[Sample]]


@contextlib.contextmanager
def servers(
    tree: Path | None = None, *, wait_replicas: bool = False
) -> Iterator[tuple[str, list[Contender]]]:
    """Redis, the provider, the floor and Cloakroom, all running; yields Redis' URL and the contenders."""
    mine, others = procfs.split_cpus()
    os.sched_setaffinity(0, others)
    with (
        LocalEngine() as engine,
        Provider(cpus=others) as provider,
        Floor(provider=provider.url, redis=engine.url, cpus=mine) as floor,
        Cloakroom(provider=provider.url, redis=engine.url, cpus=mine) as cloakroom,
        contextlib.ExitStack() as more,
    ):
        procfs.pin(engine.pid, others)
        contenders: list[Contender] = [floor, cloakroom]
        if tree is not None:
            other = Cloakroom(
                provider=provider.url, redis=engine.url, cpus=mine, tree=tree.resolve(), name="other tree"
            )
            contenders.append(more.enter_context(other))
        if wait_replicas:
            replica = more.enter_context(LocalEngine())
            procfs.pin(replica.pid, others)
            command(replica, "REPLICAOF", "127.0.0.1", engine.port)
            until(lambda: follows(replica), "a replica that follows")
            waits = Cloakroom(provider=provider.url, redis=engine.url, cpus=mine, name="waiting", more=_WAITS)
            contenders.append(more.enter_context(waits))
        level_trips(engine.url, floor, cloakroom)
        yield engine.url, contenders


def loads(contender: Contender, *, handles: int = HANDLES) -> dict[str, Load]:
    """The three loads of a contender."""
    return {
        "mint, limited": contender.mint(limited=True),
        "mint": contender.mint(limited=False),
        "relay": contender.relay(handles),
    }


def level_trips(redis_url: str, floor: Floor, cloakroom: Cloakroom) -> dict[str, float]:
    """Let the floor go to Redis as often as Cloakroom does; returns how often."""
    found = {
        kind: traffic.count(redis_url, cloakroom.url, load).round_trips
        for kind, load in loads(cloakroom, handles=10).items()
    }
    floor.trips = {kind: max(1, round(number)) for kind, number in found.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.cpu", description="CPU per request, quickly."
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=1, help="of each run; three runs a server and round")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--tree", type=Path, help="another checkout to measure as well")
    parser.add_argument("--wait-replicas", action="store_true", help="measure that setting as well")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    chosen = parser.parse_args()
    with servers(chosen.tree, wait_replicas=chosen.wait_replicas) as (_, contenders):
        samples = _rounds(contenders, chosen.rounds, chosen.seconds, chosen.connections)
    names = [contender.name for contender in contenders]
    sys.stdout.write("\n".join(table(samples, names)) + "\n")
    if chosen.json:
        found = {name: {kind: summary(samples[kind, name]) for kind in KINDS} for name in names}
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")


def _rounds(contenders: list[Contender], rounds: int, seconds: float, connections: int) -> Samples:
    _, others = procfs.split_cpus()
    work = {contender.name: loads(contender) for contender in contenders}
    samples: Samples = {}
    for number in range(rounds + 1):
        sys.stderr.write(f"\rround {number} of {rounds} " if number else "\rwarming up ")
        sys.stderr.flush()
        for kind in KINDS:
            for contender in contenders:
                taken = sample(
                    contender,
                    work[contender.name][kind],
                    connections=connections,
                    seconds=seconds,
                    cpus=others,
                )
                if number:
                    samples.setdefault((kind, contender.name), []).append(taken)
    sys.stderr.write("\n")
    return samples


def table(samples: Samples, names: list[str]) -> Iterator[str]:
    """Plain lines: for each kind of request and server the medians, and its CPU over the first server's."""
    yield f"{'':14}{'':12}{'CPU us':>8}{'x floor':>9}{'each round':>12}"
    for kind in KINDS:
        floor = summary(samples[kind, names[0]])["cpu_us"]
        for name in names:
            told = summary(samples[kind, name])
            each = " ".join(f"{value:.0f}" for value in told["cpu_us_each"])
            yield (
                f"{kind:14}{name:12}{told['cpu_us']:8.0f}{told['cpu_us'] / floor:9.2f}  {each}  "
                f"{told['per_second']:.0f}/s  p50 {told['p50_ms']:.2f} ms  {told['memory'] / 1e6:.0f} MB  "
                f"{told['failed']} failed"
            )


if __name__ == "__main__":
    sys.exit(run_to_end(main))
