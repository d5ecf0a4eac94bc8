"""What operators list and revoke: the views of records, the index by minutes, and the directory over both.

No relay reads from here; a mint only adds to the index. Writing a record belongs in ``app.store.records``.
"""
