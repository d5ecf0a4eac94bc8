"""What the service may do in Redis, and no more: one access rule, for documents, doctor and tests.

The commands are those that the code sends, and those that its scripts call, which the server checks as well.
Scripting is among them because a claim must look, count and remember in one step; see ``scripts/claim.lua``.
``AUTH`` and ``HELLO`` are not: signing on needs no grant.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Final

from app.store.keys import PREFIX, events

# No known password has this SHA-256.
_NO_PASSWORD: Final = "0" * 64
# The connection's name in CLIENT LIST, and a database other than 0.
_CONNECTION: Final = ("client|setname", "select")
_DIRECT: Final = ("evalsha", "eval", "set", "get", "hmget", "pttl", "llen", "lrange", "zrem")
_IN_SCRIPTS: Final = (
    "hset",
    "hget",
    "hsetnx",
    "hexists",
    "hincrby",
    "del",
    "exists",
    "incr",
    "rpush",
    "pexpire",
    "time",
    "zadd",
    "zrangebyscore",
    "zrange",
    "zcard",
    "zscore",
    "zremrangebyscore",
    "hdel",
    "incrby",
    "decrby",
    "expire",
    "hgetall",
    "xadd",
    "hlen",
    "zrangebylex",
    "zlexcount",
)
# Where ``CLOAKROOM_STORE_WAIT_REPLICAS`` is set; the doctor asks in every case.
_REPLICAS: Final = ("wait",)
# Asked by ``cloakroom doctor`` alone, for its row "reach".
_DOCTOR: Final = ("ping",)
# The live events, published and read only while there is a watcher: one channel.
_EVENTS: Final = ("publish", "subscribe")
# The client finds the node of a key by these; a single server is never asked.
CLUSTER: Final = ("cluster|slots", "command", "asking")

COMMANDS: Final = tuple(sorted({*_CONNECTION, *_DIRECT, *_IN_SCRIPTS, *_REPLICAS, *_DOCTOR, *_EVENTS}))
# What the lines of docs/redis.md send: people read everything, and revoke.
OPERATOR: Final = (
    "command|docs",
    "echo",
    "exec",
    "exists",
    "expire",
    "get",
    "hget",
    "hgetall",
    "hmget",
    "hsetnx",
    "info",
    "llen",
    "lrange",
    "memory|usage",
    "multi",
    "object|encoding",
    "ping",
    "pttl",
    "pubsub|numsub",
    "scan",
    "select",
    "zcard",
    "xlen",
    "xrevrange",
    "zrange",
)


def tokens(*, cluster: bool = False) -> tuple[str, ...]:
    """The service's rule as ``ACL SETUSER`` takes it: resets what the user had, then grants."""
    return _tokens((*COMMANDS, *CLUSTER) if cluster else COMMANDS)


def operator_tokens() -> tuple[str, ...]:
    """The rule of a person with ``redis-cli``, in the same form."""
    return _tokens(OPERATOR)


def users_file(password_sha256: str = _NO_PASSWORD, operator_sha256: str = _NO_PASSWORD) -> str:
    """The text of an ACL file with the service's user, an operator's, and the default one off.

    Args:
        password_sha256, operator_sha256: in hexadecimal. With the default, no one can sign on.
    """
    users = (("cloakroom", password_sha256, tokens()), ("operator", operator_sha256, operator_tokens()))
    lines = [f"user {name} on #{digest} {' '.join(granted)}" for name, digest, granted in users]
    # Nobody can sign on as this user. Redis 7.0 reads its append-only file with this user's rights, though:
    # without them it loses every record at a restart.
    return "\n".join(["user default off resetpass ~* &* +@all", *lines, ""])


def _tokens(names: Iterable[str]) -> tuple[str, ...]:
    keys_and_channel = (f"~{PREFIX}:*", f"&{events()}")
    return ("resetkeys", "resetchannels", *keys_and_channel, "-@all", *(f"+{name}" for name in names))


def rule(*, cluster: bool = False) -> str:
    """The rule for a shell: ``redis-cli ACL SETUSER <name> on ><password>`` and this."""
    return " ".join(f"'{token}'" if token[0] in "~&" else token for token in tokens(cluster=cluster))


if __name__ == "__main__":
    # python -m app.store.acl > deploy/redis/users.acl
    sys.stdout.write(users_file())
