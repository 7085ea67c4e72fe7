"""The page at / in the three engines that browsers have: verified, sealed, classified, refused, as in Chromium."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import node
from tests.support.images import plain
from tests.support.models import label_of
from tests.support.processes import environment

if TYPE_CHECKING:
    from tests.support.stack import Stack

JS = Path(__file__).parent / "js"
CLASS, OTHER_CLASS = 905, 331
HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(200)


def which(package: str, *names: str) -> str:
    """The first of these programs that is installed; skips the test if none is."""
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    pytest.skip(f"{names[0]} is not installed: it is in Debian's package {package}")


def chromium() -> tuple[list[str], dict[str, str]]:
    return [], {"CHROMIUM": which("chromium", "chromium")}


def firefox() -> tuple[list[str], dict[str, str]]:
    return [], {"FIREFOX": which("firefox-esr", "firefox-esr", "firefox")}


def webkit() -> tuple[list[str], dict[str, str]]:
    driver = which("webkit2gtk-driver", "WebKitWebDriver")
    # Nothing of GTK runs without a display.
    display = [which("xvfb", "xvfb-run"), "--auto-servernum"]
    which("xauth", "xauth")
    browsers = sorted(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"))
    if not browsers:
        pytest.skip("MiniBrowser is not installed: it comes with Debian's package webkit2gtk-driver")
    variables = {"WEBKIT_DRIVER": driver, "MINI_BROWSER": str(browsers[-1])}
    if os.geteuid() == 0:
        # Its sandbox needs user namespaces, which root's processes in a container do not get. The pages are ours.
        variables["WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS"] = "1"
    return display, variables


@pytest.mark.browser
@pytest.mark.parametrize("browser", [chromium, firefox, webkit], ids=lambda browser: browser.__name__)
def test_a_visit(tiny_stack: Stack, tmp_path: Path, browser: Any) -> None:
    prefix, variables = browser()
    if not (JS / "node_modules" / "puppeteer-core").exists():
        pytest.skip("the drivers are not installed: npm ci in tests/browser/js")
    policy = json.loads(tiny_stack.policy.to_json())
    policy["releases"][0]["pcrs"]["2"] = ["ab" * 48]
    files = {
        "photo": plain(CLASS),
        "gif": plain(OTHER_CLASS, "GIF"),
        "heic": HEIC,
        "policy": json.dumps(policy).encode(),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "profile").mkdir()
    given = {name: str(tmp_path / name) for name in (*files, "profile")} | {"url": f"{tiny_stack.gateway.url}/"}
    command = [*prefix, node.node(), "everywhere.mjs", browser.__name__, json.dumps(given)]
    # Chromium makes a socket in it, whose path has room for 107 bytes.
    with tempfile.TemporaryDirectory() as short:
        done = subprocess.run(
            command,
            cwd=JS,
            env=environment(tmp_path) | {"HOME": str(tmp_path / "profile"), "TMPDIR": short} | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=170,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads(done.stdout.splitlines()[-1])

    assert (shown["opened"]["state"], shown["opened"]["badge"]) == ("caution", "simulated")
    assert "SIMULATED ENCLAVE" in shown["opened"]["notice"]
    assert shown["opened"]["checks"] == ["caution", *["passed"] * 5]

    assert shown["answered"]["bars"][0] == label_of(CLASS)
    assert len(shown["answered"]["bars"]) == 5
    assert shown["answered"]["receipt"].startswith("Receipt: verified")
    assert shown["answered"]["preview"]

    assert shown["converted"]["bars"][0] == label_of(OTHER_CLASS)
    assert shown["converted"]["converted"].startswith("This GIF photo was converted to JPEG here (40 × 30")

    assert (shown["unread"]["problem"], shown["unread"]["bars"]) == ("unsupported_format", [])
    assert not shown["unread"]["preview"]

    assert (shown["refused"]["refusal"], shown["refused"]["badge"]) == ("pcr_mismatch", "refused")
    assert shown["refused"]["checks"] == ["passed", "passed", "failed", "pending", "pending", "pending"]
    assert shown["unsent"]["bars"] == []
    assert not any(state["sideways"] for state in shown.values() if isinstance(state, dict))
    assert shown["faults"] == []
