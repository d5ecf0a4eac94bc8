"""The counters of the proof as a table, for people: ``pytest -s tests/system/netns`` shows it."""

from __future__ import annotations

from tests.system.netns.evidence import Evidence

_COLUMNS = {
    "UDP in": "Udp.InDatagrams",
    "UDP out": "Udp.OutDatagrams",
    "UDP, no port": "Udp.NoPorts",
    "no route": "Ip.OutNoRoutes",
    "forwarded": "Ip.ForwDatagrams",
    "IP in": "Ip.InReceives",
    "TCP in": "Tcp.InSegs",
}


def counter_table(evidence: Evidence) -> str:
    """Return a line for each host: packets during the call, and bytes that came in over its cables."""
    lines = ["".join(f"{title:>14}" for title in ("host", *_COLUMNS, "bytes in"))]
    for name, after in evidence.after.items():
        moved = after.since(evidence.before[name])
        arrived = sum(counted.bytes_in for cable, counted in after.interfaces.items() if cable != "lo")
        cells = (name, *(moved[counter] for counter in _COLUMNS.values()), arrived)
        lines.append("".join(f"{cell:>14}" for cell in cells))
    return "\n".join(lines)
