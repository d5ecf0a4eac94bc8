"""``cloakroom keys``: make, check and hash the service's own secrets, and the next step of a rotation.

What a ring or a key may be does not belong here: see ``app.handles.keyring`` and ``app.settings.secrets``.
"""
