"""Property tests here have no deadline a case: the machine may be busy, and that is no defect."""

from __future__ import annotations

from hypothesis import settings

# On top of the profile in force, which in CI is Hypothesis' own.
settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")
