"""The command that asks an operation from a shell. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any, Final

from app.web.reference.document import Document

# Where the document knows no public URL.
_SERVER: Final = "https://voice.example.com"
# The shell's variable by what the credential's name has in it.
_VARIABLES: Final = (("admin", "ADMIN_KEY"), ("handle", "HANDLE"), ("", "CLIENT_KEY"))
_SDP: Final = "application/sdp"


def curl(document: Document, path: str, method: str, operation: Mapping[str, Any]) -> str:
    """One command over several lines; the credential and the call id come from the shell's variables."""
    server = str(document["servers"][0]["url"])
    base = _SERVER if server == "/" else server.rstrip("/")
    url = f"{base}{path}".replace("{call_id}", "$CALL_ID").replace("{id}", "$ID")
    lines = [f"curl{_method(method, operation)} {_quoted(url)}"]
    schemes = [name for choice in operation.get("security", []) for name in choice]
    if schemes:
        variable = next(name for word, name in _VARIABLES if word in schemes[0].lower())
        lines.append(f'-H "Authorization: Bearer ${variable}"')
    lines += _body(operation)
    return " \\\n  ".join(lines)


def _method(method: str, operation: Mapping[str, Any]) -> str:
    # With a body curl posts by itself.
    return "" if method == "get" or "requestBody" in operation else f" -X {method.upper()}"


def _quoted(url: str) -> str:
    return f'"{url}"' if "$" in url else url


def _body(operation: Mapping[str, Any]) -> list[str]:
    contents = operation.get("requestBody", {}).get("content", {})
    if _SDP in contents:
        return [f"-H 'Content-Type: {_SDP}'", "--data-binary @offer.sdp"]
    for media_type, content in contents.items():
        example = content.get("example") or next(iter(content["examples"].values()))["value"]
        return [f"-H 'Content-Type: {media_type}'", f"-d {shlex.quote(json.dumps(example))}"]
    return []
