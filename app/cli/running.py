"""Runs one command's work against the service or the store, quietly, and closes what was opened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from app.cli.target import Target, open_operator
from app.telemetry.logs import without_logs

if TYPE_CHECKING:
    from app.cli.operator.base import Operator


def operate(target: Target, work: Callable[[Operator], Awaitable[int]]) -> int:
    """Run ``work`` and return its exit status; Ctrl-C cancels it first and then is a ``KeyboardInterrupt``.

    Raises:
        CliFailure: from the way there, or from the work.
    """

    async def run() -> int:
        async with open_operator(target) as operator:
            return await work(operator)

    # The store's own log lines are the service's; a command says in its own words what happened.
    with without_logs():
        return asyncio.run(run())
