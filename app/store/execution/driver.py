"""Makes the driver's client for a store address: single server, Sentinel, Cluster, or memory.

redis-py's defaults do not suit a request path: no retries from a URL, and a hung server holds a caller for
most of a minute. So every timeout, the retry and the pool's size are set here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import redis.asyncio as redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from app.store.address import StoreAddress
from app.store.execution.credentials import StoreCredentials

Client = redis.Redis | RedisCluster

# One retry, at once, for a pooled connection that the server closed in the meantime.
_RETRIES: Final = 1
_BACKOFF = ExponentialWithJitterBackoff(base=0.01, cap=0.05)
# The request path asks Sentinels itself; see ``execution.sentinel``. The driver asks one after another, so
# one that is gone must not be asked ten times with growing pauses, which is its default.
_ASK_ONCE: Final = Retry(NoBackoff(), 0)
# What the driver would send on each connection besides signing on, and which only some servers know: the
# others want a grant for it in the access rule, and a rule with an unknown command is refused as a whole.
_NOTHING_MORE: Final[Mapping[str, Any]] = {
    # CLIENT SETINFO, the driver's name and version: since Redis 7.2.
    "driver_info": None,
    # CLIENT MAINT_NOTIFICATIONS, news of a hosted server's upgrades: the wire here would drop them.
    "maint_notifications_config": MaintNotificationsConfig(enabled=False),
}


def connect(address: StoreAddress, *, replica: str, timeout: float, max_connections: int) -> Client:
    """Make a client; nothing is connected yet.

    Args:
        address: from ``parse_address``.
        replica: shown in the server's ``CLIENT LIST``.
        timeout: seconds until a connection that is not made counts as failed.
        max_connections: of this process, to one server. Callers must not open more.

    Raises:
        ValueError: ``memory://`` without fakeredis installed.
    """
    options: dict[str, Any] = {
        "decode_responses": True,
        # No timer of the driver on each reply: StoreConnection's deadline covers the whole operation, and a
        # second timer inside it cost 6 % of a relay's CPU.
        "socket_timeout": None,
        "socket_connect_timeout": timeout,
        "socket_keepalive": True,
        "client_name": f"cloakroom-{replica}",
        "retry": Retry(_BACKOFF, _RETRIES),
        **_NOTHING_MORE,
    }
    if address.password is not None:
        options["credential_provider"] = StoreCredentials(address.username, address.password)
    elif address.username is not None:
        options["username"] = address.username
    if address.tls:
        options["ssl_ca_certs"] = address.tls_ca_file
    if address.kind == "memory":
        return _memory()
    if address.kind == "cluster":
        # Few commands go through the driver's pool, and a silent node must not stop it from asking the next.
        options["socket_timeout"] = timeout
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        return RedisCluster(startup_nodes=nodes, ssl=address.tls, max_connections=max_connections, **options)
    if address.kind == "sentinel":
        sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py ships it untyped
            list(address.hosts),
            sentinel_kwargs={
                "socket_timeout": timeout,
                "socket_connect_timeout": timeout,
                "retry": _ASK_ONCE,
                **_NOTHING_MORE,
            },
            **options,
        )
        client: redis.Redis = sentinel.master_for(
            address.service, db=address.database, max_connections=max_connections
        )
        return client
    host, port = address.hosts[0]
    pool = redis.ConnectionPool(
        host=host,
        port=port,
        db=address.database,
        max_connections=max_connections,
        connection_class=redis.SSLConnection if address.tls else redis.Connection,
        **options,
    )
    return redis.Redis.from_pool(pool)


def credentials_of(client: Client) -> StoreCredentials | None:
    """What a client of ``connect`` signs on with; None where it needs no password."""
    options = (client if isinstance(client, RedisCluster) else client.connection_pool).connection_kwargs
    found = options.get("credential_provider")
    return found if isinstance(found, StoreCredentials) else None


async def subscription(client: Client) -> Any:
    """A pub/sub client, which takes a connection from the pool and keeps it.

    In a Cluster any node serves: nodes pass messages on to each other.

    Raises:
        RedisError, OSError: the driver's; no node of a Cluster answers.
    """
    if isinstance(client, RedisCluster):
        # The driver's own view of the nodes, which nothing else here needs.
        await client.initialize()
    return client.pubsub()


async def close(client: Client) -> None:
    """Close every connection, also those to the Sentinels, which the client leaves open."""
    await client.aclose()
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    for sentinel in manager.sentinels if manager is not None else ():
        await sentinel.aclose()


def _memory() -> Client:
    try:
        import fakeredis
    except ImportError:
        raise ValueError("memory:// needs fakeredis: pip install 'cloakroom[embedded]'") from None
    client: redis.Redis = fakeredis.FakeAsyncRedis(decode_responses=True)
    return client
