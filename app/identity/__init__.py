"""Tokens of other issuers: whose are accepted, how they are verified, and what each of them stands for.

Pure: keys and settings are passed in; ``app.outbound.keeping.issuer_keys`` fetches the keys. Our own handles
and client tokens are in ``app.handles``.
"""
