"""The console script ``cloakroom``, and the package run with ``python -m``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

# structlog loads rich for tracebacks on a terminal, which a replica does not use.
UNUSED: Final = ("rich",)
_EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 used wrongly, 130 interrupted."""
    try:
        # Imported here, so that Ctrl-C during the imports prints no traceback either.
        if sys.argv[1:] == ["serve"]:
            # A replica stays for long and reads no options, so it does without the parser of commands.
            with without_unused():
                from app.cli.serve import run_alone as run
        else:
            from app.cli.root import run
        sys.exit(run())
    except KeyboardInterrupt:
        sys.exit(_EXIT_INTERRUPTED)


@contextmanager
def without_unused() -> Iterator[None]:
    """Make imports of ``UNUSED`` fail meanwhile, as if these were not installed; later imports find them."""
    # Any: Python's mark for "not to be imported" is None, which the type of sys.modules does not allow.
    modules: dict[str, Any] = sys.modules
    hidden = [name for name in UNUSED if name not in modules]
    for name in hidden:
        modules[name] = None
    try:
        yield
    finally:
        for name in hidden:
            del modules[name]


if __name__ == "__main__":
    main()
