"""What operators list and revoke: the views of records, the index by minutes, and the directory over both.

No relay reads from here. A mint adds to the index, and a relay has its call ended where its handle was
revoked with its calls. Writing a record belongs in ``app.store.records``.
"""
