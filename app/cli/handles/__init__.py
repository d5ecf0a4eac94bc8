"""``cloakroom handles``: list, show, revoke, watch."""
