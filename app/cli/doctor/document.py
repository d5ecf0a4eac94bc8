"""The report as one JSON document, for machines. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict

from app.doctor.finding import Finding, Report


def as_json(report: Report, *, only_failures: bool) -> str:
    """``{"summary": {"healthy", "ok", "warn", "fail", "skipped", "seconds"}, "findings": [...]}``.

    The summary counts everything, also with ``only_failures``.
    """
    shown = [one for one in report.findings if not only_failures or one.status == "fail"]
    summary: dict[str, float] = {"healthy": report.healthy, "seconds": round(report.seconds, 3)}
    summary |= {str(status): count for status, count in report.counts.items()}
    return json.dumps({"summary": summary, "findings": [_one(finding) for finding in shown]}, indent=2)


def _one(finding: Finding) -> dict[str, str | None]:
    """A finding with null for what it does not have."""
    return {name: value or None for name, value in asdict(finding).items()}
