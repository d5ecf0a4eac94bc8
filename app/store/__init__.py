"""State in Redis, and the only importer of ``redis``: records, scripts, key names, connections, failures.

What a record means to a caller belongs in ``app.broker``; which status a failure gets, in ``app.errors``.
"""
