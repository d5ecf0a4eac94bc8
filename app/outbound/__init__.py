"""HTTP to providers: connections, deadlines, retries, and the bearer tokens that requests carry.

Nothing here knows a provider's fields or paths; those belong in ``app.providers``.
"""
