"""Runs ``wrk`` against one server, and reads what it found."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.tools import BenchError, find

_SCRIPT: Final = Path(__file__).with_name("load.lua")
# LiteLLM needs seconds for one answer at 256 connections, which is slow and not failed.
_ANSWER_SECONDS: Final = 30
SERIAL: Final = b"@SERIAL-18-DIGITS@"
TOKEN: Final = b"@TOKEN@"


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of request: the template of its bytes, and the tokens that take turns in it."""

    template: bytes
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What ``wrk`` saw; ``failed`` are answers of 400 and above, lost connections and timeouts."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    failed: int

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def request_template(
    path: str, headers: Sequence[tuple[str, str]], body: bytes, *, host: str = "bench.test"
) -> bytes:
    """The bytes of one POST, with ``wrk``'s markers where they stand in headers and body."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
    lines.append(f"Content-Length: {len(body.replace(SERIAL, b'0' * 18))}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def parse(output: str) -> Outcome:
    """Read the JSON line of ``load.lua``.

    Raises:
        BenchError: there is none.
    """
    line = next((line for line in output.splitlines() if line.startswith('{"requests"')), None)
    if line is None:
        raise BenchError(f"wrk did not finish:\n{output}")
    told = json.loads(line)
    return Outcome(
        requests=told["requests"],
        seconds=told["duration_us"] / 1e6,
        p50_ms=told["p50_us"] / 1e3,
        p99_ms=told["p99_us"] / 1e3,
        max_ms=told["max_us"] / 1e3,
        failed=sum(told[kind] for kind in ("connect", "read", "write", "status", "timeout")),
    )


def run(
    base_url: str,
    load: Load,
    *,
    connections: int,
    seconds: float,
    cpus: set[int],
    pause_ms: float = 0,
) -> Outcome:
    """Load one server for about ``seconds`` with so many connections, which pause before each request.

    Raises:
        BenchError: ``wrk`` is missing or did not finish.
    """
    with tempfile.TemporaryDirectory(prefix="bench-load-") as name:
        template, tokens = Path(name) / "template", Path(name) / "tokens"
        template.write_bytes(load.template)
        tokens.write_text("\n".join(load.tokens) + "\n")
        command = [
            str(find("wrk")),
            *("-t", "1", "-c", str(connections), "-d", f"{max(1, round(seconds))}s"),
            *("--timeout", f"{_ANSWER_SECONDS}s", "-s", str(_SCRIPT), base_url, "--"),
            *(str(template), str(tokens), str(secrets.randbelow(10**9)), str(pause_ms)),
        ]
        # The parent's own affinity is what the child starts with.
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cpus)
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds + 60)
        except subprocess.TimeoutExpired:
            raise BenchError(f"wrk did not end within {seconds + 60:.0f} s at {base_url}") from None
        finally:
            os.sched_setaffinity(0, mine)
    return parse(done.stdout + done.stderr)
