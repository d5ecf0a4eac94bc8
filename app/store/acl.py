"""What the service may do in Redis, and no more: one access rule, for documents, doctor and tests.

The commands are those that the code sends, and those that its scripts call, which the server checks as well.
Scripting is among them because a claim must look, count and remember in one step; see ``scripts/claim.lua``.
``AUTH`` and ``HELLO`` are not: signing on needs no grant.
"""

from __future__ import annotations

from typing import Final

from app.store.keys import PREFIX

# The connection's name in CLIENT LIST, and a database other than 0.
_CONNECTION: Final = ("client|setname", "select")
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
# Asked by ``cloakroom doctor`` alone, for its row "reach".
_DOCTOR: Final = ("ping",)
# The client finds the node of a key by these; a single server is never asked.
CLUSTER: Final = ("cluster|slots", "command", "asking")

COMMANDS: Final = tuple(sorted({*_CONNECTION, *_DIRECT, *_IN_SCRIPTS, *_DOCTOR}))


def tokens(*, cluster: bool = False) -> tuple[str, ...]:
    """The rule as ``ACL SETUSER`` and an ACL file take it: resets what the user had, then grants."""
    names = (*COMMANDS, *CLUSTER) if cluster else COMMANDS
    return ("resetkeys", "resetchannels", f"~{PREFIX}:*", "-@all", *(f"+{name}" for name in names))


def rule(*, cluster: bool = False) -> str:
    """The rule for a shell: ``redis-cli ACL SETUSER <name> on ><password>`` and this."""
    return " ".join(f"'{token}'" if "*" in token else token for token in tokens(cluster=cluster))
