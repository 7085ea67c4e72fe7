"""What axe-core finds on a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

AXE = Path(__file__).resolve().parents[1] / "browser" / "js" / "node_modules" / "axe-core" / "axe.min.js"

SERIOUS = {"serious", "critical"}


SETTLED = """Promise.allSettled(document.getAnimations()
  .filter((each) => each.effect.getComputedTiming().endTime !== Infinity).map((each) => each.finished))"""
"""Waits for the colours: those that are on their way are neither the old nor the new ones."""


def faults(page: Page, excepted: dict[tuple[str, str], str] | None = None, *, colours: bool = True) -> list[str]:
    """What axe-core calls serious or critical, with contrast if `colours`, without what is excepted."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm ci in tests/browser/js")
    page.evaluate(AXE.read_text())
    page.evaluate(SETTLED)
    options = {"resultTypes": ["violations"], "rules": {"color-contrast": {"enabled": colours}}}
    found: dict[str, Any] = page.evaluate("options => axe.run(document, options)", options)
    faulty = [
        (violation["id"], node)
        for violation in found["violations"]
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]
    return [
        f"{rule} at {node['target'][0]}: {(node['any'] or [{}])[0].get('message')}"
        for rule, node in faulty
        if not any(
            rule == where and page.evaluate("([at, kind]) => document.querySelector(at).matches(kind)", [at, kind])
            for (where, kind) in excepted or {}
            for at in node["target"][:1]
        )
    ]
