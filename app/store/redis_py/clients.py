"""Makes redis-py's client for a store address: single server, Sentinel, Cluster, or memory.

redis-py's defaults do not suit a service: no retries from a URL, and a hung server holds a caller for most of
a minute. So every timeout, the retry and the pool's size are set here.
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


def made(
    address: StoreAddress, sign_on: Mapping[str, Any], *, timeout: float, max_connections: int
) -> redis.Redis | RedisCluster:
    """A client; nothing is connected yet.

    Args:
        address: of the store.
        sign_on: how connections sign on, as ``SignOn`` takes it.
        timeout: seconds until a connection that is not made counts as failed.
        max_connections: of this process, to one server. Callers must not open more.

    Raises:
        ValueError: ``memory://`` without fakeredis installed.
    """
    options: dict[str, Any] = {
        "decode_responses": True,
        # No timer of the driver on each reply: the callers have deadlines for whole operations, and a
        # second timer inside one cost 6 % of a relay's CPU.
        "socket_timeout": None,
        "socket_connect_timeout": timeout,
        "socket_keepalive": True,
        "retry": Retry(_BACKOFF, _RETRIES),
        "max_connections": max_connections,
        **_NOTHING_MORE,
        **sign_on,
    }
    match address.kind:
        case "memory":
            return _memory()
        case "cluster":
            return _cluster(address, options)
        case "sentinel":
            return _sentinel(address, options)
        case "server":
            return _server(address, options)


def _server(address: StoreAddress, options: Mapping[str, Any]) -> redis.Redis:
    host, port = address.hosts[0]
    pool = redis.ConnectionPool(
        host=host,
        port=port,
        connection_class=redis.SSLConnection if address.tls else redis.Connection,
        **options,
    )
    return redis.Redis.from_pool(pool)


def _sentinel(address: StoreAddress, options: Mapping[str, Any]) -> redis.Redis:
    timeout = options["socket_connect_timeout"]
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
    client: redis.Redis = sentinel.master_for(address.service)
    return client


def _cluster(address: StoreAddress, options: Mapping[str, Any]) -> RedisCluster:
    nodes = [ClusterNode(host, port) for host, port in address.hosts]
    # Few commands go through the driver's pool, and a silent node must not stop it from asking the next.
    silent = {"socket_timeout": options["socket_connect_timeout"]}
    return RedisCluster(startup_nodes=nodes, ssl=address.tls, **{**options, **silent})


def _memory() -> redis.Redis:
    try:
        import fakeredis
    except ImportError:
        raise ValueError("memory:// needs fakeredis: pip install 'cloakroom[embedded]'") from None
    client: redis.Redis = fakeredis.FakeAsyncRedis(decode_responses=True)
    return client
