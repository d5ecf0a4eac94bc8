"""The JSON Schema of our own YAML file, for editors; made from the settings, so that it cannot differ.

``python -m app.settings.schema > docs/cloakroom.schema.json`` writes the file that editors are pointed to.
It knows names, types, bounds and choices. What concerns several fields at once (an Azure deployment needs
a ``base_url``) is told at the start, in words.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from pydantic_settings import NoDecode

from app.settings.model import Settings

# ``${NAME}`` may stand for any value, also for one that is no text.
REFERENCE: Final[dict[str, Any]] = {"type": "string", "pattern": r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$"}
_LOOSE: Final = ("description", "default")
_DROPPED: Final = ("title", "writeOnly")


def config_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12)."""
    schema = _tidy(Settings.model_json_schema())
    for name, field in Settings.model_fields.items():
        if NoDecode in field.metadata or any(isinstance(item, NoDecode) for item in field.metadata):
            # A list, or its items in one text with commas between them, as in the environment.
            schema["properties"][name] = _either(schema["properties"][name], {"type": "string"})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Cloakroom's settings",
        **schema,
        "description": "The file that CLOAKROOM_CONFIG, or cloakroom serve --config, names.",
    }


def _tidy(node: Any) -> Any:
    """Drop what says nothing to an editor's reader, and let ``${NAME}`` stand where text alone is refused."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    tidy: dict[str, Any] = {
        # Below these two stand names of the file's own, which may be called "title".
        key: {name: _tidy(item) for name, item in value.items()}
        if key in ("properties", "$defs")
        else _tidy(value)
        for key, value in node.items()
        if key not in _DROPPED and not (key == "default" and value is None)
    }
    description = tidy.get("description")
    if isinstance(description, str):
        tidy["description"] = description.replace("``", "'")
    return _either(tidy, REFERENCE) if _is_narrow(tidy) else tidy


def _is_narrow(node: dict[str, Any]) -> bool:
    plain_text = node.get("type") == "string" and "enum" not in node and "pattern" not in node
    scalar = node.get("type") in ("string", "integer", "number", "boolean")
    return scalar and not plain_text


def _either(node: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """``anyOf`` the two, with the description and the default kept outside."""
    inside = {key: value for key, value in node.items() if key not in _LOOSE}
    return {**{key: node[key] for key in _LOOSE if key in node}, "anyOf": [inside, other]}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(config_schema(), indent=2) + "\n")
