"""What the partner answers. No I/O.

It understands nothing; it repeats what it was told, so that a person and a test can see that it was heard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .items import text_of

HELLO = (
    "Hello! I am the provider in a box. Your offer was relayed, and this voice comes straight to you. "
    "Say something, or type something."
)
# Longer texts are not read out whole: nobody wants to wait.
ECHO_WORDS = 40


@dataclass(frozen=True, slots=True)
class Reply:
    """Words to say, or a tool to call with these arguments (JSON text)."""

    words: str = ""
    tool: str | None = None
    arguments: str = "{}"


def reply_to(items: Sequence[Mapping[str, Any]], session: Mapping[str, Any], instructions: Any) -> Reply:
    """The answer to the newest item.

    A response's own `instructions` that quote something to say are obeyed; a message that names one of the
    session's tools calls it; a tool's output is read out; everything else is repeated.
    """
    if isinstance(instructions, str) and (quoted := _quoted(instructions)):
        return Reply(quoted)
    newest = next((i for i in reversed(items) if i.get("role") not in ("assistant", "system")), None)
    if newest is None:
        return Reply(HELLO)
    if newest["type"] == "function_call_output":
        return Reply(f"The tool answered: {_short(str(newest['output']))}")
    said = text_of(dict(newest))
    if not said:
        return Reply("I heard you.")
    tool = _tool_named_in(said, session.get("tools"))
    if tool is not None:
        return Reply(tool=tool)
    if newest["content"][0]["type"] == "input_audio":
        return Reply(f"I heard {said}.")
    return Reply(f"You said: {_short(said)}")


def _quoted(instructions: str) -> str | None:
    parts = instructions.split('"')
    return _short(parts[1]) if len(parts) >= 3 and parts[1].strip() else None


def _short(text: str) -> str:
    words = text.split()
    return " ".join(words[:ECHO_WORDS]) + (" and so on." if len(words) > ECHO_WORDS else "")


def _tool_named_in(said: str, tools: Any) -> str | None:
    for tool in tools if isinstance(tools, list) else ():
        name = tool.get("name") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if isinstance(name, str) and (name in said or name.replace("_", " ") in said.lower()):
            return name
    return None
