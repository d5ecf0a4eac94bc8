"""``python -m tests.bench``: the comparison with the floor and LiteLLM; ``make bench`` runs it.

    --rounds 4 --seconds 2    of each run; a round has 24 runs

Writes ``tests/bench/results/bench.json``; ``python -m tests.bench.report`` makes the pages and pictures.
"""

from __future__ import annotations

import argparse
import json
import sys

from tests.bench.compare import compare
from tests.bench.progress import end_on_signals
from tests.bench.tools import RESULTS, BenchError, find


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Cloakroom beside a bare server and LiteLLM."
    )
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=2)
    chosen = parser.parse_args(arguments)
    end_on_signals()
    try:
        # Before minutes have gone into it.
        for name in ("wrk", "nginx", "litellm"):
            find(name)
        found = compare(chosen.rounds, chosen.seconds)
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped\n")
        return 130
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench.json").write_text(json.dumps(found, indent=1) + "\n")
    sys.stderr.write(f"\nwritten: {RESULTS / 'bench.json'}; python -m tests.bench.report makes the pages\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
