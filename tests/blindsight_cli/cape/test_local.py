"""Commands that need no host, and the program itself."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from blindsight_cli.cape import main as main_module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_new_function_answers_its_input(tmp_path: Path, offline: Callable[..., Any]) -> None:
    outcome = offline("function", "create", "mine", "-l", str(tmp_path))
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")
    folder = tmp_path / "mine"
    assert (folder.stat().st_mode & 0o777) == 0o755 & ~_umask()
    specification = importlib.util.spec_from_file_location("created_app", folder / "app.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    assert module.cape_handler("é".encode()) == "é"
    assert (folder / "requirements.txt").read_text().startswith("# ")


def test_a_function_that_exists_stays(tmp_path: Path, offline: Callable[..., Any]) -> None:
    (tmp_path / "mine").mkdir()
    outcome = offline("function", "create", "mine", "-l", str(tmp_path))
    assert (outcome.status, outcome.err) == (
        1,
        f"Error: unable to create function: mkdir {tmp_path / 'mine'}: file exists\n",
    )
    assert offline("function", "create").status == 1


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module, "main", interrupted)
    with pytest.raises(SystemExit) as caught:
        main_module.run()
    assert caught.value.code == 130


def test_a_reader_that_has_seen_enough_is_no_traceback(home: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "blindsight_cli.cape.main"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
