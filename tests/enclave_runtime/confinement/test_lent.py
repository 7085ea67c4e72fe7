"""What of the machine a confined process sees, and what it never does."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclave_runtime.confinement import system

if TYPE_CHECKING:
    from tests.enclave_runtime.confinement.conftest import Machine

REPOSITORY = Path(__file__).parents[3]


def test_the_root_directory_has_what_is_lent_and_no_more(either: Machine):
    """The filter of files is left out, so that the root directory itself shows."""
    source = "import json, os; print(json.dumps({folder: sorted(os.listdir(folder)) for folder in FOLDERS}))"
    folders = ["/", "/dev", "/etc", "/tmp", "/dev/shm", "/sys", "/sys/devices", "/sys/devices/system"]
    seen = json.loads(either.ask(source.replace("FOLDERS", str(folders)), replace(either.layers, landlock=0)))
    lent = {Path(path).parts[1] for path in (*system.TO_RUN, *system.TO_READ) if os.path.lexists(path)}
    assert set(seen["/"]) == lent | {"dev", "etc", "proc", "tmp"}
    assert {*seen["/dev"]} <= {"fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"}
    assert "nsm" not in seen["/dev"]
    etc = {Path(path).parts[2] for path in system.TO_READ if path.startswith("/etc/")} | {"passwd", "group"}
    assert set(seen["/etc"]) <= etc
    # A clone below /tmp has its interpreter there, which is lent.
    assert seen["/tmp"] == sorted({path.parts[2] for path in map(Path, system.TO_RUN) if path.is_relative_to("/tmp")})
    assert {name.partition("-")[0] for name in seen["/dev/shm"]} <= {"confined"}  # Where its own folder is.
    assert (seen["/sys"], seen["/sys/devices"], seen["/sys/devices/system"]) == (["devices"], ["system"], ["cpu"])


def test_of_proc_only_its_own_processes_and_two_files_show(either: Machine):
    source = """
import json, os
shown, hidden = [], []
for name in os.listdir("/proc"):
    path = f"/proc/{name}"
    if name.isdecimal() or os.path.islink(path):
        continue
    content = os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)
    (shown if content else hidden).append(name)
print(json.dumps([sorted(shown), len(hidden), sorted(name for name in os.listdir("/proc") if name.isdecimal())]))
"""
    shown, hidden, processes = json.loads(either.ask(source))
    assert shown == ["cpuinfo", "meminfo"]
    assert hidden > 20
    assert processes == ["1", "2"]


def test_neither_sources_nor_state_nor_the_host_s_name_show(either: Machine):
    source = f"""
import os, socket
assert socket.gethostname() == "function"
for path in ({str(REPOSITORY / "enclave_runtime")!r}, {str(REPOSITORY / "tests")!r}, {str(REPOSITORY / ".git")!r}):
    try:
        os.listdir(path)
    except FileNotFoundError:
        continue
    raise AssertionError(path)
assert os.path.exists({sys.prefix!r})
"""
    either.ask(source)


@pytest.mark.parametrize("missing", ["namespaces", "landlock"])
def test_a_hidden_folder_is_not_lent_wherever_it_lies(either: Machine, missing: str):
    """The operator's state folder may lie in what is lent: here, in the folder that holds it."""
    layers = replace(either.layers, landlock=0)
    if missing == "namespaces":
        layers = replace(either.layers, namespaces=False, user_namespace=False)
    before = """
import os
from enclave_runtime.confinement import system
prefix = place + "/prefix"
os.makedirs(prefix + "/lib")
os.makedirs(prefix + "/opt/state/deeper")
for path in ("/lib/code", "/opt/state/secret", "/opt/state/deeper/secret", "/opt/beside"):
    open(prefix + path, "w").write(path)
os.symlink(prefix + "/opt/state", prefix + "/lib/way")
system.TO_RUN = (*system.TO_RUN, prefix)
"""
    source = """
prefix = place + "/prefix"
assert open(prefix + "/lib/code").read() and open(prefix + "/opt/beside").read()
for path in ("/opt/state/secret", "/opt/state/deeper/secret", "/lib/way/secret"):
    try:
        open(prefix + path).read()
    except (FileNotFoundError, PermissionError):
        continue
    print("read", path)
"""
    hidden = ("{place}/prefix/opt/state",)
    assert either.ask(source, layers, before=before, hidden=hidden) == ""
    assert "read /opt/state/secret" in either.ask(source, layers, before=before)


def test_what_is_replaced_by_its_content(tmp_path: Path):
    for name in ("a/b/state", "a/b/c", "a/d", "e"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to("a")
    a, e = str(tmp_path / "a"), str(tmp_path / "e")
    state = tmp_path / "a" / "b" / "state"
    expected = (str(tmp_path / "a/b/c"), str(tmp_path / "a/d"), e)
    assert system.lent((a, e), (str(state),)) == expected
    # By whatever name.
    assert system.lent((str(tmp_path / "link"), e), (str(tmp_path / "link/b/state"),)) == expected
    assert system.lent((str(state), str(state / "below"), e), (str(state),)) == (e,)
    assert system.lent((a, e), (str(tmp_path / "elsewhere"),)) == (a, e)
    assert system.lent((a, e), ()) == (a, e)
