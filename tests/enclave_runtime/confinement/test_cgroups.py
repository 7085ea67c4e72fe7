"""Control groups of both versions: where they are made, what is written, and what is removed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclave_runtime.confinement import cgroups
from enclave_runtime.confinement.cgroups import Groups
from enclave_runtime.confinement.layers import LayerUnavailable
from enclave_runtime.confinement.mounted import Hierarchy, hierarchies

if TYPE_CHECKING:
    from enclave_runtime.confinement.warden import Warden

V1 = """\
20 1 0:19 / {mnt}/memory rw,relatime shared:5 - cgroup cgroup rw,memory
21 1 0:20 / {mnt}/pids rw,relatime - cgroup cgroup rw,pids
22 1 0:21 / {mnt}/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
23 1 0:22 / {mnt}/systemd rw,relatime - cgroup cgroup rw,name=systemd
"""
V2 = "30 1 0:25 / {mnt} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"


class Kernel:
    """What a kernel would show in /proc and in its control groups, as files that keep what is written to them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.proc = folder / "proc"
        self.mnt = folder / "cgroup mount"
        self.mnt.mkdir()
        (self.proc / "42" / "ns").mkdir(parents=True)
        (self.proc / "42" / "ns" / "pid").touch()
        (self.proc / "42" / "stat").write_text(f"42 (run (x) time) S {' '.join(['0'] * 18)} 777 0")
        (self.proc / "self").symlink_to("42")
        self.busy: set[Path] = set()
        """Version 2 lets no group that holds processes have groups with controllers below."""
        genuine_mkdir, genuine_write = Path.mkdir, cgroups._write

        def mkdir(path: Path, *arguments: object, **options: object) -> None:
            genuine_mkdir(path, *arguments, **options)
            if path.is_relative_to(self.mnt):
                self._fill(path)

        def write(file: Path, value: str) -> None:
            if file.name == "cgroup.subtree_control" and file.parent in self.busy:
                raise OSError(errno.EBUSY, "busy", str(file))
            if file.name == "cgroup.procs":
                self._move(int(value), file.parent)
                return
            genuine_write(file, value)

        monkeypatch.setattr(Path, "mkdir", mkdir)
        monkeypatch.setattr(cgroups, "_write", write)

    def _fill(self, folder: Path) -> None:
        parent = folder.parent
        if (parent / "cgroup.subtree_control").exists():
            controllers = (parent / "cgroup.subtree_control").read_text().replace("+", "")
            (folder / "cgroup.controllers").write_text(controllers)
            (folder / "cgroup.subtree_control").touch()
            offered = controllers.split()
        else:
            offered = [folder.relative_to(self.mnt).parts[0]]
        (folder / "cgroup.procs").touch()
        version = {"memory": ["memory.max", "memory.swap.max", "memory.oom.group"], "pids": ["pids.max"]}
        if not (folder / "cgroup.controllers").exists():
            version["memory"] = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.use_hierarchy"]
        for controller in offered:
            for name in version.get(controller, []):
                (folder / name).touch()

    def _move(self, pid: int, folder: Path) -> None:
        for procs in self.mnt.rglob("cgroup.procs"):
            left = [each for each in procs.read_text().split() if each != str(pid)]
            procs.write_text("\n".join(left))
            if not left:
                self.busy.discard(procs.parent)
        (folder / "cgroup.procs").write_text(str(pid))

    def mounted(self, mounts: str, own: str) -> None:
        mounts = mounts.format(mnt=str(self.mnt).replace(" ", "\\040"))
        (self.proc / "42" / "mountinfo").write_text(mounts)
        (self.proc / "42" / "cgroup").write_text(own)

    def unified(self, *groups: str, controllers: str = "cpu memory pids", processes: str = "") -> None:
        """A version 2 tree with these groups, the last one this process's own."""
        for folder in (self.mnt, *(self.mnt / group for group in groups)):
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103 -- not the one that plays the kernel
            (folder / "cgroup.controllers").write_text(controllers)
            (folder / "cgroup.subtree_control").write_text("")
            (folder / "cgroup.procs").write_text("")
        own = self.mnt / (groups[-1] if groups else "")
        (own / "cgroup.procs").write_text(processes)
        if groups:
            self.busy.add(own)
        self.mounted(V2, f"0::/{groups[-1] if groups else ''}\n")

    def read(self, path: Path) -> dict[str, str]:
        return {file.name: file.read_text() for file in path.iterdir() if file.is_file()}


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(tmp_path, monkeypatch)


def test_version_2_at_the_top_as_in_an_enclave(kernel: Kernel):
    kernel.unified()
    groups = Groups(1000, proc=kernel.proc)
    (own,) = {*groups._folders.values()}
    assert own.parent == kernel.mnt
    assert own.name.startswith("blindsight-")
    assert (kernel.mnt / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert kernel.read(own) | {"memory.max": "1000", "cgroup.subtree_control": "+memory +pids"} == kernel.read(own)
    assert kernel.read(own)["pids.max"] == ""
    group = groups.make(memory_bytes=100, tasks=9)
    (folder,) = group._folders
    assert folder == own / "1"
    expected = {"memory.max": "100", "memory.swap.max": "0", "memory.oom.group": "1", "pids.max": "9"}
    assert kernel.read(folder) | expected == kernel.read(folder)
    group.add(42)
    assert (folder / "cgroup.procs").read_text() == "42"


def test_version_2_without_swap_accounting(kernel: Kernel, monkeypatch: pytest.MonkeyPatch):
    kernel.unified()
    monkeypatch.setattr(kernel, "_fill", lambda folder, fill=kernel._fill: _without(fill, folder, "memory.swap.max"))
    (folder,) = Groups(1000, proc=kernel.proc).make(memory_bytes=100, tasks=9)._folders
    assert kernel.read(folder)["memory.max"] == "100"


def test_a_limit_that_cannot_be_set_is_no_limit(kernel: Kernel, monkeypatch: pytest.MonkeyPatch):
    kernel.unified()
    monkeypatch.setattr(kernel, "_fill", lambda folder, fill=kernel._fill: _without(fill, folder, "memory.max"))
    with pytest.raises(LayerUnavailable, match=r"cgroup: No such file.*memory\.max"):
        Groups(1000, proc=kernel.proc)


def _without(fill: object, folder: Path, name: str) -> None:
    fill(folder)
    (folder / name).unlink(missing_ok=True)


def test_in_a_container_s_only_group_all_processes_make_room(kernel: Kernel):
    """Its namespace shows the container's own group as the topmost, but the rules of others hold for it."""
    kernel.unified(processes="42\n43\n")
    kernel.busy.add(kernel.mnt)
    (own,) = {*Groups(1000, proc=kernel.proc)._folders.values()}
    assert own.parent == kernel.mnt
    assert (kernel.mnt / "cgroup.procs").read_text() == ""
    assert (kernel.mnt / "blindsight-runtime" / "cgroup.procs").read_text() == "43"


def test_a_service_s_group_that_the_runtime_has_for_itself(kernel: Kernel):
    """As systemd gives it with `Delegate=`."""
    kernel.unified("system.slice", "system.slice/enclave.service", processes="42\n")
    service = kernel.mnt / "system.slice" / "enclave.service"
    (own,) = {*Groups(1000, proc=kernel.proc)._folders.values()}
    assert own.parent == service
    assert (service / "blindsight-runtime" / "cgroup.procs").read_text() == "42"


def test_a_desktop_s_group_of_the_same_user_stands_beside_it(kernel: Kernel):
    """A terminal's own group holds others' processes; the user's slice above it takes more groups."""
    kernel.unified("app.slice", "app.slice/terminal.scope", processes="42\n4711\n")
    (own,) = {*Groups(1000, proc=kernel.proc)._folders.values()}
    assert own.parent == kernel.mnt / "app.slice"
    assert (kernel.mnt / "app.slice" / "terminal.scope" / "cgroup.procs").read_text() == "42\n4711\n"


def test_root_makes_its_group_at_the_top_rather_than_move_others(kernel: Kernel):
    kernel.unified("user.slice", "user.slice/session.scope", processes="42\n4711\n")
    kernel.busy.add(kernel.mnt / "user.slice")
    (own,) = {*Groups(1000, proc=kernel.proc)._folders.values()}
    assert own.parent == kernel.mnt


def test_without_a_group_to_make_it_is_said_why(kernel: Kernel):
    kernel.unified(controllers="cpu")
    with pytest.raises(LayerUnavailable, match="cgroup: no control groups are mounted"):
        Groups(1000, proc=kernel.proc)
    kernel.mounted("", "")
    with pytest.raises(LayerUnavailable, match="cgroup: no control groups are mounted"):
        Groups(1000, proc=kernel.proc)


def test_version_1(kernel: Kernel):
    for name in ("memory", "pids"):
        (kernel.mnt / name).mkdir()
        (kernel.mnt / name / "mine").mkdir()
    kernel.mounted(V1, "5:pids:/\n4:memory:/mine\n3:cpu,cpuacct:/\n1:name=systemd:/x\n0::/\n")
    groups = Groups(1000, proc=kernel.proc)
    memory, pids = groups._folders["memory"], groups._folders["pids"]
    assert (memory.parent, pids.parent) == (kernel.mnt / "memory" / "mine", kernel.mnt / "pids")
    # Before Linux 5.11 the limit would else not hold for the groups below.
    assert kernel.read(memory)["memory.use_hierarchy"] == "1"
    assert kernel.read(memory)["memory.limit_in_bytes"] == "1000"
    group = groups.make(memory_bytes=100, tasks=9)
    limits = kernel.read(memory / "1")
    assert (limits["memory.limit_in_bytes"], limits["memory.memsw.limit_in_bytes"]) == ("100", "100")
    assert kernel.read(pids / "1")["pids.max"] == "9"
    assert set(group._folders) == {memory / "1", pids / "1"}


def test_a_container_that_is_shown_its_own_group_alone(kernel: Kernel):
    """Its processes are told the path in the whole hierarchy; the mount begins with their group."""
    mounts = V1.replace("0:19 / ", "0:19 /docker/abc ").replace("0:20 / ", "0:20 /docker/abc ")
    kernel.mounted(mounts, "5:pids:/docker/abc\n4:memory:/docker/abc/inner\n")
    (found,) = hierarchies(kernel.proc / "self", root=True)
    assert found == Hierarchy(1, {"memory": kernel.mnt / "memory" / "inner", "pids": kernel.mnt / "pids"})


def test_version_1_counts_before_an_empty_version_2(kernel: Kernel):
    """As systemd mounts both."""
    (kernel.mnt / "cgroup.controllers").write_text("")
    kernel.mounted(V1 + V2, "5:pids:/\n4:memory:/\n0::/\n")
    assert [found.version for found in hierarchies(kernel.proc / "self", root=True)] == [1]


def test_memory_alone_is_better_than_nothing(kernel: Kernel):
    """User ids and the filter bound tasks, too."""
    (kernel.mnt / "memory").mkdir()
    kernel.mounted(V1.splitlines()[0] + "\n", "4:memory:/\n")
    groups = Groups(1000, proc=kernel.proc)
    assert groups._folders.keys() == {"memory"}
    groups.make(memory_bytes=100, tasks=9)


def test_what_killed_runtimes_left_is_removed_and_what_lives_stays(kernel: Kernel):
    kernel.unified()
    namespace = (kernel.proc / "42" / "ns" / "pid").stat().st_ino
    left = {
        "ended": f"blindsight-{namespace}.41.777-aa",
        "its id is used again": f"blindsight-{namespace}.42.776-aa",
        "this one": f"blindsight-{namespace}.42.777-aa",
        "of another namespace": f"blindsight-{namespace + 1}.41.777-aa",
        "another program's": "other-41",
    }
    for name in left.values():
        # As the kernel has them: without files that keep a folder from being removed.
        os.makedirs(kernel.mnt / name / "1")  # noqa: PTH103 -- likewise
    own = Groups(1000, proc=kernel.proc)._folders["memory"]
    assert {path.name for path in kernel.mnt.iterdir() if path.is_dir()} == {
        own.name, left["this one"], left["of another namespace"], left["another program's"],
    }  # fmt: skip


def test_a_group_is_removed_with_what_still_runs_in_it(warden: Warden):
    if warden.groups is None:
        pytest.skip("no control groups here")
    group = warden.groups.make(memory_bytes=1 << 26, tasks=9)
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True) as sleeping:
        group.add(sleeping.pid)
        group.remove()
        assert sleeping.wait(20) == -9
    assert [folder for folder in group._folders if folder.exists()] == []
    group.remove()
