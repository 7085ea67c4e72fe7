"""The audit log's file: its chain, its verification, and what goes wrong with disks and processes."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.audit import trail as module
from gateway.audit.log import Audit, AuditUnusable
from gateway.audit.trail import FIRST, INTERRUPTED, Trail, digest
from gateway.audit.verify import BrokenTrail, report, verify

TIME = "2026-11-27T02:00:00.000Z"
REPOSITORY = Path(__file__).resolve().parents[2]
OPENED = """\
import sys
from pathlib import Path
from gateway.audit.trail import Trail
trail, entry = Trail(Path(sys.argv[1])), {"time": "", "act": "token.added"}
"""


def entry(number: int) -> dict[str, object]:
    return {"time": TIME, "act": "token.added", "subject": f"name-{number}"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Ten entries."""
    path = tmp_path / "audit.log"
    trail = Trail(path)
    for number in range(10):
        trail.append(entry(number), time=TIME)
    trail.close()
    return path


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "audit", "verify", *(str(each) for each in arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_each_line_has_the_digest_of_the_one_before(file: Path) -> None:
    previous = FIRST
    for number, line in enumerate(lines(file)):
        assert json.loads(line) == {**entry(number), "previous": previous}
        previous = digest(line.removesuffix(b"\n"))
    verified = verify(file)
    assert (verified.lines, verified.last, verified.continues) == (10, previous, FIRST)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_new_process_goes_on(file: Path) -> None:
    Trail(file).append(entry(10), time=TIME)
    assert verify(file).lines == 11


def changed(content: bytes) -> bytes:
    return content.replace(b"name-", b"nome-")


TAMPERING = {
    "edited": (lambda kept: [*kept[:4], changed(kept[4]), *kept[5:]], 6),
    "a space added": (lambda kept: [*kept[:4], kept[4].replace(b",", b", ", 1), *kept[5:]], 6),
    "removed": (lambda kept: [*kept[:4], *kept[5:]], 5),
    "the first removed": (lambda kept: kept[1:], None),
    "reordered": (lambda kept: [*kept[:4], kept[5], kept[4], *kept[6:]], 5),
    "repeated": (lambda kept: [*kept[:5], kept[4], *kept[5:]], 6),
    "cut short": (lambda kept: [*kept[:4], kept[4][:30] + b"\n", *kept[5:]], 5),
    "a part removed": (lambda kept: [*kept[:4], kept[4][:30], *kept[5:]], 5),
    "the last cut short": (lambda kept: [*kept[:9], kept[9][:30]], 10),
    "the last without its end": (lambda kept: [*kept[:9], kept[9][:-1]], 10),
    "emptied": (lambda kept: [*kept[:4], b"\n", *kept[5:]], 5),
    "inserted": (lambda kept: [*kept[:4], changed(kept[4]), *kept[4:]], 6),
    "without its chain": (lambda kept: [*kept[:4], b'{"time":"","act":""}\n', *kept[5:]], 5),
    "another kind": (lambda kept: [*kept[:4], b"[1]\n", *kept[5:]], 5),
    "two on a line": (lambda kept: [*kept[:4], kept[4][:-1] + kept[5], *kept[6:]], 5),
    "garbage": (lambda kept: [*kept[:4], b"\xff\x00\n", *kept[5:]], 5),
}


@pytest.mark.parametrize("how", TAMPERING)
def test_tampering_is_found_where_it_was_done(file: Path, how: str) -> None:
    tamper, number = TAMPERING[how]
    file.write_bytes(b"".join(tamper(lines(file))))
    if number is None:
        # A file can begin with any digest, because it can continue another one.
        assert verify(file).continues != FIRST
        return
    with pytest.raises(BrokenTrail, match=rf"audit\.log, line {number}: "):
        verify(file)
    done = run(file)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"line {number}: " in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_line_written_elsewhere_shows_what_is_missing_at_the_end(file: Path) -> None:
    """The chain alone cannot show it; a digest that is kept elsewhere, as in the ordinary log, can."""
    kept = verify(file).last
    assert run(file, "--expect", kept).returncode == 0
    file.write_bytes(b"".join(lines(file)[:9]))
    assert run(file).returncode == 0
    done = run(file, "--expect", kept)
    assert done.returncode == 1
    assert "lines are missing" in done.stderr


def test_a_whole_file_is_told(file: Path) -> None:
    done = run(file)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{file}: 10 lines, last SHA-256 {verify(file).last}\n"


def test_rotation_by_renaming(file: Path, tmp_path: Path) -> None:
    trail = Trail(file)
    trail.append(entry(10), time=TIME)
    old = file.rename(tmp_path / "audit.log.1")
    trail.append(entry(11), time=TIME)
    assert (verify(old).lines, verify(file).lines) == (11, 1)
    assert len(report([old, file])) == 2
    with pytest.raises(BrokenTrail, match="does not continue"):
        report([file, old])
    older = file.rename(tmp_path / "audit.log.2")
    file.touch(mode=0o600)  # logrotate's `create`.
    trail.append(entry(12), time=TIME)
    trail.append(entry(13), time=TIME)
    report([old, older, file])
    old.write_bytes(b"".join(lines(old)[:-1]))
    with pytest.raises(BrokenTrail, match="line 1: does not continue the file before it"):
        report([old, older, file])


@pytest.mark.parametrize("how", ["noticed", "signalled", "created"])
def test_rotation_of_a_shared_file(file: Path, tmp_path: Path, how: str) -> None:
    """The new file continues the last line of the old one, whichever process has written that."""
    gateway = Trail(file)
    gateway.append(entry(10), time=TIME)
    Trail(file).append(entry(11), time=TIME)  # A command's.
    old = file.rename(tmp_path / "audit.log.1")
    if how == "created":
        file.touch(mode=0o600)
    if how == "signalled":
        gateway.reopen()
    gateway.append(entry(12), time=TIME)
    assert len(report([old, file])) == 2


def test_no_line_follows_in_a_file_that_was_renamed_while_it_was_locked(file: Path, tmp_path: Path) -> None:
    """A writer that waited for the lock while the file was rotated writes to the new one."""
    trail = Trail(file)
    trail.append(entry(10), time=TIME)
    with file.open("rb") as locked, ThreadPoolExecutor(1) as pool:
        fcntl.flock(locked, fcntl.LOCK_EX)
        waiting = pool.submit(trail.append, entry(11), time=TIME)
        with pytest.raises(TimeoutError):
            waiting.result(0.2)
        old = file.rename(tmp_path / "audit.log.1")
        fcntl.flock(locked, fcntl.LOCK_UN)
        waiting.result(10)
    assert (verify(old).lines, verify(file).lines) == (11, 1)
    assert len(report([old, file])) == 2


def test_rotation_by_a_removed_file_and_by_a_signal(file: Path) -> None:
    trail = Trail(file)
    file.unlink()
    trail.append(entry(1), time=TIME)
    trail.reopen()
    trail.append(entry(2), time=TIME)
    assert verify(file).lines == 2


def test_rotation_by_copying_begins_anew(file: Path, tmp_path: Path) -> None:
    trail = Trail(file)
    trail.append(entry(10), time=TIME)
    old = tmp_path / "copy"
    old.write_bytes(file.read_bytes())
    os.truncate(file, 0)
    trail.append(entry(11), time=TIME)
    report([old, file])


def test_threads_and_processes_share_a_file(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    code = f"{OPENED}for number in range(100): trail.append(entry, time='')"
    others = [subprocess.Popen([sys.executable, "-c", code, str(file)], cwd=REPOSITORY) for _ in range(2)]
    trails = [Trail(file), Trail(file)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: trails[number % 2].append(entry(number), time=TIME), range(200)))
    assert [process.wait(60) for process in others] == [0, 0]
    assert verify(file).lines == 400


def test_threads_of_one_trail(tmp_path: Path) -> None:
    trail = Trail(tmp_path / "audit.log")
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: trail.append(entry(number), time=TIME), range(1000)))
    finally:
        sys.setswitchinterval(before)
    assert verify(tmp_path / "audit.log").lines == 1000


def test_two_threads_of_one_log(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    audit = Audit(file)
    go = threading.Barrier(2)

    def note() -> None:
        go.wait()
        for _ in range(100):
            audit.note("token.added").result(30)

    threads = [threading.Thread(target=note) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(file).lines == 200


@pytest.mark.parametrize("cut", [1, 20, "all but the end"])
def test_a_crash_in_a_line(file: Path, cut: int | str) -> None:
    whole = file.read_bytes()
    kept = lines(file)
    file.write_bytes(whole[:-1] if cut == "all but the end" else b"".join(kept[:9]) + kept[9][:cut])
    with pytest.raises(BrokenTrail, match="line 10: "):
        verify(file)
    Trail(file).append(entry(11), time=TIME)
    verified = verify(file)
    if cut == "all but the end":
        assert (verified.lines, verified.interrupted) == (11, [])
        return
    assert (verified.lines, verified.interrupted) == (12, [10])
    assert json.loads(lines(file)[10])["act"] == INTERRUPTED
    assert "line 10 is incomplete" in run(file).stdout
    # Around it, too, every change shows.
    again = lines(file)
    for changed_lines, number in (
        ([*again[:9], b'{"x\n', *again[10:]], 10),
        ([*again[:8], *again[9:]], 10),
        ([*again[:9], *again[10:]], 10),
        ([*again[:10], *again[11:]], 10),
        ([*again[:9], again[9], again[9], *again[10:]], 10),
    ):
        file.write_bytes(b"".join(changed_lines))
        with pytest.raises(BrokenTrail, match=f"line {number}: "):
            verify(file)


def test_a_killed_process_leaves_whole_lines(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    code = f"{OPENED}while True: print(trail.append(entry, time=''), flush=True)"
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(file)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        said = [process.stdout.readline().strip() for _ in range(20)][-1]
        process.kill()
        process.wait()
        process.stdout.close()
        Trail(file).append(entry(0), time=TIME)
        report([file], wanted=said)  # What was said to be written is there.


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    trail = Trail(file)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        with pytest.raises(OSError, match="File too large"):
            all(trail.append(entry(number), time=TIME) for number in range(100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    written = verify(file).lines
    assert 0 < written < 100
    trail.append(entry(100), time=TIME)
    assert verify(file).lines == written + 1


def test_a_full_disk_of_an_append_only_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which cannot be shortened: the next line says that this one is incomplete."""
    file = tmp_path / "audit.log"
    trail = Trail(file)
    trail.append(entry(0), time=TIME)

    def half(descriptor: int, content: bytes) -> None:
        os.write(descriptor, content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patched:
        patched.setattr(module, "_write", half)
        patched.setattr(os, "ftruncate", refused)
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                trail.append(entry(1), time=TIME)
    trail.append(entry(2), time=TIME)
    assert verify(file).interrupted


@pytest.mark.parametrize("kind", ["folder", "link", "pipe", "no folder"])
def test_files_that_cannot_be_used(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "audit.log"
    match kind:
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(tmp_path / "elsewhere")
        case "pipe":
            os.mkfifo(path)
        case _:
            path = tmp_path / "none" / "audit.log"
    with pytest.raises(AuditUnusable, match="BLINDSIGHT_AUDIT_LOG"):
        Audit(path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_large_file_of_another_kind_is_refused_at_the_start(tmp_path: Path) -> None:
    """Without reading all of it in search of an entry; its end could be anywhere."""
    path = tmp_path / "audit.log"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(AuditUnusable, match="its last lines are no entries"):
        Audit(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10
    assert path.stat().st_size == 1 << 30


def test_an_entry_before_a_long_incomplete_one_is_found(file: Path) -> None:
    with file.open("ab") as appended:
        appended.write(b'{"time":"' + bytes(1 << 20))
    Trail(file).append(entry(11), time=TIME)
    assert file.read_bytes().count(b"\n") == 13


def test_verify_says_what_cannot_be_read(tmp_path: Path) -> None:
    done = run(tmp_path / "none")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
