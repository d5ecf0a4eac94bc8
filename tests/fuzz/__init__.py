"""Inputs found by machine: what reads foreign bytes raises only what it says, and what it returns is true.

A target has one check of any bytes, and seeds to begin with. ``make fuzz`` runs all of them for long under
atheris, which follows the code that an input reaches; ``make test`` runs them shortly under Hypothesis
(tests/unit/test_fuzz.py). A defect that a run finds stays as an ordinary test beside those of its module.
"""
