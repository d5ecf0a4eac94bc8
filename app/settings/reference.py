"""What documents and editors say of the settings: the tables of a page, and the JSON Schema of our YAML file.

``python -m app.settings.reference docs/configuration.md docs/cloakroom.schema.json`` writes both again; tests
hold them to the settings. The schema knows names, types, bounds and choices. A rule over several fields (an
Azure deployment needs a ``base_url``) is checked at the start.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic_settings import NoDecode

from app.settings.environment import PREFIX
from app.settings.model import Settings

_BLOCK = re.compile(r"(<!-- fields: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_HEADS: Final = {
    True: "| field | variable | value | default | what it is |",
    False: "| field | value | default | what it is |",
}
# ``${NAME}`` may stand for any value, also for one that is not text.
_REFERENCE: Final[dict[str, Any]] = {"type": "string", "pattern": r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$"}
_FORMATS: Final = {"password": "secret", "date": "a day"}
_LOOSE: Final = ("description", "default")
_DROPPED: Final = ("title", "writeOnly")


def with_tables(page: str) -> str:
    """Return the page with new tables between ``<!-- fields: NAME -->`` and ``<!-- end -->``."""
    sections = field_sections()
    return _BLOCK.sub(lambda block: f"{block[1]}{sections[block[2]]}{block[3]}", page)


def field_sections() -> dict[str, str]:
    """A table in Markdown for each class of section, by the class's name; ``Settings`` is the file itself."""
    schema = Settings.model_json_schema()
    sections = {"Settings": schema, **schema["$defs"]}
    return {name: _table(section, variables=name == "Settings") for name, section in sections.items()}


def _table(section: Mapping[str, Any], *, variables: bool) -> str:
    head = _HEADS[variables]
    lines = [head, "|---" * (head.count("|") - 1) + "|"]
    for name, field in section["properties"].items():
        cells = [f"`{name}`", _value(field), _default(section, name, field), _what(field)]
        if variables:
            cells.insert(1, f"`{PREFIX}{name.upper()}`")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _what(field: Mapping[str, Any]) -> str:
    return str(field.get("description", "")).replace("``", "`")


def _default(section: Mapping[str, Any], name: str, field: Mapping[str, Any]) -> str:
    if name in section.get("required", ()):
        return "required"
    default = field.get("default")
    if default is None or default in ([], {}):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _value(field: Mapping[str, Any]) -> str:
    return ", ".join(dict.fromkeys(_values(field)))


def _values(field: Mapping[str, Any]) -> Iterator[str]:
    for choice in field.get("anyOf", ()):
        yield from _values(choice)
    if "$ref" in field:
        yield "a section"
    elif "enum" in field:
        yield " or ".join(f"`{value}`" for value in field["enum"])
    elif field.get("type") == "object":
        inner = field.get("additionalProperties")
        values = ", ".join(dict.fromkeys(_values(inner))) if isinstance(inner, dict) else "anything"
        yield f"names to {values or 'anything'}"
    elif field.get("type") == "array":
        yield "list"
    elif field.get("type") == "string":
        yield _FORMATS.get(field.get("format", ""), "text")
    elif field.get("type") in ("integer", "number", "boolean"):
        yield _bounds(field)


def _bounds(field: Mapping[str, Any]) -> str:
    least = field.get("minimum", field.get("exclusiveMinimum"))
    most = field.get("maximum")
    if least is None or most is None:
        return "`true` or `false`" if field["type"] == "boolean" else str(field["type"])
    return f"above {least} to {most}" if "exclusiveMinimum" in field else f"{least} to {most}"


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of our own YAML file."""
    schema = _tidy(Settings.model_json_schema())
    for name, field in Settings.model_fields.items():
        if NoDecode in field.metadata:
            # A list, or its items in one text with commas, as in the environment.
            schema["properties"][name] = _either(schema["properties"][name], {"type": "string"})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Cloakroom's settings",
        **schema,
        "description": "The file that CLOAKROOM_CONFIG, or cloakroom serve --config, names.",
    }


def _tidy(node: Any) -> Any:
    """Drop keys that an editor does not show, and accept ``${NAME}`` where the type refuses text."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("properties"), dict):
        node = {**node, "properties": {**node["properties"], **_files_of_secrets(node["properties"])}}
    tidy: dict[str, Any] = {
        # The keys below these two are names of fields, and a field may be called "title".
        key: {name: _tidy(item) for name, item in value.items()}
        if key in ("properties", "$defs")
        else _tidy(value)
        for key, value in node.items()
        if key not in _DROPPED and not (key == "default" and value is None)
    }
    description = tidy.get("description")
    if isinstance(description, str):
        tidy["description"] = description.replace("``", "'")
    return _either(tidy, _REFERENCE) if _is_narrow(tidy) else tidy


def _files_of_secrets(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The field beside each secret that is the path of a file with it."""
    return {
        f"{name}_file": {"type": "string", "description": f"a file with the {name}, instead"}
        for name, field in properties.items()
        if isinstance(field, dict) and _FORMATS["password"] in _values(field)
    }


def _is_narrow(node: dict[str, Any]) -> bool:
    plain_text = node.get("type") == "string" and "enum" not in node and "pattern" not in node
    scalar = node.get("type") in ("string", "integer", "number", "boolean")
    return scalar and not plain_text


def _either(node: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """``anyOf`` the two, with the description and the default kept outside."""
    inside = {key: value for key, value in node.items() if key not in _LOOSE}
    return {**{key: node[key] for key in _LOOSE if key in node}, "anyOf": [inside, other]}


def main(arguments: list[str]) -> None:
    """Write the files named again: the schema into ``.json``, the tables into a page."""
    for file in map(Path, arguments):
        if file.suffix == ".json":
            file.write_text(json.dumps(config_schema(), indent=2) + "\n", encoding="utf-8")
        else:
            file.write_text(with_tables(file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
