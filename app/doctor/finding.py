"""One row of the report, the report, and the guard that turns a check that hangs or breaks into a row."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Status = Literal["ok", "warn", "fail", "skipped"]
Area = Literal["settings", "litellm", "store", "issuer", "webhook", "deployment"]

STATUSES: Final[tuple[Status, ...]] = ("ok", "warn", "fail", "skipped")
FIX_REACH_FIRST: Final = "fix the row 'reach' first"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the report.

    ``subject`` is the deployment's or the issuer's name where ``area`` is one. ``fix`` names a setting or a
    command, and may be empty only where the status is ``ok``. No field ever holds a secret.
    """

    area: Area
    name: str
    status: Status
    detail: str
    fix: str = ""
    subject: str = ""

    def __post_init__(self) -> None:
        if self.status != "ok" and not self.fix:
            raise ValueError(f"the finding {self.area}/{self.name} is not ok and names no fix")

    @property
    def place(self) -> str:
        """The area, with the name of its deployment or issuer, if any."""
        return f"{self.area} {self.subject}".rstrip()


@dataclass(frozen=True, slots=True)
class Report:
    """All findings in the order to read them; ``seconds`` is how long the examination took."""

    findings: Sequence[Finding]
    seconds: float

    @property
    def counts(self) -> Mapping[Status, int]:
        """How many findings have each status."""
        found = Counter(finding.status for finding in self.findings)
        return {status: found[status] for status in STATUSES}

    @property
    def healthy(self) -> bool:
        """Whether nothing failed. Warnings do not count."""
        return self.counts["fail"] == 0


Check = Callable[[], Awaitable[Finding | list[Finding]]]


async def guarded(
    area: Area, name: str, check: Check, *, seconds: float, fix: str, subject: str = ""
) -> list[Finding]:
    """Run a check for at most ``seconds``. It returns a failed row for a timeout and for any error.

    Args:
        fix: the fix for a check that does not end in time.
    """
    try:
        async with asyncio.timeout(seconds):
            found = await check()
    except TimeoutError:
        return [Finding(area, name, "fail", f"no answer within {seconds:g} s", fix, subject)]
    except Exception as error:
        # A defect in one check must not cost the other rows. The error's text may quote a secret.
        detail = f"the check itself failed ({type(error).__name__})"
        return [Finding(area, name, "fail", detail, "report this as a defect of cloakroom doctor", subject)]
    return found if isinstance(found, list) else [found]
