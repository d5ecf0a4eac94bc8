"""What a panel is made of: its query or queries, its unit, and a sentence for whoever reads it."""

from __future__ import annotations

from typing import Any

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
HERE = 'job=~"$job",instance=~"$instance"'
SERVED = f'{HERE},deployment=~"$deployment"'
POOLED = f'{HERE},model=~"$model"'
ASKED = f'{HERE},model=~"$model",deployment=~"$deployment"'
FAILED = 'outcome=~"provider_error|unavailable|error"'


def rate(metric: str, by: str, matchers: str = HERE) -> str:
    return f"sum by ({by}) (rate({metric}{{{matchers}}}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str = "", matchers: str = HERE) -> str:
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', labels, matchers)})"


def durations(operation: str) -> list[tuple[str, str]]:
    """What a successful one takes: the middle, and the slowest in twenty and in a hundred."""
    matchers = f'{HERE},operation="{operation}",outcome="ok"'
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    name = "cloakroom_request_duration_seconds"
    return [(quantile(share, name, "", matchers), legend) for legend, share in shares.items()]


def mean(metric: str, matchers: str = HERE) -> str:
    total, count = (
        f"sum(rate({metric}_{part}{{{matchers}}}[$__rate_interval]))" for part in ("sum", "count")
    )
    return f"{total} / {count}"


def failures(metric: str) -> str:
    failed = f"sum(rate({metric}{{{ASKED},{FAILED}}}[$__rate_interval]))"
    everything = f"sum(rate({metric}{{{ASKED}}}[$__rate_interval]))"
    return f"({failed} or vector(0)) / {everything}"


def panel(
    kind: str, title: str, unit: str, about: str, *queries: tuple[str, str], **more: Any
) -> dict[str, Any]:
    """A panel of ``(expression, legend)`` pairs; ``about`` is what its reader sees under the i."""
    targets = [
        {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
        for number, (expr, legend) in enumerate(queries)
    ]
    defaults: dict[str, Any] = {"unit": unit, "min": 0, **more.pop("defaults", {})}
    options: dict[str, Any] = more.pop("options", {})
    if kind == "timeseries":
        defaults["custom"] = {"fillOpacity": 10, "showPoints": "never", **more.pop("custom", {})}
        options = {"tooltip": {"mode": "multi", "sort": "desc"}, "legend": {"showLegend": True}, **options}
    if kind == "stat":
        for target in targets:
            target["instant"] = True
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background", **options}
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        **more,
    }


def lines(title: str, unit: str, about: str, *queries: tuple[str, str], **more: Any) -> dict[str, Any]:
    return panel("timeseries", title, unit, about, *queries, **more)


def stack(title: str, unit: str, about: str, *queries: tuple[str, str]) -> dict[str, Any]:
    custom = {"stacking": {"mode": "normal"}, "fillOpacity": 40}
    return panel("timeseries", title, unit, about, *queries, custom=custom)


def figure(title: str, unit: str, about: str, query: str, *steps: tuple[str, float | None]) -> dict[str, Any]:
    """One number; ``steps`` are colours with the value from which each holds."""
    shown = steps or (("blue", None),)
    thresholds = {"mode": "absolute", "steps": [{"color": colour, "value": value} for colour, value in shown]}
    return panel("stat", title, unit, about, (query, ""), defaults={"thresholds": thresholds})
