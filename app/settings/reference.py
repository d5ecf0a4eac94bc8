"""The tables of ``docs/configuration.md``, made from the settings; a test holds the page to them.

``python -m app.settings.reference docs/configuration.md`` writes them anew between the page's markers.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from app.settings.load import PREFIX
from app.settings.model import Settings

_BLOCK = re.compile(r"(<!-- fields: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_HEADS: Final = {
    True: "| field | variable | value | default | what it is |",
    False: "| field | value | default | what it is |",
}


def with_tables(page: str) -> str:
    """Return a page with every table between ``<!-- fields: NAME -->`` and ``<!-- end -->`` made anew."""
    sections = field_sections()
    return _BLOCK.sub(lambda block: f"{block[1]}{sections[block[2]]}{block[3]}", page)


def field_sections() -> dict[str, str]:
    """A table in Markdown for each kind of section by its class's name; ``Settings`` is the file itself."""
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
        yield "a section of its own"
    elif "enum" in field:
        yield " or ".join(f"`{value}`" for value in field["enum"])
    elif field.get("type") == "object":
        inner = field.get("additionalProperties")
        values = ", ".join(dict.fromkeys(_values(inner))) if isinstance(inner, dict) else "anything"
        yield f"names to {values or 'anything'}"
    elif field.get("type") == "array":
        yield "list"
    elif field.get("type") == "string":
        yield "secret" if field.get("format") == "password" else "text"
    elif field.get("type") in ("integer", "number", "boolean"):
        yield _bounds(field)


def _bounds(field: Mapping[str, Any]) -> str:
    least = field.get("minimum", field.get("exclusiveMinimum"))
    most = field.get("maximum")
    if least is None or most is None:
        return "`true` or `false`" if field["type"] == "boolean" else str(field["type"])
    return f"above {least} to {most}" if "exclusiveMinimum" in field else f"{least} to {most}"


def main(arguments: list[str]) -> None:
    """Rewrite the pages named."""
    for name in arguments:
        page = Path(name)
        page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
