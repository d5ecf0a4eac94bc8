"""``python -m tests.system.netns.store ADDRESS``: a real store that other hosts reach at this address."""

from __future__ import annotations

import json
import os
import signal
import sys

from app.store.embedded.engine import LocalEngine

PASSWORD_ENV = "NETNS_STORE_PASSWORD"


def main(address: str) -> None:
    """Run until SIGTERM; one JSON line on stdout tells the port."""
    # As an exception, so that the engine is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # Loopback too: that is where the engine looks whether it is ready.
    with LocalEngine(
        password=os.environ[PASSWORD_ENV], extra_args=["--bind", address, "127.0.0.1"]
    ) as engine:
        print(json.dumps({"event": "store_ready", "port": engine.port}), flush=True)
        while True:
            signal.pause()


if __name__ == "__main__":
    main(sys.argv[1])
