"""``python -m tests.system.containers.names ADDRESS JSON``: Docker's name server, for one container.

The server itself is that of ``deploy/drills``.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from typing import Any

from tests.support.processes import ROOT


def _stand_ins() -> Any:
    path = ROOT / "deploy" / "drills" / "stand_ins.py"
    spec = importlib.util.spec_from_file_location("stand_ins", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def main(address: str, names: dict[str, str]) -> None:
    """Answer until the end."""
    server = _stand_ins().NameServer(names)
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: server, local_addr=(address, 53))
    print(json.dumps({"event": "names_ready"}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
