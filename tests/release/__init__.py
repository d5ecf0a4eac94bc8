"""What must hold before a release goes out: ``make release-check``, and ``make audit`` for its packages.

It builds what is published, looks into it, installs the wheel alone and runs it. The parts that need no
registry are in ``make test``, too (tests/system/test_wheel.py, tests/unit/release).
"""
