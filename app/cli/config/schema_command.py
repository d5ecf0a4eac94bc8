"""``cloakroom config schema``: the JSON Schema of the YAML file, for editors."""

from __future__ import annotations

from app.cli.failure import EXIT_DONE
from app.cli.output import document, write
from app.settings.reference import config_schema


def print_schema() -> int:
    """Print the JSON Schema of the file that CLOAKROOM_CONFIG names."""
    write(document(config_schema()))
    return EXIT_DONE
