"""A real Prometheus that scrapes replicas once a second, with the rules and queries of deploy/."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from app.store.embedded import lifeline
from tests.support.clocks import PATIENCE, until
from tests.support.programs import required


class Prometheus:
    """One server on loopback; it ends with the test process at the latest.

    Args:
        folder: where it keeps its data.
        targets: ``host:port`` of each replica.
        rules: files of rules.
    """

    def __init__(self, folder: Path, *, targets: Sequence[str], rules: Sequence[Path]) -> None:
        program = required("prometheus", package="prometheus")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        config = folder / "prometheus.yml"
        scrape = {"job_name": "cloakroom", "static_configs": [{"targets": list(targets)}]}
        config.write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": [str(file) for file in rules],
                    "scrape_configs": [scrape],
                }
            )
        )
        self._process = lifeline.popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            env={"PATH": os.defpath},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        until(self._ready, "prometheus did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)

    def _ready(self) -> bool:
        assert self._process.poll() is None, "prometheus ended"
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=PATIENCE):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except OSError:
            return False

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The series that the expression gives now."""
        found: list[dict[str, Any]] = self._get("query", query=expr)["result"]
        return found

    def rules(self) -> dict[str, dict[str, Any]]:
        """Each rule by its name, with its state and health."""
        groups = self._get("rules")["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    def _get(self, path: str, **parameters: str) -> Any:
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=PATIENCE) as response:
            answer = json.load(response)
        assert answer["status"] == "success", answer
        return answer["data"]
