"""Providers: build the request, read the answer (pure), and one client that does the I/O."""
