"""The store: the only importers of redis."""
