"""`python -m app.sandbox`: run the provider in a box until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import date

from aiohttp import web

from .config import DEFAULT_DEPLOYMENTS, SandboxConfig
from .federation import Identity
from .server import create_sandbox

OPENAI_KEY_ENV = "CLOAKROOM_SANDBOX_OPENAI_KEY"
AZURE_KEY_ENV = "CLOAKROOM_SANDBOX_AZURE_KEY"
INWORLD_KEY_ENV = "CLOAKROOM_SANDBOX_INWORLD_KEY"
QWEN_KEY_ENV = "CLOAKROOM_SANDBOX_QWEN_KEY"
ISSUER_KEY_ENV = "CLOAKROOM_SANDBOX_ISSUER_KEY"
# What a request in flight may still take when the process is told to stop, in seconds.
DRAIN_SECONDS = 0.5


def parser() -> argparse.ArgumentParser:
    """The command line."""
    default = SandboxConfig()
    options = argparse.ArgumentParser(prog=f"python -m {__package__}", description=__doc__)
    add = options.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=9090, help="port to listen on; 0 picks a free one (default: %(default)s)")
    add("--openai-key", action="append", metavar="KEY", help=f"accepted standard key; or ${OPENAI_KEY_ENV}")
    add("--azure-key", action="append", metavar="KEY", help=f"accepted resource key; or ${AZURE_KEY_ENV}")
    add("--azure-token", action="append", default=[], metavar="TOKEN", help="accepted Entra access token")
    add(
        "--azure-deployment",
        action="append",
        metavar="NAME=BASEMODEL",
        help=f"an Azure deployment, repeatable (default: {dict(DEFAULT_DEPLOYMENTS)})",
    )
    add("--azure-preview", action="store_true", help="serve Azure's preview paths too")
    add("--inworld-key", action="append", metavar="KEY", help=f"accepted by Inworld; or ${INWORLD_KEY_ENV}")
    add("--qwen-key", action="append", metavar="KEY", help=f"accepted by Qwen-Omni; or ${QWEN_KEY_ENV}")
    add("--localai-key", action="append", default=[], metavar="KEY", help="accepted at LocalAI's path")
    add("--openai-model", action="append", metavar="NAME", help="serve only these models; repeatable")
    add(
        "--openai-end",
        action="append",
        default=[],
        metavar="NAME=DAY",
        help="a model that is not served from this day on, as voice-1=2027-01-20; repeatable",
    )
    add(
        "--workload-identity",
        metavar="PROVIDER:ACCOUNT",
        help=f"ids of the token exchange, which takes HS256 tokens signed with ${ISSUER_KEY_ENV}",
    )
    add(
        "--peer",
        choices=("webrtc", "static"),
        default=default.peer,
        help="answer with a real peer or with text only",
    )
    add("--peer-cap", type=int, default=default.peer_cap, help="calls alive at once (default: %(default)s)")
    add(
        "--key-seconds",
        type=int,
        default=default.key_seconds,
        help="life of a key that names none (default: %(default)s)",
    )
    add("--mint-seconds", type=float, default=default.mint_seconds, help="how long a mint takes")
    add("--clock-skew", type=float, default=0.0, help="seconds that the provider's clock is ahead")
    add(
        "--no-ephemeral-sidebands",
        action="store_true",
        help="no sideband for calls that an ephemeral key created: 404 call_id_not_found",
    )
    add("--greeting", default=default.greeting, help="what the partner says first (default: nothing)")
    return options


def config_from(options: argparse.Namespace, environ: Mapping[str, str]) -> SandboxConfig:
    """The configuration. Raises ValueError for a pair of another form than its option's."""
    default = SandboxConfig()
    deployments = dict(DEFAULT_DEPLOYMENTS)
    if options.azure_deployment:
        deployments = {}
        for pair in options.azure_deployment:
            name, separator, model = pair.partition("=")
            if not (name and separator and model):
                raise ValueError(f"--azure-deployment {pair}: write it as NAME=BASEMODEL")
            deployments[name] = model
    return SandboxConfig(
        openai_keys=_keys(options.openai_key, environ.get(OPENAI_KEY_ENV), default.openai_keys),
        azure_keys=_keys(options.azure_key, environ.get(AZURE_KEY_ENV), default.azure_keys),
        azure_tokens=tuple(options.azure_token),
        azure_deployments=deployments,
        azure_preview=options.azure_preview,
        inworld_keys=_keys(options.inworld_key, environ.get(INWORLD_KEY_ENV), default.inworld_keys),
        qwen_keys=_keys(options.qwen_key, environ.get(QWEN_KEY_ENV), default.qwen_keys),
        localai_keys=tuple(options.localai_key),
        openai_models=tuple(options.openai_model) if options.openai_model else None,
        openai_ends=dict(map(_end, options.openai_end)),
        identity=_identity(options.workload_identity, environ.get(ISSUER_KEY_ENV)),
        key_seconds=options.key_seconds,
        mint_seconds=options.mint_seconds,
        clock_skew=options.clock_skew,
        peer=options.peer,
        peer_cap=options.peer_cap,
        greeting=options.greeting,
        ephemeral_sidebands=not options.no_ephemeral_sidebands,
    )


def _identity(pair: str | None, issuer_key: str | None) -> Identity | None:
    if pair is None:
        return None
    provider, _, account = pair.partition(":")
    if not (provider and account and issuer_key):
        raise ValueError(f"--workload-identity: write it as PROVIDER:ACCOUNT, and set {ISSUER_KEY_ENV}")
    return Identity(provider, account, issuer_key)


def _end(pair: str) -> tuple[str, str]:
    name, _, day = pair.partition("=")
    try:
        return name, date.fromisoformat(day).isoformat()
    except ValueError:
        raise ValueError(f"--openai-end {pair}: write it as NAME=YYYY-MM-DD") from None


def _keys(given: list[str] | None, from_env: str | None, default: tuple[str, ...]) -> tuple[str, ...]:
    if given:
        return tuple(given)
    return (from_env,) if from_env else default


async def serve(config: SandboxConfig, host: str, port: int) -> None:
    """Listen, say so in one JSON line on stdout, and stop on SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(create_sandbox(config), access_log=None, shutdown_timeout=DRAIN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        bound = runner.addresses[0][1]
        named = f"[{host}]" if ":" in host else host
        ready = {"event": "sandbox_ready", "url": f"http://{named}:{bound}", "pid": os.getpid()}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await runner.cleanup()


def main(argv: Sequence[str] | None = None) -> int:
    """Run; 0 after a signal, 2 for a mistake on the command line."""
    options = parser().parse_args(argv)
    try:
        config = config_from(options, os.environ)
    except ValueError as error:
        parser().error(str(error))
    asyncio.run(serve(config, options.host, options.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
