"""What runs commands, whatever the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import hiredis

Command = Sequence[str | int]

# Longer batches are an operator's; they hold up no request.
SHORT: Final = 8


class Executor(Protocol):
    """Runs commands in one round trip."""

    async def run(self, commands: Sequence[Command], *, timeout: float) -> list[Any]:
        """Run each command for itself and return their replies in order.

        A command that the server refused has its error in the reply's place, so that the others' replies are
        not lost.

        Raises:
            TimeoutError: no reply within ``timeout`` seconds, connecting included.
            RedisError, OSError: the driver's own, where there is no connection.
        """

    async def close(self) -> None:
        """End the executor's own connections."""


def packed(commands: Sequence[Command]) -> bytes:
    """The commands as they go over the connection."""
    pack: Any = hiredis.pack_command  # its stub asks for a tuple of one
    return b"".join([pack(command) for command in commands])
