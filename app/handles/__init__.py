"""The ticket: its token, its key rings, its seal and its life.

Pure: clocks, keys and random bytes come in as arguments or from ``secrets``. No store, no HTTP, no provider.
"""
