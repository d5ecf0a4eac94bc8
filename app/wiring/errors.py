"""What keeps the parts from being made."""

from __future__ import annotations


class WiringError(Exception):
    """The settings are well-formed, but no service can be built from them; says which one and why."""
