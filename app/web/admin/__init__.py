"""The admin API: what operators see and do, behind keys of their own. ``docs/admin-api.md`` is its guide."""
