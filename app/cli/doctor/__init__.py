"""``cloakroom doctor``: the command and the three forms of its report."""
