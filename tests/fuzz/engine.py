"""``python -m tests.fuzz.engine TARGET [options of libFuzzer]``: one target under atheris, to its end.

Runs in .fuzz-venv. ``tests.fuzz.__main__`` starts it for each target and reads what it says.
"""

from __future__ import annotations

import sys

import atheris

# What is instrumented tells atheris how far an input came. h11 stands in for llhttp, which is written in C.
with atheris.instrument_imports(include=["app", "jwt", "h11"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    program, name, *options = sys.argv
    atheris.Setup([program, *options], TARGETS[name].check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
