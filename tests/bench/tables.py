"""The tables of docs/performance.md, from the figures, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tests.bench.goals import MEGABYTE, goals
from tests.bench.plots import NAMES

KINDS: Final = ("mint, limited", "mint", "relay")


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
    head = ("", "CPU us a request", "x floor", "requests/s", "Redis round trips", "failed")
    return markdown(head, rows)


def latencies(bench: Mapping[str, Any]) -> str:
    """p50 and p99 at every number of connections, with failures."""
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
            rows.append((f"{kind}: {title}", *cells, str(failed)))
    return markdown(("p50 / p99, milliseconds", "1 conn.", "32 conn.", "256 conn.", "failed"), rows)


def memory(bench: Mapping[str, Any]) -> str:
    """Resident memory of each process tree."""
    rows = []
    for name, title in NAMES.items():
        server = bench["servers"][name]
        after = server["memory_after_each_round"]
        each = [f"{value / MEGABYTE:.0f}" for value in (server["idle_memory"], after[0], after[1], after[-1])]
        rows.append((title, *each))
    return markdown(("memory, MB", "idle", "warm", "after round 1", "after the last"), rows)


def growth(grown: Mapping[str, Any]) -> str:
    """One row for each number of live handles."""
    rows = []
    for size in grown["sizes"]:
        ours, floor, asked = size["runs"]["cloakroom"], size["runs"]["floor"], size["operations"]
        trips = "/".join(f"{size['round_trips'][kind]:.0f}" for kind in KINDS)
        alone = size["handles"] < 1000  # of one handle, the lists' own overhead is all that shows
        rows.append(
            (
                f"{size['handles']:,}",
                " / ".join(f"{ours[kind]['cpu_us']:.0f}" for kind in KINDS),
                f"{ours['mint']['cpu_us'] / floor['mint']['cpu_us']:.2f} / "
                f"{ours['relay']['cpu_us'] / floor['relay']['cpu_us']:.2f}",
                f"{ours['mint']['store_cpu_us']:.0f} / {ours['relay']['store_cpu_us']:.0f}",
                trips,
                "-" if alone else f"{size['bytes_per_handle']:.0f}",
                f"{asked['page_ms']:.1f} / {asked['page_of_a_client_ms']:.1f}",
                f"{asked['count_ms']:.1f}",
                f"{asked['revoke_one_ms']:.1f}",
                f"{asked['revoke_client_ms']:,.0f} ({asked['revoked_of_client']:,.0f})",
            )
        )
    head = (
        "live handles",
        "CPU us: mint limited / mint / relay",
        "x floor: mint / relay",
        "Redis CPU us: mint / relay",
        "round trips",
        "bytes a handle",
        "page of 100, ms: all / a client's",
        "count, ms",
        "revoke one, ms",
        "revoke a client, ms (handles)",
    )
    return markdown(head, rows)


def topologies(grown: Mapping[str, Any]) -> str:
    """Two replicas beside one, a Cluster beside a single server."""
    titles = {
        ("replicas", "one"): "one replica",
        ("replicas", "two"): "two replicas, each relaying with the other's handles",
        ("cluster", "single"): "one Redis server",
        ("cluster", "cluster"): "Redis Cluster, three primaries",
    }
    rows = []
    for (part, name), title in titles.items():
        kinds = grown[part][name]
        rows.append(
            (
                title,
                *(f"{kinds[kind]['cpu_us']:.0f}" for kind in KINDS),
                *(f"{kinds[kind]['store_cpu_us']:.0f}" for kind in ("mint", "relay")),
                str(sum(one["failed"] for one in kinds.values())),
            )
        )
    head = ("CPU us a request", "mint, limited", "mint", "relay", "Redis: mint", "Redis: relay", "failed")
    return markdown(head, rows)


def commands(grown: Mapping[str, Any]) -> str:
    """What Redis runs for one request, the commands inside scripts included."""
    last = grown["sizes"][-1]
    rows = []
    for kind, ran in last["commands"].items():
        traffic = last["store_traffic"][kind]
        listed = ", ".join(f"{name} {round(number)}" for name, number in ran.items() if round(number))
        rows.append((kind, f"{traffic['received']:.0f}", f"{traffic['sent']:.0f}", listed))
    return markdown(("", "bytes to Redis", "bytes back", "commands, those inside scripts too"), rows)


def setup(bench: Mapping[str, Any]) -> str:
    """The machine and the versions."""
    machine, versions = bench["machine"], dict(bench["versions"])
    listed = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "store")
    return (
        f"Measured on {bench['date']} at commit `{bench['commit']}`: {machine['cpus']} CPUs "
        f"({machine['processor']}), {machine['memory_gb']:.0f} GB, Linux {machine['kernel']}. "
        f"{versions['store']}, {listed}. Medians of {bench['rounds']} rounds with runs of "
        f"{bench['seconds']} s (LiteLLM's two to four times as long)."
    )


def before(told: Mapping[str, Any]) -> str:
    """The figures of the commit before the optimisations."""
    counted, cpu = told["profile"]["instructions"], told["cpu"]
    rows = []
    for kind in KINDS:
        ours, floor = (counted[name][kind]["instructions"] for name in ("cloakroom", "floor"))
        mine, bare = (cpu[name][kind]["cpu_us"] for name in ("cloakroom", "floor"))
        rows.append(
            (
                kind,
                *(f"{ours:,.0f}", f"{floor:,.0f}", f"{ours / floor:.2f}"),
                *(f"{mine:.0f}", f"{bare:.0f}", f"{mine / bare:.2f}"),
            )
        )
    head = ("", "instructions", "the floor's", "ratio", "CPU us", "the floor's", "ratio")
    return f"Commit `{told['commit']}`:\n\n{markdown(head, rows)}"


def hot_functions(told: Mapping[str, Any], *, top: int = 12) -> str:
    """Where py-spy found a relay's and a mint's time, by Python function."""
    shares = told["profile"]["time"]
    rows = []
    kinds = ("mint", "relay")
    for place in range(top):
        cells = []
        for kind in kinds:
            name, share = shares[kind]["own"][place]
            cells += [f"{share:.1%}", f"`{name}`"]
        rows.append((str(place + 1), *cells))
    return markdown(("", "mint", "function", "relay", "function"), rows)
