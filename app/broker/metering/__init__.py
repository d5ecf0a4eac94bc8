"""Counts the usage of calls from their events: one watcher a call over all replicas, one record a call.

How usage is read from an event belongs in ``app.providers.usage``; how a call is attached to, in
``app.broker.calls.sideband``; where watches, sums and records lie, in ``app.store.records.watches``.
"""
