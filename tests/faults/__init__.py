"""Long runs that break things and count what that did: ``make test-faults``.

Each module with ``DRILLS`` is found by itself. What a drill needs in common with its short form in ``make
test`` lies beside it, and the short form imports it. No test that pytest collects belongs here.
"""
