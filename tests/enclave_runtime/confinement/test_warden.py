"""Which layers are found, which are left out and why, and what of the promise is then said to be missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.errors import ProducerError
from enclave_runtime.confinement import layers, probe, warden
from enclave_runtime.confinement.layers import ALL, CGROUP, IDS, LANDLOCK, NAMESPACES, SECCOMP, Layers, LayerUnavailable
from enclave_runtime.confinement.warden import Warden
from enclave_runtime.serve import check_promise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enclave_runtime.confinement.cgroups import Groups

REPOSITORY = Path(__file__).parents[3]
COMPLETE = Layers(ids=True, namespaces=True, cgroup=True, landlock=layers.SOCKETS_ABI, seccomp=True)


def gaps(*, root: bool = True, **changes: Any) -> set[str]:
    """The parts of the promise that are named, by their first word."""
    found = Layers(**{**vars(COMPLETE), **changes}).gaps(root=root)
    return {text.partition(":")[0] for text in found}


def test_all_layers_keep_the_promise():
    assert gaps() == set()
    assert COMPLETE.present == ALL


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"landlock": 0}, set()),  # As in an enclave of AWS.
        ({"namespaces": False}, {"attributes of files outside"}),
        ({"namespaces": False, "landlock": 7}, {"attributes of files outside", "sockets of others"}),
        (
            {"namespaces": False, "landlock": 0},
            {"attributes of files outside", "sockets of others", "files", "processes"},
        ),
        ({"seccomp": False}, {"network"}),
        ({"seccomp": False, "namespaces": False}, {"network", "attributes of files outside", "processes"}),
        ({"seccomp": False, "ids": False}, {"network", "privileges", "user"}),
        ({"ids": False}, {"user"}),
        ({"ids": False, "root": False}, set()),
        ({"cgroup": False}, set()),
        ({"cgroup": False, "seccomp": False}, {"network", "bounds"}),
        ({"cgroup": False, "namespaces": False}, {"attributes of files outside", "bounds"}),
    ],
)
def test_what_is_missing_is_named(changes: dict[str, Any], missing: set[str]):
    assert gaps(**changes) == missing


def test_without_any_layer_every_part_is_missing():
    assert len(Layers().gaps(root=True)) == 9
    assert "memory" in str(Layers().gaps(root=False))


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> list[Layers]:
    """A machine whose probe says what the test does; what was tried."""
    tried: list[Layers] = []
    monkeypatch.setattr(warden.probe, "attempt", lambda each: tried.append(each.layers))
    monkeypatch.setattr(warden.landlock, "abi", lambda: 7)
    monkeypatch.setattr(warden.os, "geteuid", lambda: 0)
    monkeypatch.setattr(warden, "Groups", lambda _: SimpleNamespace(close=lambda: None))
    return tried


def test_what_the_kernel_refuses_is_left_out_and_the_rest_is_tried_again(
    bare: list[Layers], monkeypatch: pytest.MonkeyPatch
):
    refusals = [(NAMESPACES, "Operation not permitted: unshare"), (CGROUP, "no process can be added"), (IDS, "x"), None]

    def attempt(each: Warden) -> tuple[str, str] | None:
        bare.append(each.layers)
        return refusals[len(bare) - 1]

    monkeypatch.setattr(warden.probe, "attempt", attempt)
    found = Warden.appoint(total_bytes=1)
    assert [each.present for each in bare] == [
        ALL,
        (IDS, CGROUP, LANDLOCK, SECCOMP),
        (IDS, LANDLOCK, SECCOMP),
        (LANDLOCK, SECCOMP),
    ]
    assert found.groups is None
    summary = found.summary()
    assert summary["layers"] == [LANDLOCK, SECCOMP]
    assert summary["landlock_abi"] == 7
    assert summary["absent"] == {
        NAMESPACES: "Operation not permitted: unshare",
        CGROUP: "no process can be added",
        IDS: "x",
    }
    assert summary["gaps"] == list(found.layers.gaps(root=True)) != []
    assert json.loads(json.dumps(summary)) == summary


def test_layers_are_left_out_on_request(bare: list[Layers]):
    found = Warden.appoint(total_bytes=1, without=[SECCOMP, CGROUP, NAMESPACES])
    assert found.layers == Layers(ids=True, landlock=7)
    assert found.absent == dict.fromkeys([SECCOMP, CGROUP, NAMESPACES], "left out on request")


@pytest.mark.parametrize(("asked", "used"), [(None, 7), (1, 1), (4, 4), (9, 7), (0, 0)])
def test_an_older_landlock_is_played(bare: list[Layers], asked: int | None, used: int):
    found = Warden.appoint(total_bytes=1, landlock_abi=asked)
    assert found.layers.landlock == used
    assert (LANDLOCK in found.absent) == (used == 0)


def test_an_ordinary_user_has_no_user_ids_to_give(bare: list[Layers], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(warden.os, "geteuid", lambda: 1000)
    found = Warden.appoint(total_bytes=1)
    assert (found.layers.ids, found.layers.user_namespace) == (False, True)
    assert found.absent == {IDS: "the runtime is not root"}
    assert found.take_user() is None


def test_a_kernel_without_control_groups_or_a_filter(bare: list[Layers], monkeypatch: pytest.MonkeyPatch):
    def none_mounted(_: int) -> Groups:
        raise LayerUnavailable(CGROUP, "no control groups are mounted")

    monkeypatch.setattr(warden, "Groups", none_mounted)
    monkeypatch.setattr(warden.seccomp, "unsupported", lambda: "no system call filter for riscv64")
    found = Warden.appoint(total_bytes=1)
    assert found.absent == {CGROUP: "no control groups are mounted", SECCOMP: "no system call filter for riscv64"}


def test_a_sandbox_that_cannot_even_be_tried_is_no_sandbox(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(probe, "_try", lambda *_: os._exit(0))
    with pytest.raises(ProducerError) as refusal:
        Warden.appoint(total_bytes=1)
    assert refusal.value.code == "not_confined"


def test_only_a_simulation_goes_on_with_a_broken_promise(caplog: pytest.LogCaptureFixture):
    incomplete: Any = SimpleNamespace(gaps=("files: those outside can be opened",))
    check_promise(incomplete, kind="simulated", required=False)
    assert [record.__dict__["gaps"] for record in caplog.records] == ["files: those outside can be opened"]
    for kind, required in (("nitro", False), ("simulated", True)):
        with pytest.raises(ProducerError, match="files: those outside") as refusal:
            check_promise(incomplete, kind=kind, required=required)
        assert refusal.value.code == "not_confined"
    complete: Any = SimpleNamespace(gaps=())
    check_promise(complete, kind="nitro", required=True)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "enclave_runtime", *arguments],
        capture_output=True, text=True, cwd=REPOSITORY, check=False, timeout=60,
    )  # fmt: skip


def test_the_command_says_what_this_machine_has(warden: Warden):
    done = command("confinement")
    assert json.loads(done.stdout) == {**warden.summary(), "landlock_abi": json.loads(done.stdout)["landlock_abi"]}
    flags: Sequence[str] = ("--landlock-abi", "2", "--without-layer", "namespaces", "--without-layer", "user ids")
    said = json.loads(command("confinement", *flags).stdout)
    assert said["landlock_abi"] == 2
    assert said["absent"][NAMESPACES] == "left out on request"
    assert [text.partition(":")[0] for text in said["gaps"]][:2] == ["sockets of others", "attributes of files outside"]


def test_a_runtime_that_must_confine_does_not_start_where_it_cannot(tmp_path: Path):
    bundle = tmp_path / "none.zip"
    bundle.write_bytes(b"")
    flags = ("--bundle", str(bundle), "--state", str(tmp_path / "state"), "--without-layer", "seccomp")
    done = command("serve", *flags, "--require-confinement")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "cannot be confined here: network: sockets are not refused (no seccomp)" in last
    assert "enclave_runtime confinement" in last
