"""What the service may do in Redis, and no more: one access rule, for documents, doctor and tests.

The commands are those that the code sends, and those that its scripts call, which the server checks as well.
"""

from __future__ import annotations

from typing import Final

from app.store.keys import PREFIX

# Signing on: user and password, the connection's name, and the library's (some drivers insist).
_CONNECTION: Final = ("auth", "hello", "ping", "client|setname", "client|setinfo", "select")
_DIRECT: Final = ("evalsha", "eval", "set", "hmget", "pttl", "llen", "lrange")
_IN_SCRIPTS: Final = (
    "hset",
    "hget",
    "hsetnx",
    "hexists",
    "hincrby",
    "get",
    "del",
    "exists",
    "incr",
    "rpush",
    "pexpire",
)
# The client finds the node of a key by these; a single server is never asked.
CLUSTER: Final = ("cluster|slots", "cluster|shards", "cluster|nodes", "command", "readonly", "asking")

COMMANDS: Final = tuple(sorted({*_CONNECTION, *_DIRECT, *_IN_SCRIPTS}))


def rule(*, cluster: bool = False) -> str:
    """The rule for ``ACL SETUSER <name> on ><password>``: resets what the user had, then grants."""
    names = (*COMMANDS, *CLUSTER) if cluster else COMMANDS
    return " ".join(
        ["resetkeys", "resetchannels", f"'~{PREFIX}:*'", "-@all", *(f"+{name}" for name in names)]
    )
