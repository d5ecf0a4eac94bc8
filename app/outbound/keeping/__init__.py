"""What is fetched in the background and kept fresh: access tokens of deployments, public keys of issuers.

How Microsoft Entra ID is asked for an access token, which takes a library, is in ``app.outbound.entra``.
"""
