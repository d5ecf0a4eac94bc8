"""Keeps one check from spoiling the others: a deadline, and a row for whatever it did not expect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from app.doctor.finding import Area, Finding

Check = Callable[[], Awaitable[Finding | list[Finding]]]


async def guarded(
    area: Area, name: str, check: Check, *, seconds: float, fix: str, subject: str = ""
) -> list[Finding]:
    """Run a check for ``seconds`` at most.

    Args:
        fix: what to look at when it does not end in time.
    """
    try:
        async with asyncio.timeout(seconds):
            found = await check()
    except TimeoutError:
        detail = f"no answer within {seconds:g} s"
        return [Finding(area, name, "fail", detail, fix, subject)]
    except Exception as error:
        # A defect of the check must cost its own row only. The text of such an error may quote anything.
        detail = f"the check itself failed ({type(error).__name__})"
        return [Finding(area, name, "fail", detail, "report this as a defect of cloakroom doctor", subject)]
    return found if isinstance(found, list) else [found]
