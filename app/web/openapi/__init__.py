"""The reference: an OpenAPI document kept by hand in ``parts/``, served as JSON and as a page for people."""
