"""The tables of docs/performance.md about growth: live handles, replicas, a Cluster, operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.bench.tables import KINDS, markdown


def growth(grown: Mapping[str, Any]) -> str:
    """One row for each number of live handles."""
    rows = []
    for size in grown["sizes"]:
        ours, floor = size["runs"]["cloakroom"], size["runs"]["floor"]
        trips = "/".join(f"{size['round_trips'][kind]:.0f}" for kind in KINDS)
        asked = size["operations"]
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
                f"{asked['page_ms']:.1f}",
                f"{asked['revoke_one_ms']:.2f} / "
                f"{asked['revoke_client_ms']:,.1f} ({asked['revoked_of_client']:,.0f})",
            )
        )
    head = (
        "live handles",
        "CPU in us: mint limited / mint / relay",
        "times the floor: mint / relay",
        "Redis CPU in us: mint / relay",
        "round trips: mint limited / mint / relay",
        "bytes per handle",
        "list 100 handles, ms",
        "revoke one / all of a client (handles), ms",
    )
    return markdown(head, rows)


def operators(grown: Mapping[str, Any]) -> str:
    """What an operator waits for at each number of live handles."""
    rows = []
    for size in grown["sizes"]:
        asked = size["operations"]
        rows.append(
            (
                f"{size['handles']:,}",
                f"{asked['page_of_a_client_ms']:.1f}",
                f"{asked['count_ms']:.2f}",
                f"{asked['revoke_longest_page_ms']:.1f}",
                f"{asked['longest_command_ms']:.1f}",
                f"{asked['admin_page_ms']:.1f}",
                f"{asked['command_list_ms']:,.0f}",
                f"{asked['command_revoke_ms']:,.0f} ({asked['command_revoked']:,.0f})",
            )
        )
    head = (
        "live handles (times in ms)",
        "list 100 handles of a client",
        "count",
        "longest step of revoking the client",
        "longest command in Redis",
        "one page by the admin API",
        "`cloakroom handles list`",
        "`cloakroom handles revoke --client` (handles)",
    )
    return markdown(head, rows)


def beside(grown: Mapping[str, Any]) -> str:
    """Requests alone, and while an operator lists all handles through the same replica."""
    rows = []
    for kind, ways in grown["beside"].items():
        for way, title in (("alone", "no operator"), ("beside", "an operator lists all handles")):
            told = ways[way]
            rows.append(
                (
                    f"{kind}: {title}",
                    f"{told['cpu_us']:.0f}",
                    f"{told['per_second']:,.0f}",
                    f"{told['p50_ms']:.1f} / {told['p99_ms']:.1f}",
                    str(told["failed"]),
                )
            )
    return markdown(("", "CPU per request, us", "requests/s", "p50 / p99 in ms", "failed"), rows)


def topologies(grown: Mapping[str, Any]) -> str:
    """Two replicas beside one, a Cluster beside a single server."""
    titles = {
        ("replicas", "one"): "one replica",
        ("replicas", "two"): "two replicas, each relays with handles of the other",
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
    head = ("CPU per request, us", "mint, limited", "mint", "relay", "Redis: mint", "Redis: relay", "failed")
    return markdown(head, rows)


def commands(grown: Mapping[str, Any]) -> str:
    """What Redis runs for one request, the commands inside scripts included."""
    last = grown["sizes"][-1]
    rows = []
    for kind, ran in last["commands"].items():
        traffic = last["store_traffic"][kind]
        listed = ", ".join(f"{name} {round(number)}" for name, number in ran.items() if round(number))
        rows.append((kind, f"{traffic['received']:.0f}", f"{traffic['sent']:.0f}", listed))
    return markdown(("", "bytes to Redis", "bytes back", "commands, including those inside scripts"), rows)
