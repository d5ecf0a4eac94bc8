"""``cloakroom doctor``: looks at settings, store and providers, and names a fix for what is not well.

Findings are data here; how they are printed belongs in ``app.cli``.
"""
