"""A real browser against a real service: pages, SDKs, and what a person sees when something fails."""
