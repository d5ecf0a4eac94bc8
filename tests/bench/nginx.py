"""The provider: nginx with two fixed answers, so fast that it is never what a run measures."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final, Self

from tests.bench.program import Program, free_port
from tests.bench.tools import find

KEY: Final = "ek_68af296e8e408191a1120ab6383263c2"
# The longest life that a key may have, so that no handle expires in the course of a run.
_LIFE_SECONDS: Final = 7200
OFFER: Final = Path(__file__).with_name("offer.sdp")

_CONFIG: Final = """
daemon off;
master_process off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  keepalive_timeout 600s;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location /v1/realtime/client_secrets {{
      default_type application/json;
      return 200 '{mint}';
    }}
    location /v1/realtime/calls {{
      default_type application/sdp;
      # A call id of its own for every answer, as the real one has.
      add_header Location /v1/realtime/calls/rtc_$request_id always;
      return 201 '{answer}';
    }}
  }}
}}
"""


def offer() -> bytes:
    """An offer of Chromium 156: audio and a data channel, with the candidates of a browser behind NAT."""
    return OFFER.read_bytes()


def answer() -> bytes:
    """What the provider answers to it: as long as a real answer."""
    return offer().replace(b"@SERIAL-18-DIGITS@", b"4611731400430051336").replace(b"actpass", b"active")


def mint_answer() -> str:
    """The provider's answer to a mint, as the provider writes it."""
    session = {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_C9CiUVUzUzYIssh3ELY1d",
        "model": "gpt-realtime-2.1",
        "output_modalities": ["audio"],
        "instructions": "You are a helpful assistant.",
        "tools": [],
        "tool_choice": "auto",
    }
    return json.dumps({"value": KEY, "expires_at": int(time.time()) + _LIFE_SECONDS, "session": session})


def config(directory: Path, port: int) -> str:
    """nginx's configuration; carriage returns and line feeds stand in it as they are."""
    return _CONFIG.format(directory=directory, port=port, mint=mint_answer(), answer=answer().decode())


class Provider(Program):
    """nginx on loopback, in the foreground, as whoever runs the benchmark."""

    def __init__(self, *, cpus: set[int]) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="bench-nginx-"))
        port = free_port()
        path = self._directory / "nginx.conf"
        path.write_text(config(self._directory, port), newline="")
        super().__init__(
            "nginx", [str(find("nginx")), "-p", str(self._directory), "-c", str(path)], {}, cpus=cpus
        )
        self.url: Final = f"http://127.0.0.1:{port}/v1"
        try:
            self.wait_for_port(port)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self
