"""``cloakroom config``: show, schema."""
