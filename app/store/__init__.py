"""State in Redis: records, scripts, key names, connections and failures. The only importer of ``redis``.

What a record means to a caller belongs in ``app.broker``; which status a failure gets, in ``app.errors``.
"""
