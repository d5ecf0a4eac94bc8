"""``make test-matrix``: the tests that need a store, on each server that the registries and Debian give."""
