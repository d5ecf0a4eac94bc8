"""``cloakroom doctor``: checks settings, store and providers, and names a fix for each fault.

Findings are data here; printing them belongs in ``app.cli``.
"""
