"""What is looked for after the load: leaks against the baseline, and in the logs what must not be there."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from campaigns import report
from campaigns.disks import Disk
from campaigns.kept import Kept
from campaigns.leaks import Use, leaked, used
from campaigns.logs import canaries_in, tracebacks_in
from campaigns.photos import Photo

BASE = Use(processes=3, files=40, connections=5, memory=200 << 20)
CANARY = "0123456789abcdef" * 3
PHOTO = Photo(b"", 1, 0.5, "golden retriever", CANARY, "feedfacefeedface.jpeg")


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (replace(BASE, processes=4), "4 processes, 3 before"),
        (replace(BASE, files=50), "50 open files, 40 before"),
        (replace(BASE, connections=65), "65 connections, 5 before"),
        (replace(BASE, memory=500 << 20), "500 MiB, 200 MiB before"),
    ],
)
def test_each_leak_is_told(after: Use, words: str) -> None:
    assert leaked({"enclave 1": BASE}, {"enclave 1": after}, 64) == [f"enclave 1: {words}"]


def test_what_a_new_process_may_differ_in_is_no_leak() -> None:
    after = Use(processes=2, files=43, connections=60, memory=220 << 20)
    assert leaked({"enclave 1": BASE}, {"enclave 1": after}, 64) == []


def test_a_unit_is_counted_with_all_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import subprocess, sys; f = open('/dev/null'); subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        kept = Kept("test", "module", [], {}, Path("log"))
        monkeypatch.setattr(Kept, "pid", process.pid)
        until = time.monotonic() + 20
        while used(kept).processes < 2 and time.monotonic() < until:
            time.sleep(0.05)
        found = used(kept)
        assert process.stdin is not None
        process.stdin.close()
    assert (found.processes, found.connections) == (2, 0)
    assert found.files >= 7
    assert found.memory > 1 << 20


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f"name {PHOTO.file_name}", "a file's name"),
        (f"x{CANARY}x", "a photo"),
        (CANARY.encode().hex(), "a photo in hexadecimal"),
        (base64.b64encode(f"x{CANARY}y".encode()).decode(), "a photo in base64"),
        ("the class was golden retriever", "a class"),
    ],
)
def test_a_canary_in_a_log_is_found_and_not_repeated(tmp_path: Path, line: str, kind: str) -> None:
    log = tmp_path / "log"
    log.write_text(f'{{"event": "x"}}\n{line}\n')
    assert canaries_in([log], [PHOTO]) == [f"{tmp_path.name}/log: {kind}"]
    log.write_text('{"event": "answered"}\n')
    assert canaries_in([log], [PHOTO]) == []


def test_a_traceback_in_a_log_is_found(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text('{"event": "x"}\nTraceback (most recent call last):\n')
    assert tracebacks_in([log]) == [f"{tmp_path.name}/log: 1 lines, the last Traceback (most recent call last):"]


def test_a_page_without_the_marks_is_refused() -> None:
    page = "before\n<!-- faults: begin -->\nold\n<!-- faults: end -->\nafter\n"
    assert report.replaced(page, "faults", "new") == page.replace("old", "new")
    with pytest.raises(OSError, match="has no lines"):
        report.replaced(page, "rollout", "new")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_is_full_until_it_is_freed(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from campaigns.disks import Disk, private_mounts
if not private_mounts():
    sys.exit(3)
disk = Disk(Path({str(tmp_path / "disk")!r}), 1 << 20, mounted=True)
assert disk.can_be_full
log = (disk.at / "log").open("ab", buffering=0)
disk.fill()
try:
    log.write(b"x")
except OSError as error:
    assert error.errno == 28, error
else:
    raise AssertionError("not full")
disk.free()
assert log.write(b"x") == 1
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])})  # fmt: skip
    if done.returncode == 3:
        pytest.skip("no mount namespace of its own may be made here")
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "disk").iterdir()), "it was mounted for that process alone"


def test_without_mounts_there_is_a_folder(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk", 1 << 20, mounted=False)
    assert not disk.can_be_full
    assert disk.at.is_dir()
