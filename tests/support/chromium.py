"""Debian's Chromium, for the tests that drive it with Playwright."""

from __future__ import annotations

import shutil

import pytest

_NAMES = ("chromium-headless-shell", "chromium")
"""The first is the same engine without the browser around it, and takes a little more than half of the processor time.
`test_everywhere.py` drives the second, which users have."""


def executable() -> str:
    """The path of its program; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("no chromium on the PATH: install Debian's package chromium-headless-shell or chromium")
    return found
