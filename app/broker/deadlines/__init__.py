"""Calls that are hung up without a request: what makes one due, and who does it.

How a call is ended at its provider belongs in ``app.broker.calls``; where deadlines lie, in ``app.store``.
"""
