"""The warm pool: keys that are minted ahead for a model, so that a mint need not wait for the provider.

What lies in the store is in ``app.store.pools``; the mint, which takes from the pool, in ``app.broker.mint``.
"""
