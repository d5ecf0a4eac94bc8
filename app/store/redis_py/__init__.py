"""redis-py's client, for what no connection of ours does: pub/sub, ``memory://``, what an inspection asks,
and in a Cluster long batches.

Only this folder imports redis-py, which takes 6 MB. ``app.store.execution.driver`` imports the folder when a
client is needed. Errors of redis-py become those of ``app.store.errors`` here.
"""

from app.store.redis_py.driver import Driver, DriverTopology, Pooled, Subscription, translated

__all__ = ["Driver", "DriverTopology", "Pooled", "Subscription", "translated"]
