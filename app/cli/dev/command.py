"""``cloakroom dev``: the command, from its first child to its last."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from app.cli.dev.environment import MAX_REPLICAS
from app.cli.dev.screen import Screen
from app.cli.dev.stack import DevOptions, Stack
from app.cli.failure import EXIT_DONE, EXIT_FAILED, CliFailure, usable_variables


def dev(
    *,
    port: Annotated[
        int, Parameter(env_var="CLOAKROOM_PORT"), Parameter(validator=Number(gte=1, lte=65535))
    ] = 8080,
    host: Annotated[str, Parameter(env_var="CLOAKROOM_HOST")] = "127.0.0.1",
    replicas: Annotated[int, Parameter(validator=Number(gte=1, lte=MAX_REPLICAS))] = 2,
    redis_url: Annotated[str | None, Parameter(env_var="CLOAKROOM_REDIS_URL")] = None,
    quiet_logs: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Run replicas, a store and a provider on this machine, to try things out.

    Ctrl-C ends all of it in order, a second one at once; no process and no file stays behind. Secrets are
    made for the run. Without OPENAI_API_KEY, AZURE_OPENAI_ENDPOINT or CLOAKROOM_CONFIG in the environment the
    provider in a box answers. A setting in the environment wins over what this command would choose.

    Args:
        port: Port of the first replica; the others follow. A port in use is skipped.
        host: Address that the replicas listen on.
        replicas: How many replicas to run on the one store.
        redis_url: The store; default: a local server for this run. Better set it in the environment, since
            every user of the machine can read it here.
        quiet_logs: Hide the log lines of the children.
    """
    options = DevOptions(host, port, replicas, redis_url, quiet_logs)
    return asyncio.run(_supervise(options))


async def _supervise(options: DevOptions) -> int:
    stop, kill = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (kill if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    screen = Screen.of_stdout(on_gone=stop.set)
    stack = Stack(options, usable_variables(os.environ), screen)
    failure: str | None = None
    try:
        failure = await _live(stack, screen, stop)
    except CliFailure as error:
        failure = str(error)
    finally:
        # The end has begun, so from here on a first Ctrl-C counts as the second.
        stop.set()
        words = "stopping all: " + failure if failure else "stopping (once more: at once)"
        talk = asyncio.ensure_future(screen.say(words, "bold red" if failure else "bold"))
        await stack.stop(kill)
        await asyncio.wait([talk], timeout=1)
    # Ctrl-C is the usual end of this command.
    return EXIT_DONE if failure is None else EXIT_FAILED


async def _live(stack: Stack, screen: Screen, stop: asyncio.Event) -> str | None:
    """Start the stack. Return None when asked to stop, else what ended unasked.

    Raises:
        CliFailure: something did not come up.
    """
    life = asyncio.ensure_future(_run(stack, screen))
    asked = asyncio.ensure_future(stop.wait())
    await asyncio.wait([life, asked], return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if life.done():
        return life.result()
    life.cancel()
    with contextlib.suppress(asyncio.CancelledError, CliFailure):
        await life
    return None


async def _run(stack: Stack, screen: Screen) -> str:
    await stack.start()
    # One write, so that no log line falls into the commands; not wrapped, so that none is broken.
    await screen.write(
        f"\n{screen.styled('ready; Ctrl-C ends all of it', 'bold green')}\n\n{stack.to_try_out()}"
    )
    return await stack.watch()
