"""One thing that was looked at, and what came of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Status = Literal["ok", "warn", "fail", "skipped"]
Area = Literal["settings", "litellm", "store", "deployment"]

STATUSES: Final[tuple[Status, ...]] = ("ok", "warn", "fail", "skipped")


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the report.

    ``subject`` is the deployment's name where ``area`` is ``deployment``. ``fix`` names a setting or a
    command; only what is ok may do without one. No field ever holds a secret.
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
        """The area, with the deployment's name where it has one."""
        return f"{self.area} {self.subject}".rstrip()


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found, in the order in which it is read; ``seconds`` is how long it took."""

    findings: Sequence[Finding]
    seconds: float

    @property
    def counts(self) -> Mapping[Status, int]:
        """How many findings have each status."""
        found = Counter(finding.status for finding in self.findings)
        return {status: found[status] for status in STATUSES}

    @property
    def healthy(self) -> bool:
        """Whether nothing failed; a warning is no failure."""
        return self.counts["fail"] == 0
