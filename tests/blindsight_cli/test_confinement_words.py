"""What banner, `doctor` and `hardware-report` say of a confinement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindsight_cli import banner, confinement

if TYPE_CHECKING:
    import pytest

ALL = ["user ids", "namespaces", "cgroup", "landlock", "seccomp"]
ORDINARY = {
    "layers": ["namespaces", "landlock", "seccomp"],
    "landlock_abi": 7,
    "absent": {"user ids": "the runtime is not root", "cgroup": "Permission denied"},
    "gaps": [],
}


def test_all_layers_are_called_complete(capsys: pytest.CaptureFixture[str]) -> None:
    told = {"layers": ALL, "landlock_abi": 7, "absent": {}, "gaps": []}
    banner.show_confinement(told)
    assert "complete: user ids, namespaces, cgroup, landlock, seccomp" in capsys.readouterr().out


def test_a_smaller_set_names_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    banner.show_confinement(ORDINARY)
    shown = capsys.readouterr().out
    assert "complete:" not in shown
    assert "; without user ids (the runtime is not root), cgroup (Permission denied)" in shown
    assert confinement.describe(ORDINARY) in shown


def test_gaps_come_first() -> None:
    told = {"layers": ["landlock"], "landlock_abi": 7, "absent": {"seccomp": "none"}, "gaps": ["network: open"]}
    assert confinement.describe(told) == "network: open"
