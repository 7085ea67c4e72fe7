"""The commands that talk to a gateway, in a folder with `photo.png`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.stack import Stack

COMMANDS = {
    "attest": ("attest", "{url}", "--policy", "{policy}"),
    "classify": ("classify", "--url", "{url}", "photo.png"),
    "classify --sealed": ("classify", "--sealed", "--policy", "{policy}", "--url", "{url}", "photo.png"),
    "doctor": ("doctor", "--url", "{url}"),
    "hardware-report": ("hardware-report", "--out", "report.json", "--url", "{url}", "--policy", "{policy}"),
    "demo": ("demo", "evil-gateway", "--url", "{url}", "--policy", "{policy}"),
}


def words(command: str, url: str, stack: Stack) -> list[str]:
    """The arguments of `blindsight` for `command`, to the gateway at `url` with the policy of `stack`."""
    return [word.format(url=url, policy=stack.policy_file) for word in COMMANDS[command]]
