"""The Makefile takes any path: values reach the command as they were given, in a folder of any name."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.support.images import plain
from tests.support.models import label_of
from tests.support.processes import environment
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from tests.support.models import TinyModel

REPOSITORY = Path(__file__).parents[2]
TREE = (
    "blindsight", "blindsight_cli", "enclave_function", "enclave_runtime", "gateway", "model_build", "requirements",
    "tools",
)  # fmt: skip
AWKWARD = """it's a "path" with $HOME, `spaces` & more"""


def make(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments], cwd=folder, env={**environment(folder), **variables},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("by_environment", [False, True])
def test_values_reach_the_command_whole(tmp_path: Path, by_environment: bool) -> None:
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    values = {"STATE": AWKWARD, "MODEL": f"{AWKWARD}.onnx", "PORT": "80 80", "PYTHON": AWKWARD}
    arguments = [] if by_environment else [f"{name}={value}" for name, value in values.items()]
    done = make(tmp_path, "--dry-run", "run", *arguments, **(values if by_environment else {}))
    assert done.returncode == 0, done.stderr
    words = shlex.split(done.stdout)
    assert f"PYTHON={AWKWARD}" in words
    for option, value in (("--state", AWKWARD), ("--model", f"{AWKWARD}.onnx"), ("--port", "80 80")):
        assert words[words.index(option) + 1] == value
    assert "--metrics-port" not in words


def test_clean_removes_its_state_and_no_folder_of_a_similar_name(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    state = tmp_path / "st ate"
    for folder in (state, tmp_path / "st", tmp_path / "ate"):
        folder.mkdir()
    assert make(tmp_path, "clean", "STATE=st ate").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "tmp") == ["Makefile", "ate", "st"]


def test_clean_leaves_a_running_stack_alone(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    state = tmp_path / "st ate"
    state.mkdir()
    with (state / "lock").open("w") as lock:
        lock.write("4711\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = make(tmp_path, "clean", "STATE=st ate")
        assert done.returncode != 0
        assert done.stderr.splitlines()[:2] == ["error: a stack uses st ate (process 4711)", "next:  stop it first"]
        assert state.exists()


def test_run_in_a_folder_with_spaces(tmp_path: Path, colour_model: TinyModel) -> None:
    """From the source tree to an answer and Ctrl-C; the packages are the tests' own."""
    project = tmp_path / "it's a project"
    project.mkdir()
    for name in TREE:
        shutil.copytree(REPOSITORY / name, project / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, project)
    venv.create(project / ".venv", symlinks=True)
    (packages,) = (project / ".venv" / "lib").glob("python*/site-packages")
    (packages / "tests.pth").write_text("".join(f"{path}\n" for path in sys.path if Path(path).name == "site-packages"))
    (project / ".venv" / "installed-run").touch()
    model, state, port = tmp_path / "a model", tmp_path / "a state", free_port()
    shutil.copytree(colour_model.folder, model)
    variables = environment(tmp_path)
    del variables["PYTHONPATH"]
    output = tmp_path / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            ["make", "--no-print-directory", "run", f"STATE={state}", f"MODEL={model}", f"PORT={port}",
             f"TLS_PORT={free_port()}"],
            cwd=project, env=variables, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip

    def serves() -> bool:
        assert process.poll() is None, output.read_text()
        return "Ctrl-C stops everything" in output.read_text()

    try:
        wait_until("the banner", serves, seconds=150)
        url = f"http://127.0.0.1:{port}/classify"
        answer = httpx2.post(url, files={"file": plain(905)}, trust_env=False, timeout=60)
        assert answer.json()["predictions"][0]["label"] == label_of(905)
        said = output.read_text()
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)
    assert f"export CAPE_LOCAL_CONFIG_DIR={shlex.quote(str(state / 'cape'))}\n" in said
    assert output.read_text() == f"{said}Stopping…\n"
    assert process.returncode in {0, -signal.SIGINT}
