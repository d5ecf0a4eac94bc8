"""``python -m app`` and the console script ``cloakroom``."""

from __future__ import annotations

import sys
from typing import Final

from app.cli.lean import without_unused

_EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 used wrongly, 130 interrupted."""
    try:
        # Imported here, so that Ctrl-C during the imports is no traceback either.
        if sys.argv[1:] == ["serve"]:
            # A replica writes JSON and reads no options: it does without the parser of commands, too.
            with without_unused():
                from app.cli.replica import run_alone as run
        else:
            from app.cli.root import run
        sys.exit(run())
    except KeyboardInterrupt:
        sys.exit(_EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
