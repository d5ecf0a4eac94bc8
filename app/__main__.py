"""``python -m app`` and the console script ``cloakroom``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 used wrongly."""
    from app.cli.root import run

    sys.exit(run())


if __name__ == "__main__":
    main()
