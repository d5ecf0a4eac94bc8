"""The tables of docs/performance.md about the warm pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.bench.tables import markdown

SIDES: Final = {"with": "with the pool", "without": "without"}


def titles(found: Mapping[str, Any]) -> dict[str, str]:
    """The situations by their names in the figures, in the order of the table and the picture."""
    plan, burst = found["plan"], found["burst"]
    usual = plan["usual"]
    return {
        "steady": f"steady load, {usual:g} mints/s",
        "burst": f"burst of {usual * burst['times']:g} mints/s for {burst['seconds']:g} s",
        "idle": f"after {_span(plan['idle'])} without a mint",
        "failing": f"the provider fails for {_span(plan['failing'])}",
    }


def _span(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    if rest or not minutes:
        return f"{seconds:g} s"
    return "a minute" if minutes == 1 else f"{minutes:g} minutes"


def situations(found: Mapping[str, Any]) -> str:
    """How long a mint takes in each situation, and how many succeed, with the pool and without."""
    rows = []
    for name, title in titles(found).items():
        for side, words in SIDES.items():
            one = found["situations"][name][side]
            share = one["succeeded"] / one["mints"]
            rows.append(
                (
                    f"{title}: {words}",
                    *(_milliseconds(one[which]) for which in ("p50_ms", "p99_ms", "max_ms")),
                    f"{one['succeeded']:,} of {one['mints']:,} ({share:.1%})",
                    f"{one['from_pool']:,}",
                )
            )
    head = ("", "p50, ms", "p99, ms", "longest, ms", "succeeded", "served by the pool")
    first = found["situations"]["idle"]
    told = (
        f"Measured on {found['date']} at commit `{found['commit']}`: {found['machine']['cpus']} CPUs, load "
        f"average {found['machine']['load']} at the start; a mint takes {found['mint_seconds'] * 1000:g} ms "
        f"at the provider; `pool: {{target: {found['pool']['target']}, max_waste: "
        f"{found['pool']['max_waste']:g}}}`. The very first mint after the idle time took "
        f"{_milliseconds(first['with']['first_ms'])} ms with the pool and "
        f"{_milliseconds(first['without']['first_ms'])} ms without."
    )
    if found["machine"]["load"] >= found["machine"]["cpus"]:
        told += " **Other work kept the machine busy**, so each p99 is longer than the service makes it."
    return f"{told}\n\n{markdown(head, rows)}"


def bill(found: Mapping[str, Any]) -> str:
    """What the pool minted in the whole run, what became of it, and what a mint asks of the store."""
    told, trips = found["bill"], found["round_trips"]
    most = told["wasted"] + told["stock"] + told["lost"]
    rows = (
        ("keys minted by the pool", f"{told['minted']:,}"),
        ("handed out", f"{told['used']:,}"),
        ("thrown away", f"{told['wasted']:,} ({told['wasted'] / told['minted']:.1%})"),
        ("lost", f"{told['lost']:,}"),
        ("left in the pool at the end", f"{told['stock']:,}"),
        ("wasted, if no one mints any more", f"{most:,} ({most / told['minted']:.1%})"),
        ("round trips to the store for a mint, without the pool", f"{trips['without']:g}"),
        ("for a mint from the pool", f"{trips['with']:g}"),
        ("for a mint from the pool, with what fills it", f"{trips['with refills']:g}"),
    )
    return markdown(("", ""), rows)


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
