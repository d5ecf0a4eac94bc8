"""The real HAProxy with ``deploy/haproxy/haproxy.cfg`` before replicas of a test; only addresses differ."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from app.store.embedded import lifeline
from tests.bench.program import free_port
from tests.support.clocks import until
from tests.support.processes import ROOT

FOLDER: Final = ROOT / "deploy" / "haproxy"
_PLACES: Final = "/usr/local/sbin:/usr/sbin:/sbin"


def haproxy() -> str:
    """The program's path. Without it nothing of its promises is proved, so its lack fails a test."""
    found = shutil.which("haproxy") or shutil.which("haproxy", path=_PLACES)
    assert found, "haproxy is missing: run 'make system' as root (Debian's package haproxy)"
    return found


class Balancer:
    """HAProxy in the foreground; returns when it serves.

    Args:
        replicas: host and port by the name that the configuration has: ``replica-a``, ``replica-b``.
    """

    def __init__(self, replicas: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="balancer-")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        changes = {"bind :8080": f"bind 127.0.0.1:{port}", "bind :8404": f"bind 127.0.0.1:{free_port()}"}
        changes |= {f"{name}:8080": address for name, address in replicas.items()}
        config = self._configured(changes)
        self._log = (Path(self._folder.name) / "log").open("wb")
        self._process = lifeline.popen(
            [haproxy(), "-db", "-f", str(config)],
            env={**os.environ, "LB_TRUSTED_PROXIES": "127.0.0.1"},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            until(self._serves, lambda: f"HAProxy does not serve:\n{self.log}")
        except BaseException:
            self.stop()
            raise

    @property
    def log(self) -> str:
        """What it has written so far."""
        return Path(self._log.name).read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """End it at once."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._log.close()
        self._folder.cleanup()

    def _configured(self, changes: Mapping[str, str]) -> Path:
        text = (FOLDER / "haproxy.cfg").read_text(encoding="utf-8")
        for old, new in changes.items():
            assert old in text, f"haproxy.cfg has no {old!r} any more"
            text = text.replace(old, new)
        for page in FOLDER.glob("*.http"):
            shutil.copy(page, self._folder.name)
        config = Path(self._folder.name) / "haproxy.cfg"
        config.write_text(text, encoding="utf-8")
        return config

    def _serves(self) -> bool:
        assert self._process.poll() is None, f"HAProxy ended:\n{self.log}"
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except OSError:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
