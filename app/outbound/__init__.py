"""HTTP to providers: connections, deadlines, retries, and the bearer tokens that requests carry.

The way out is here too: proxies, trusted CAs, client certificates. A provider's fields and paths belong in
``app.providers``, and whether to try again after a relay in ``app.broker``.
"""
