"""What ``cloakroom doctor`` knows: each check returns findings, plain objects; nothing here prints."""
