"""An operator's day at a given number of live handles: a replica's admin API, and the command line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from typing import Final

from tests.bench.contenders import Cloakroom
from tests.bench.fill import CLIENTS
from tests.bench.tools import ROOT, BenchError

_TRIES: Final = 9
_PAGE: Final = 100
# One of the clients that share the handles evenly: a twentieth of all.
_REVOKED: Final = f"client-{CLIENTS - 1}"


def operator_times(replica: Cloakroom) -> dict[str, float]:
    """A page by the admin API, and ``cloakroom handles`` listing and revoking; milliseconds.

    Raises:
        BenchError: the replica or the command refused.
    """
    page = sorted(_page_ms(replica) for _ in range(_TRIES))[_TRIES // 2]
    listed_ms, _ = _command(replica, "handles", "list", "--limit", str(_PAGE), "--quiet")
    revoked_ms, printed = _command(replica, "handles", "revoke", "--client", _REVOKED, "--yes", "--quiet")
    return {
        "admin_page_ms": page,
        "command_list_ms": listed_ms,
        "command_revoke_ms": revoked_ms,
        "command_revoked": float(printed.strip() or 0),
    }


def _page_ms(replica: Cloakroom) -> float:
    request = urllib.request.Request(
        f"{replica.url}/admin/v1/handles?limit={_PAGE}",
        headers={"Authorization": f"Bearer {replica.planted.admin_key}"},
    )
    started = time.perf_counter()
    with urllib.request.urlopen(request, timeout=30) as response:
        response.read()
    return (time.perf_counter() - started) * 1e3


def _command(replica: Cloakroom, *arguments: str) -> tuple[float, str]:
    """Run ``cloakroom`` as an operator does; how long it took from start to end, and what it printed."""
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "CLOAKROOM_ADMIN_URL": replica.url,
        "CLOAKROOM_ADMIN_KEY": replica.planted.admin_key,
    }
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        check=False,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    # 1: nothing matched, as with a single handle that is somebody else's.
    if done.returncode not in (0, 1):
        raise BenchError(f"cloakroom {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return (time.perf_counter() - started) * 1e3, done.stdout
