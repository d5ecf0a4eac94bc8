"""What is kept of handles and calls: written at a mint, a relay and a hang-up, each in one atomic step.

How records are found and listed belongs in ``app.store.listing``; how commands travel, in ``app.store``.
"""
