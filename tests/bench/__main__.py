"""``python -m tests.bench``: the comparison with the floor and LiteLLM; ``make bench`` runs it.

    --rounds 4 --seconds 2    of each run; a round has 24 runs

Writes ``tests/bench/results/bench.json``; ``python -m tests.bench.report`` makes the pages and pictures.
"""

from __future__ import annotations

import argparse
import json
import sys

from tests.bench.compare import compare
from tests.bench.progress import run_to_end
from tests.bench.tools import RESULTS, find


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Cloakroom beside a bare server and LiteLLM."
    )
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=2)
    chosen = parser.parse_args()
    # Before minutes have gone into it.
    for name in ("wrk", "nginx", "litellm"):
        find(name)
    found = compare(chosen.rounds, chosen.seconds)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench.json").write_text(json.dumps(found, indent=1) + "\n")
    sys.stderr.write(f"\nwritten: {RESULTS / 'bench.json'}; python -m tests.bench.report makes the pages\n")


if __name__ == "__main__":
    sys.exit(run_to_end(main))
