"""Adds up what calls cost, from Cloakroom's usage records: ``python usage_costs.py usage_prices.yaml``.

Needs ``pip install redis pyyaml`` and ``REDIS_URL``. It reads as a consumer group: several (each with its
``CONSUMER``) share the work, and one that is started again goes on where it stopped. It prints a line for
each call, and the sums at its end (Ctrl-C, or with ``--once`` when there is nothing more to read).
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import redis
import yaml

STREAM, GROUP = "cloakroom:usage", "costs"
CONSUMER = os.environ.get("CONSUMER", "costs-1")

Record = Mapping[str, str]
Prices = Mapping[str, Mapping[str, float | None]]


def amounts(record: Record) -> dict[str, float]:
    """What has a price, by its name in the price table. The record's input includes what was cached."""
    count = {name: float(value) for name, value in record.items() if name.endswith(("_tokens", "_seconds"))}
    found = {}
    for kind in ("text", "audio", "image"):
        cached = count.get(f"cached_{kind}_tokens", 0)
        found[f"cached_{kind}"] = cached
        found[f"input_{kind}"] = count.get(f"input_{kind}_tokens", 0) - cached
        found[f"output_{kind}"] = count.get(f"output_{kind}_tokens", 0)
    for side in ("input", "output"):
        found[f"transcription_{side}"] = count.get(f"transcription_{side}_tokens", 0)
        # Tokens of which the provider told no kind.
        told = sum(found[f"{side}_{kind}"] for kind in ("text", "audio", "image"))
        told += sum(found[f"cached_{kind}"] for kind in ("text", "audio", "image")) if side == "input" else 0
        found[f"{side}_other"] = count.get(f"{side}_tokens", 0) - told
    found["transcription_minute"] = count.get("transcription_seconds", 0) / 60
    found["live_minute"] = count.get("live_seconds", 0) / 60
    return {name: amount for name, amount in found.items() if amount > 0}


def cost(record: Record, prices: Prices) -> float | None:
    """What the call cost; None where something that it used has no price."""
    table = prices.get(record.get("provider_model") or record.get("model", "")) or {}
    total = 0.0
    for name, amount in amounts(record).items():
        price = table.get(name)
        if price is None:
            return None
        total += amount * price / (1 if name.endswith("_minute") else 1_000_000)
    return total


def records(client: redis.Redis, *, once: bool) -> Iterator[tuple[str, Record]]:
    """First those that an earlier run took and did not finish, then new ones as they come."""
    try:
        client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise
    unfinished = True
    while True:
        position = "0" if unfinished else ">"
        block = None if unfinished or once else 5_000
        reply: Any = client.xreadgroup(GROUP, CONSUMER, {STREAM: position}, count=100, block=block)
        found = reply[0][1] if reply else []
        yield from found
        if unfinished:
            unfinished = bool(found)
        elif once and not found:
            return


def main(prices_file: str, *, once: bool) -> None:
    """Read, print, add up."""
    prices = yaml.safe_load(Path(prices_file).read_text(encoding="utf-8"))
    totals: Counter[str] = Counter()
    unpriced: Counter[str] = Counter()
    client = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True, protocol=2)
    try:
        for entry, record in records(client, once=once):
            paid, who = cost(record, prices), record.get("client", "?")
            told = "?" if paid is None else f"{paid:.6f}"
            print(
                record["call"],
                who,
                *(record.get(name, "?") for name in ("model", "seconds", "metered")),
                told,
            )
            if paid is None:
                unpriced[who] += 1
            else:
                totals[who] += paid  # type: ignore[assignment]  # a Counter of money
            # After it is done: one that was taken and not acknowledged comes again.
            client.xack(STREAM, GROUP, entry)
    except KeyboardInterrupt:
        pass
    for who in sorted(totals.keys() | unpriced.keys()):
        print(f"total {who} {totals[who]:.6f}, {unpriced[who]} calls without a price")


if __name__ == "__main__":
    main(sys.argv[1], once="--once" in sys.argv[2:])
