"""The items of a conversation, in order.

Source of the shapes: `openai/types/realtime/conversation_item.py` of OpenAI's Python SDK.
"""

from __future__ import annotations

from typing import Any

from .outbox import EventError, new_id

_CONTENT: dict[str, tuple[str, ...]] = {
    "user": ("input_text", "input_audio", "input_image"),
    "assistant": ("output_text", "output_audio"),
    "system": ("input_text",),
}
_REQUIRED = {
    "message": ("role", "content"),
    "function_call": ("name", "arguments"),
    "function_call_output": ("call_id", "output"),
}


def read_item(value: Any) -> dict[str, Any]:
    """An item from `conversation.item.create`. Raises EventError naming what is wrong with it."""
    if not isinstance(value, dict):
        raise EventError("Missing required parameter: 'item'.", "missing_required_parameter", "item")
    kind = value.get("type")
    if kind not in _REQUIRED:
        known = ", ".join(f"'{name}'" for name in _REQUIRED)
        raise EventError(
            f"Invalid value: '{kind}'. Supported values are: {known}.", "invalid_value", "item.type"
        )
    for name in _REQUIRED[kind]:
        if name not in value:
            param = f"item.{name}"
            raise EventError(f"Missing required parameter: '{param}'.", "missing_required_parameter", param)
    if kind == "message":
        _check_content(value["role"], value["content"])
    return {"id": new_id("item"), "object": "realtime.item", "status": "completed", **value}


def _check_content(role: Any, content: Any) -> None:
    allowed = _CONTENT.get(role) if isinstance(role, str) else None
    if allowed is None:
        known = ", ".join(f"'{name}'" for name in _CONTENT)
        raise EventError(
            f"Invalid value: '{role}'. Supported values are: {known}.", "invalid_value", "item.role"
        )
    if not isinstance(content, list):
        raise EventError(
            "Invalid type for 'item.content': expected an array.", "invalid_type", "item.content"
        )
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in allowed:
            known = ", ".join(f"'{name}'" for name in allowed)
            raise EventError(
                f"Invalid value: '{kind}'. Supported values are: {known}.",
                "invalid_value",
                f"item.content[{index}].type",
            )


def text_of(item: dict[str, Any]) -> str:
    """What a message says, typed or spoken; empty for every other item."""
    parts = item.get("content", []) if item["type"] == "message" else []
    return " ".join(str(part.get("text") or part.get("transcript") or "") for part in parts).strip()


class Items:
    """The conversation's items. Ids are unique within it."""

    def __init__(self) -> None:
        self._items: list[dict[str, Any]] = []

    @property
    def all(self) -> tuple[dict[str, Any], ...]:
        """Oldest first."""
        return tuple(self._items)

    @property
    def last_id(self) -> str | None:
        """Id of the newest item."""
        return str(self._items[-1]["id"]) if self._items else None

    def add(self, item: dict[str, Any], previous: Any = None) -> str | None:
        """Add after `previous`, or at the end; `root` is the start. Returns the id that it follows.

        Raises EventError when `previous` is not there or the id is taken.
        """
        if any(known["id"] == item["id"] for known in self._items):
            raise EventError(
                f"Error adding item: the item with id '{item['id']}' already exists.",
                "item_create_duplicate_item_id",
                "item.id",
            )
        if previous is None:
            place = len(self._items)
        elif previous == "root":
            place = 0
        else:
            place = self._index(previous, "previous_item_id") + 1
        self._items.insert(place, item)
        return str(self._items[place - 1]["id"]) if place else None

    def get(self, item_id: Any) -> dict[str, Any]:
        """The item. Raises EventError when it is not there."""
        return self._items[self._index(item_id, "item_id")]

    def remove(self, item_id: Any) -> None:
        """Delete the item. Raises EventError when it is not there."""
        del self._items[self._index(item_id, "item_id")]

    def _index(self, item_id: Any, param: str) -> int:
        for index, item in enumerate(self._items):
            if item["id"] == item_id:
                return index
        raise EventError(f"Error: the item with id '{item_id}' does not exist.", "item_not_found", param)
