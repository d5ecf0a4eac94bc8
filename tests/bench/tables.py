"""The tables of docs/performance.md, from the figures, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tests.bench.goals import MEGABYTE, goals

# The servers by their names in the figures, in the order of tables and pictures.
NAMES: Final = {"floor": "bare aiohttp", "cloakroom": "Cloakroom", "litellm": "LiteLLM"}
KINDS: Final = ("mint, limited", "mint", "relay")
# One worker under full load has about so much of a CPU where nothing else wants it.
_A_WHOLE_CPU: Final = 0.8
_BESIDE: Final = ("cloakroom", "floor")


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is words and whose others are figures."""
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def goal_table(bench: Mapping[str, Any], grown: Mapping[str, Any]) -> str:
    """Every goal with what was measured."""
    found = goals(bench, grown)
    rows = [f"| {one.text} | {one.measured} | {'met' if one.met else '**not met**'} |" for one in found]
    count = f"{sum(one.met for one in found)} of {len(found)} goals are met."
    return "\n".join([count, "", "| goal | measured | |", "|---|---|---|", *rows])


def servers(bench: Mapping[str, Any]) -> str:
    """The comparison at 32 connections."""
    rows = []
    for kind in KINDS:
        for name, title in NAMES.items():
            server = bench["servers"][name]
            if kind not in server["runs"]:
                continue
            run = server["runs"][kind]["32"]
            floor = bench["servers"]["floor"]["runs"][kind]["32"]["cpu_us"]
            rows.append(
                (
                    f"{kind}: {title}",
                    f"**{run['cpu_us']:,.0f}**",
                    f"{run['cpu_us'] / floor:.2f}",
                    f"{run['per_second']:,.0f}",
                    f"{server['round_trips'][kind]:.0f}",
                    str(run["failed"]),
                )
            )
    head = ("", "CPU per request, us", "times the floor", "requests/s", "Redis round trips", "failed")
    return markdown(head, rows)


def latencies(bench: Mapping[str, Any]) -> str:
    """p50, p99 and throughput at every number of connections, with failures."""
    rows = []
    for kind in KINDS:
        for name, title in NAMES.items():
            runs = bench["servers"][name]["runs"].get(kind)
            if runs is None:
                continue
            cells = [
                f"{run['p50_ms']:,.2f} / {run['p99_ms']:,.2f}"
                for run in (runs[str(each)] for each in (1, 32, 256))
            ]
            failed = sum(run["failed"] for run in runs.values())
            rates = " / ".join(f"{runs[str(each)]['per_second']:,.0f}" for each in (1, 32, 256))
            rows.append((f"{kind}: {title}", *cells, rates, str(failed)))
    head = (
        "p50 / p99 in ms",
        "1 connection",
        "32 connections",
        "256 connections",
        "requests/s at each",
        "failed",
    )
    return markdown(head, rows)


def memory(bench: Mapping[str, Any]) -> str:
    """Resident memory of each process tree."""
    rows = []
    for name, title in NAMES.items():
        server = bench["servers"][name]
        after = server["memory_after_each_round"]
        each = [f"{value / MEGABYTE:.0f}" for value in (server["idle_memory"], after[0], after[1], after[-1])]
        rows.append((title, *each))
    return markdown(("memory in MB", "idle", "after warm-up", "after round 1", "after the last round"), rows)


def setup(bench: Mapping[str, Any]) -> str:
    """The machine and the versions."""
    machine, versions = bench["machine"], dict(bench["versions"])
    listed = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "store")
    busy = f", load average {machine['load']} at the start" if "load" in machine else ""
    return (
        f"Measured on {bench['date']} at commit `{bench['commit']}`: {machine['cpus']} CPUs "
        f"({machine['processor']}), {machine['memory_gb']:.0f} GB, Linux {machine['kernel']}{busy}. "
        f"{versions['store']}, {listed}. Each figure is the median of {bench['rounds']} rounds. "
        f"A run takes {bench['seconds']} s (with LiteLLM two to four times as long)."
    )


def optimised(old: Mapping[str, Any], bench: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Instructions and CPU before the optimisations and after them, each over its own floor."""
    were, are = old["profile"]["instructions"], new["instructions"]
    rows = []
    for kind in KINDS:
        counted = [found[name][kind]["instructions"] for found in (were, are) for name in _BESIDE]
        timed = [old["cpu"][name][kind]["cpu_us"] for name in _BESIDE]
        timed += [bench["servers"][name]["runs"][kind]["32"]["cpu_us"] for name in _BESIDE]
        rows.append((kind, *_over_floor(counted[:2]), *_over_floor(counted[2:]), _ratios(timed)))
    head = (
        "",
        "instructions before",
        "times the floor",
        "instructions after",
        "times the floor",
        "CPU, times the floor: before, after",
    )
    return f"Before is commit `{old['commit']}`, after is `{new['commit']}`:\n\n{markdown(head, rows)}"


def _over_floor(pair: Sequence[float]) -> tuple[str, str]:
    return f"{pair[0]:,.0f}", f"{pair[0] / pair[1]:.2f}"


def _ratios(timed: Sequence[float]) -> str:
    return f"{timed[0] / timed[1]:.2f}, {timed[2] / timed[3]:.2f}"


def hot_functions(told: Mapping[str, Any], *, top: int = 10) -> str:
    """Where py-spy found a relay's and a mint's time, by Python function."""
    shares = told["time"]
    rows = []
    kinds = ("mint", "relay")
    for place in range(top):
        cells = []
        for kind in kinds:
            name, share = shares[kind]["own"][place]
            cells += [f"{share:.1%}", f"`{name}`"]
        rows.append((str(place + 1), *cells))
    return markdown(("", "mint", "function", "relay", "function"), rows)


def workers(found: Mapping[str, Any]) -> str:
    """A replica with one and with several workers: requests a second, waits, CPU and memory."""
    one = next(iter(found["workers"].values()))["runs"]
    rows = []
    for number, crew in found["workers"].items():
        runs, memory = crew["runs"], crew["warm"]
        each = [(runs[kind]["per_second"], one[kind]["per_second"]) for kind in KINDS]
        mint, relay = runs["mint"], runs["relay"]
        rows.append(
            (
                number,
                *(f"{now:,.0f} ({now / before:.2f})" for now, before in each),
                *(f"{run['p50_ms']:.1f} / {run['p99_ms']:.1f}" for run in (mint, relay)),
                f"{mint['cpu_us']:.0f} / {relay['cpu_us']:.0f}",
                f"{mint['cpus']:.2f} / {relay['cpus']:.2f}",
                f"{100 * mint['busiest']:.0f} / {100 * relay['busiest']:.0f}",
                f"{memory['resident'] / MEGABYTE:.0f} / {memory['proportional'] / MEGABYTE:.0f}",
                str(round(sum(run["failed"] for run in runs.values()))),
            )
        )
    head = (
        "workers",
        *(f"{kind}: requests/s (times one)" for kind in KINDS),
        *(f"{kind}: p50 / p99 ms" for kind in ("mint", "relay")),
        "CPU per request, us: mint / relay",
        "CPUs that it had: mint / relay",
        "busiest worker, %: mint / relay",
        "memory in MB: resident / proportional",
        "failed",
    )
    told = (
        f"Measured on {found['date']} at commit `{found['commit']}`: {found['machine']['cpus']} CPUs, load "
        f"average {found['machine']['load']} at the start, {found['connections']} connections, medians of "
        f"{found['rounds']} rounds of {found['seconds']} s."
    )
    alone = one["mint"]["cpus"]
    if alone < _A_WHOLE_CPU:
        told += (
            f" **Other work kept the machine busy**: one worker had {alone:.2f} CPUs, so the requests a "
            "second tell nothing of what several gain."
        )
    return f"{told}\n\n{markdown(head, rows)}"
