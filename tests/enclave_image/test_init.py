"""`/init`: what can be tried outside of an enclave. The rest is in tests/boot."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from enclave_image.init import heartbeat, main, modules, runtime, system_calls

REPOSITORY = Path(__file__).resolve().parents[2]


def _answering(answer: bytes) -> tuple[socket.socket, threading.Thread, list[bytes]]:
    ours, theirs = socket.socketpair()
    heard: list[bytes] = []

    def parent() -> None:
        with theirs:
            heard.append(theirs.recv(1))
            theirs.sendall(answer)

    thread = threading.Thread(target=parent)
    thread.start()
    return ours, thread, heard


def test_the_heartbeat_is_one_byte_each_way() -> None:
    ours, thread, heard = _answering(b"\xb7")
    heartbeat.send(lambda: ours)
    thread.join()
    assert heard == [b"\xb7"]
    assert heartbeat.PARENT == (3, 9000)


@pytest.mark.parametrize("answer", [b"\xb8", b""])
def test_another_answer_is_an_error(answer: bytes) -> None:
    ours, thread, _ = _answering(answer)
    with pytest.raises(ConnectionError):
        heartbeat.send(lambda: ours)
    thread.join()


@pytest.mark.parametrize(
    "settings",
    [{"format": "blindsight-enclave/2", "module": "m", "arguments": []}, {"format": "blindsight-enclave/1"},
     {"format": "blindsight-enclave/1", "module": "m", "arguments": [1]},
     {"format": "blindsight-enclave/1", "module": ["m"], "arguments": []}, []],
)  # fmt: skip
def test_settings_of_another_format_are_refused(tmp_path: Path, settings: object) -> None:
    (tmp_path / "enclave.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="blindsight-enclave/1"):
        runtime.Settings.read(tmp_path / "enclave.json")


def test_the_runtime_is_started_by_the_path_that_believes_no_compiled_file(tmp_path: Path) -> None:
    settings = {"format": runtime.FORMAT, "module": "m", "arguments": ["serve"]}
    (tmp_path / "enclave.json").write_text(json.dumps(settings))
    command = runtime.Settings.read(tmp_path / "enclave.json").command
    assert command[1:] == ["-I", "-S", "-B", "/app/enclave_runtime/boot.py", "m", "serve"]


# In a process of its own, which becomes the reaper of orphans as the first process of a machine is.
REAPING = """
import ctypes, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
from enclave_image.init import runtime
print(runtime.run([sys.executable, "-c", sys.argv[1]]))
"""


# The orphan may end before the program does, and must not be taken for it.
ORPHAN = """
import os
child = os.fork()
if not child:
    os._exit(3 if os.fork() else 4)
os.waitpid(child, 0)
os._exit(5)
"""


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("raise SystemExit(7)", 7),
        ("import os; os.kill(os.getpid(), 9)", 137),
        (ORPHAN, 5),
    ],
)
def test_orphans_are_reaped_and_the_status_is_the_runtimes(program: str, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REAPING, program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.strip() == str(status), done.stderr


def test_modules_are_loaded_in_the_listed_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "load").write_text("b.ko\na.ko\n")
    loaded: list[str] = []
    monkeypatch.setattr(system_calls, "load_module", loaded.append)
    assert modules.load_all(tmp_path) == ["b.ko", "a.ko"]
    assert loaded == [str(tmp_path / "b.ko"), str(tmp_path / "a.ko")]


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (OSError(2, "No such file", "/etc/blindsight/enclave.json"), "enclave.json"),
        (RuntimeError("secret"), "RuntimeError"),
    ],
)
def test_what_fails_is_said_without_what_it_held_and_ends_the_machine(
    monkeypatch: pytest.MonkeyPatch, error: Exception, shown: str
) -> None:
    said: list[str] = []
    ended: list[bool] = []

    def fail() -> None:
        raise error

    monkeypatch.setattr(main, "_boot", fail)
    monkeypatch.setattr(main, "say", said.append)
    monkeypatch.setattr(system_calls, "reset", lambda: ended.append(True))
    main.main()
    assert ended == [True]
    assert shown in said[0]
    assert "secret" not in " ".join(said)


def test_init_imports_nothing_that_the_image_does_not_have_at_that_place() -> None:
    """Only the standard library, and only its part that the image keeps."""
    source = "import sys; import enclave_image.init.main; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", source], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    names = {name.partition(".")[0] for name in done.stdout.split()}
    ours = {name for name in names if name in {"blindsight", "enclave_runtime", "cbor2", "numpy", "rfc8785"}}
    assert not ours
    assert os.access(REPOSITORY / "enclave_image/init/start.py", os.R_OK)
