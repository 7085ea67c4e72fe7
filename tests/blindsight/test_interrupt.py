"""Ctrl-C while a command is loading, at moments that Python cannot raise from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LOADING = """\
import os
import signal
import weakref


def interrupt(*_):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass


class Dying:
    def __del__(self):
        interrupt()


class Watched:
    pass


def main():
    print("it ran on")
    return 0


"""


@pytest.mark.parametrize(
    "moment", ["Dying()", "watched = Watched()\nheld = weakref.ref(watched, interrupt)\ndel watched"]
)
def test_ctrl_c_in_a_finaliser_or_a_callback_ends_the_command(tmp_path: Path, moment: str) -> None:
    """The import system has such callbacks. Python prints a traceback for them and goes on."""
    (tmp_path / "loading.py").write_text(LOADING + moment)
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(REPOSITORY)!r}]\n"
    code += "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from blindsight import interrupt; sys.exit(interrupt.run('loading'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted.\n")
