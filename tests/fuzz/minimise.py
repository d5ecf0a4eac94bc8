"""The fewest, shortest inputs that reach as much of our code as all of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import app

_OURS: Final = str(Path(app.__file__).parent)


def smallest(check: Callable[[bytes], None], inputs: Iterable[bytes]) -> list[bytes]:
    """The inputs, shortest first, that reach a step from line to line that none before them reached."""
    reached: set[tuple[str, int, int]] = set()
    kept = []
    for data in sorted(set(inputs), key=lambda one: (len(one), one)):
        steps = steps_of(check, data)
        if not steps <= reached:
            reached |= steps
            kept.append(data)
    return kept


def steps_of(check: Callable[[bytes], None], data: bytes) -> set[tuple[str, int, int]]:
    """The steps from line to line of our code that the check of this input takes."""
    steps: set[tuple[str, int, int]] = set()

    def entered(frame: FrameType, event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(_OURS):
            return None
        before = 0

        def walked(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal before
            if event == "line":
                steps.add((name, before, frame.f_lineno))
                before = frame.f_lineno
            return walked

        return walked

    earlier = sys.gettrace()
    sys.settrace(entered)
    try:
        check(data)
    finally:
        sys.settrace(earlier)
    return steps
