"""The OpenAPI document and the reference page made from it.

A route's description belongs in ``parts/``; the route itself in ``app.web.routes``.
"""
