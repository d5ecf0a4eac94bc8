"""Inputs for the short form: those of the corpus with a few changes, which Hypothesis can shrink."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st

from tests.fuzz.target import Target

_SIGNS: Final = (b"\r\n", b"\0", b'"', b"{", b"[", b"\xff")
# Where, how many bytes go, what comes.
_Change = tuple[int, int, bytes]


def inputs_of(target: Target) -> st.SearchStrategy[bytes]:
    """Inputs of the target's corpus, each changed in up to four places."""
    corpus = target.corpus()
    filling = st.binary(max_size=6) | st.sampled_from(
        [*target.words, b"\r\n", b"\0", b'"', b"{", b"[", b"\xff"]
    )
    change = st.tuples(st.integers(0, target.longest), st.integers(0, 6), filling)
    spliced = st.tuples(st.sampled_from(corpus), st.sampled_from(corpus), st.integers(0, 400))
    start = st.sampled_from(corpus) | spliced.map(lambda three: three[0][: three[2]] + three[1][three[2] :])
    return st.builds(_changed, start, st.lists(change, max_size=4))


def _changed(data: bytes, changes: Sequence[_Change]) -> bytes:
    for place, gone, coming in changes:
        at = place % (len(data) + 1)
        data = data[:at] + coming + data[at + gone :]
    return data
