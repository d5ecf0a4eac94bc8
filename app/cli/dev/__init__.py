"""``cloakroom dev``: replicas, a store and a provider on one machine, as child processes."""
