"""LiteLLM's proxy as its guide sets it up for realtime: one worker, its own environment, the same Redis."""

from __future__ import annotations

import json
import secrets
import tempfile
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from tests.bench.contenders import MODEL, mint_load, mint_once, relay_load
from tests.bench.program import Program, free_port
from tests.bench.tools import BENCH_VENV, BenchError, find
from tests.bench.wrk import Load

_START_SECONDS: Final = 180
# Each one costs it ten milliseconds, outside of every measurement.
_MOST_HANDLES: Final = 100


def config(*, provider: str, redis_host: str, redis_port: int, master_key: str) -> str:
    """Its configuration file; JSON is YAML."""
    return json.dumps(
        {
            "model_list": [
                {
                    "model_name": MODEL,
                    "litellm_params": {
                        "model": f"openai/{MODEL}",
                        "api_base": provider,
                        "api_key": "sk-bench",
                    },
                    "model_info": {"mode": "realtime"},
                }
            ],
            "router_settings": {"redis_host": redis_host, "redis_port": redis_port},
            "general_settings": {
                "master_key": master_key,
                # Releases since 1.107 or so refuse the calls of WebRTC without it; older ones pass it over.
                "allow_non_billable_realtime_protocols": True,
            },
        }
    )


class LiteLlm(Program):
    """One worker of the proxy on loopback.

    Raises:
        BenchError: it is not installed (``make bench`` does that), or does not start.
    """

    def __init__(self, *, provider: str, redis: str, cpus: set[int]) -> None:
        self._key = "sk-" + secrets.token_urlsafe(24)
        self._directory = tempfile.TemporaryDirectory(prefix="bench-litellm-")
        where = urlsplit(redis)
        port = free_port()
        path = Path(self._directory.name) / "config.yaml"
        path.write_text(
            config(
                provider=provider,
                redis_host=where.hostname or "127.0.0.1",
                redis_port=where.port or 6379,
                master_key=self._key,
            )
        )
        environment = {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it fetches its price list from the network otherwise
            "LITELLM_SALT_KEY": secrets.token_urlsafe(24),
        }
        arguments = ["--config", str(path), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        super().__init__(
            "litellm",
            [str(find("litellm")), *arguments],
            environment,
            cpus=cpus,
            directory=Path(self._directory.name),
        )
        self.url = f"http://127.0.0.1:{port}"
        try:
            self.wait_for_port(port, seconds=_START_SECONDS)
            mint_once(self.url, self._key)
        except OSError as error:
            self.stop()
            raise BenchError(f"litellm does not mint: {error}") from None
        except BaseException:
            self.stop()
            raise

    def mint(self, *, limited: bool) -> Load:
        # Its limits belong to virtual keys, which want a PostgreSQL database; the load is the same.
        del limited
        return mint_load(self._key)

    def relay(self, handles: int) -> Load:
        number = min(handles, _MOST_HANDLES)
        return relay_load(tuple(mint_once(self.url, self._key)["value"] for _ in range(number)))

    def stop(self) -> None:
        super().stop()
        self._directory.cleanup()

    def __enter__(self) -> Self:
        return self


def version() -> str:
    """The installed release, from its own metadata."""
    found = sorted(BENCH_VENV.glob("lib/python*/site-packages/litellm-*.dist-info"))
    return found[-1].name.split("-")[1].removesuffix(".dist") if found else "not installed"
