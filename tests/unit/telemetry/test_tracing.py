"""``traceparent`` and ``tracestate``: what the standard calls well-formed is taken, all else is ignored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.telemetry.tracing import read_trace_context

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"


def test_a_well_formed_parent_is_taken_apart_and_passed_on_as_it_came() -> None:
    found = read_trace_context([GOOD], ["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"])
    assert found is not None
    assert (found.trace_id, found.parent_id, found.sampled) == (TRACE, PARENT, True)
    assert found.headers() == {
        "traceparent": GOOD,
        "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
    }


@pytest.mark.parametrize(
    "parent",
    [
        "",
        GOOD.upper(),
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"0-{TRACE}-{PARENT}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}0-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-0g",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01-",
        f"cc-{TRACE}-{PARENT}-01more",
        f"cc-{TRACE}-{PARENT}-01-{'x' * 300}",
        f" {GOOD}",
        f"{GOOD}\n",
        f"{GOOD}\r\nx-evil: 1",
        f"00_{TRACE}_{PARENT}_01",
    ],
)
def test_a_malformed_parent_is_no_parent(parent: str) -> None:
    assert read_trace_context([parent], []) is None


@pytest.mark.parametrize("parent", [f"cc-{TRACE}-{PARENT}-01", f"cc-{TRACE}-{PARENT}-01-what.the-future"])
def test_a_later_version_is_read_as_far_as_this_one_goes(parent: str) -> None:
    found = read_trace_context([parent], [])
    assert found is not None
    assert (found.trace_id, found.sampled, found.headers()) == (TRACE, True, {"traceparent": parent})


def test_two_parents_are_none() -> None:
    assert read_trace_context([GOOD, GOOD], []) is None
    assert read_trace_context([], ["a=b"]) is None


@pytest.mark.parametrize("flags", ["00", "02", "fe"])
def test_only_the_last_bit_says_sampled(flags: str) -> None:
    found = read_trace_context([f"00-{TRACE}-{PARENT}-{flags}"], [])
    assert found is not None
    assert not found.sampled


@pytest.mark.parametrize(
    ("states", "state"),
    [
        (["a=1"], "a=1"),
        (["a=1", "b=2"], "a=1,b=2"),
        (["a=1,, b=2\t,"], "a=1,, b=2\t,"),
        (["fw529a3039@dt=FfAAAA", "dd=s:1;t.dm:-4"], "fw529a3039@dt=FfAAAA,dd=s:1;t.dm:-4"),
        (["a=1,a=2"], ""),
        (["a"], ""),
        (["A=1"], ""),
        (["a=1\n"], ""),
        (["a=ü"], ""),
        (["a=b=c"], ""),
        ([",".join(f"k{number}=v" for number in range(33))], ""),
        ([",".join(f"k{number}={'v' * 200}" for number in range(32))], ""),
        ([], ""),
    ],
)
def test_a_state_that_is_not_well_formed_is_left_out_and_the_parent_stays(
    states: list[str], state: str
) -> None:
    found = read_trace_context([GOOD], states)
    assert found is not None
    assert found.state == state
    assert ("tracestate" in found.headers()) == bool(state)


@given(parent=st.text(), state=st.text())
def test_nothing_that_could_break_a_header_is_ever_passed_on(parent: str, state: str) -> None:
    for first in (parent, GOOD, f"01-{TRACE}-{PARENT}-01-{parent}"):
        found = read_trace_context([first], [state])
        if found is not None:
            assert all(
                character.isascii() and (character.isprintable() or character == "\t")
                for value in found.headers().values()
                for character in value
            )
