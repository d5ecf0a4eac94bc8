"""``cloakroom calls``: what is on record of calls, and how many of them are ended at once.

Nothing here speaks HTTP or Redis: both ways to the service are in ``app.cli.reach``.
"""
