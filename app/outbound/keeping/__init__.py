"""What is fetched in the background and kept fresh: access tokens of deployments, public keys of issuers.

How an access token is asked for is in ``app.outbound.entra`` and ``app.outbound.federation``.
"""
