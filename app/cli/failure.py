"""How a command says that it could not do its work."""

from __future__ import annotations


class CliFailure(Exception):
    """Ends the command with status 1; the message goes to stderr and says how to mend it."""
