"""``python -m tests.faults [drill ...]``: those drills, or all of them; ``--list`` names them.

    --rounds 100    of each drill, instead of its own number
    --json FILE     write the figures there, too

The exit status is 1 where a promise is broken. Each drill starts what it breaks and ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
import pkgutil
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import tests.faults
from tests.faults.drill import Drill, Figures, Progress


def drills() -> list[Drill]:
    """All drills, by the row of their promise."""
    names = [module.name for module in pkgutil.iter_modules(tests.faults.__path__) if module.name[0] != "_"]
    modules = [importlib.import_module(f"tests.faults.{name}") for name in names]
    found: list[Drill] = [drill for module in modules for drill in getattr(module, "DRILLS", ())]
    return sorted(found, key=lambda drill: (int(drill.promise.rstrip("abcd")), drill.name))


def main(arguments: Sequence[str]) -> int:
    """Run them, and print the figures of each."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description="Long runs that break things."
    )
    known = drills()
    parser.add_argument("drills", nargs="*", metavar="drill", help="default: all")
    parser.add_argument("--list", action="store_true", help="name the drills and end")
    parser.add_argument("--rounds", type=int, help="of each drill, instead of its own number")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args(arguments)
    if options.list:
        for drill in known:
            print(f"{drill.name:20} promise {drill.promise:3} about {drill.minutes:g} min")
        return 0
    if unknown := set(options.drills) - {drill.name for drill in known}:
        parser.error(f"there is no drill {sorted(unknown)[0]!r}; --list names them")
    chosen = [drill for drill in known if not options.drills or drill.name in options.drills]
    # Its warnings are of connections that a drill cut.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    print(f"--> {len(chosen)} drills, about {sum(drill.minutes for drill in chosen):.0f} minutes", flush=True)

    results: dict[str, Figures] = {}
    broken = []
    for at, drill in enumerate(chosen, start=1):
        print(f"\n--> {at} of {len(chosen)}: {drill.name} (promise {drill.promise})", flush=True)
        begun = time.monotonic()
        try:
            figures = asyncio.run(drill.run(Progress(drill.name), options.rounds or drill.rounds))
        except Exception:
            traceback.print_exc()
            broken.append(drill.name)
            print(f"BROKEN {drill.name} after {time.monotonic() - begun:.0f} s", flush=True)
            continue
        results[drill.name] = figures
        print(f"held   {drill.name} in {time.monotonic() - begun:.0f} s", flush=True)
        for name, figure in figures.items():
            print(f"       {name}: {figure:,}" if isinstance(figure, int) else f"       {name}: {figure}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"\n{len(chosen) - len(broken)} of {len(chosen)} held", flush=True)
    if broken:
        print(f"broken: {', '.join(broken)}", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
