"""``cloakroom calls``: list, show, hangup."""
