"""tools/environment.sh: which Python is taken, what of an old environment is kept, and how it fails.

The interpreters are scripts that say they are of some version, and whose pip does as a test wants. What waits has taken
the place of its shell (`exec`): dash loses a SIGINT that comes while it starts a process.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import ordinary_user
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

REPOSITORY = Path(__file__).parents[2]
TOOLS = ("sh", "dirname", "grep", "rm", "tail", "touch", "cp", "mkdir", "cat", "sleep", "chmod", "flock")
ENV = str(shutil.which("env"))
FAKE = """#!/bin/sh
case "$*" in
    "-m venv "*)
        mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo "#!$PWD/$3/bin/python" >"$3/bin/blindsight"
        if [ -e venv-waits ]; then : >started; exec sleep 60; fi ;;
    "-m pip "*)
        echo "$@" >>pip.log
        if [ -p pip-gate ]; then : >started; cat pip-gate; fi
        if [ -e pip-waits ]; then : >started; exec sleep 60; fi
        if [ -e pip-fails ]; then echo "ERROR: the index is out of reach" >&2; exit 1; fi ;;
    "-I -c "*)
        exec '{python}' -I -c 'import sys; sys.version_info = {version}; exec(sys.argv[1])' "$3" ;;
esac
"""


class Project:
    """A source tree, as far as its environment goes, and a PATH of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "it's a project"
        self.path = folder / "bin"
        for name in ("tools", "requirements"):
            (self.folder / name).mkdir(parents=True)
        for name in ("pyproject.toml", "requirements/run.txt", "requirements/dev.txt", "requirements/torch.txt"):
            (self.folder / name).touch()
        shutil.copy(REPOSITORY / "tools" / "environment.sh", self.folder / "tools")
        self.path.mkdir()
        for name in TOOLS:
            (self.path / name).symlink_to(str(shutil.which(name)))

    @property
    def venv(self) -> Path:
        return self.folder / ".venv"

    def add(self, name: str, *version: int) -> None:
        """A Python on the PATH; without a version one that does not run, as the shims of pyenv."""
        path = self.path / name
        path.write_text(FAKE.format(python=sys.executable, version=version) if version else "#!/bin/sh\nexit 127\n")
        path.chmod(0o755)

    def start(self, group: str = "run", **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            # Where the tests run in the background, SIGINT is ignored.
            [ENV, "--default-signal=INT", "sh", "tools/environment.sh", group],
            cwd=self.folder, env={"PATH": str(self.path), **variables},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def make(self, group: str = "run", **variables: str) -> tuple[int, str, list[str]]:
        """The exit status, what was said, and the lines of the error."""
        process = self.start(group, **variables)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err.splitlines()

    def python(self) -> str:
        """The version of the environment's."""
        command = [str(self.venv / "bin" / "python"), "-I", "-c", 'print("%d.%d" % sys.version_info[:2])']
        return subprocess.run(command, env={"PATH": str(self.path)}, capture_output=True, text=True, check=True).stdout

    def installed(self) -> int:
        """How often pip was called."""
        log = self.folder / "pip.log"
        return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def explained(status: int, lines: Sequence[str]) -> str:
    """One line, and the next step."""
    assert status != 0
    assert [line[:7] for line in lines] == ["error: ", "next:  "]
    return lines[0]


def test_the_newest_known_python_that_runs_is_taken(project: Project) -> None:
    project.add("python3.13")
    project.add("python3.12", 3, 12, 1)
    project.add("python3", 3, 10, 13)
    status, said, errors = project.make()
    assert (status, errors) == (0, [])
    assert len(said.splitlines()) == 1
    assert project.python() == "3.12\n"
    assert (project.venv / "installed-run").exists()


def test_a_newer_one_that_is_only_called_python3_will_do(project: Project) -> None:
    project.add("python3", 3, 14, 0)
    assert project.make()[0] == 0
    assert project.python() == "3.14\n"


@pytest.mark.parametrize("version", [(3, 10, 13), ()], ids=["3.10", "none"])
def test_without_a_python_that_is_new_enough(project: Project, version: tuple[int, ...]) -> None:
    if version:
        project.add("python3", *version)
    status, said, errors = project.make()
    assert "needs Python 3.11 or newer" in explained(status, errors)
    assert ("python3 is 3.10" in errors[0]) == bool(version)
    assert "python3.11-venv" in errors[1]
    assert said == ""
    assert not project.venv.exists()


@pytest.mark.parametrize(("name", "reason"), [("python3.10", "is Python 3.10"), ("nothing", "is no Python")])
def test_the_python_that_was_asked_for_is_the_one_or_none(project: Project, name: str, reason: str) -> None:
    project.add("python3.10", 3, 10, 13)
    project.add("python3.12", 3, 12, 1)
    status, _, errors = project.make(PYTHON=name)
    assert f"{name} {reason}" in explained(status, errors)
    assert not project.venv.exists()


def test_a_whole_environment_is_left_as_it_is(project: Project) -> None:
    project.add("python3.11", 3, 11, 7)
    project.make()
    project.add("python3.13", 3, 13, 0)
    before = project.installed()
    assert project.make() == (0, "", [])
    assert (project.python(), project.installed()) == ("3.11\n", before)


def test_new_requirements_are_installed_into_it(project: Project) -> None:
    project.add("python3.11", 3, 11, 7)
    project.make()
    (project.venv / "kept").touch()
    os.utime(project.folder / "requirements" / "run.txt", (2**33, 2**33))
    before = project.installed()
    assert project.make()[0] == 0
    assert project.installed() > before
    assert (project.venv / "kept").exists()


def older(project: Project) -> str:
    project.path.joinpath("python3.11").unlink()
    project.add("python3.12", 3, 12, 1)
    text = (project.venv / "bin" / "python").read_text().replace("(3, 11, 7)", "(3, 10, 13)")
    (project.venv / "bin" / "python").write_text(text)
    return "its Python is 3.10"


def gone(project: Project) -> str:
    (project.venv / "bin" / "python").unlink()
    (project.venv / "bin" / "python").symlink_to("/nowhere/python3.11")
    return "its Python is gone"


def without_anything(project: Project) -> str:
    shutil.rmtree(project.venv)
    project.venv.mkdir()
    return "its Python is gone"


def a_dangling_link(project: Project) -> str:
    shutil.rmtree(project.venv)
    project.venv.symlink_to("/nowhere/.venv")
    return "its Python is gone"


def without_pip(project: Project) -> str:
    text = (
        (project.venv / "bin" / "python")
        .read_text()
        .replace("exec(sys", 'sys.path[:] = [p for p in sys.path if "site-packages" not in p]; exec(sys')
    )
    (project.venv / "bin" / "python").write_text(text)
    return "it has no pip"


def of_another_folder(project: Project) -> str:
    moved = project.folder.with_name("moved")
    project.folder.rename(moved)
    project.folder = moved
    return "it was made for another folder"


def cut_short(project: Project) -> str:
    (project.venv / "incomplete").touch()
    return "its installation was cut short"


@pytest.mark.parametrize(
    "broken", [older, gone, without_anything, a_dangling_link, without_pip, of_another_folder, cut_short]
)
def test_an_environment_that_cannot_be_used_is_made_anew(project: Project, broken: Callable[[Project], str]) -> None:
    project.add("python3.11", 3, 11, 7)
    project.make()
    reason = broken(project)
    status, said, errors = project.make()
    assert (status, errors) == (0, [])
    assert reason in said.splitlines()[0]
    assert project.make() == (0, "", [])


def test_another_python_is_asked_for(project: Project) -> None:
    project.add("python3.11", 3, 11, 7)
    project.add("python3.12", 3, 12, 1)
    project.make(PYTHON="python3.11")
    assert project.python() == "3.11\n"
    assert "not that of python3.12" in project.make(PYTHON="python3.12")[1]
    assert project.python() == "3.12\n"


def test_an_environment_is_kept_where_no_other_can_be_made(project: Project) -> None:
    project.add("python3.12", 3, 12, 1)
    project.make()
    (project.path / "python3.12").unlink()
    older_text = (project.venv / "bin" / "python").read_text().replace("(3, 12, 1)", "(3, 10, 1)")
    (project.venv / "bin" / "python").write_text(older_text)
    status, _, errors = project.make()
    explained(status, errors)
    assert (project.venv / "bin" / "python").exists()


@pytest.mark.parametrize("whole_before", [False, True])
def test_what_pip_refuses_is_one_line(project: Project, whole_before: bool) -> None:
    project.add("python3.11", 3, 11, 7)
    if whole_before:
        project.make()
        os.utime(project.folder / "requirements" / "run.txt", (2**33, 2**33))
    (project.folder / "pip-fails").touch()
    status, _, errors = project.make()
    assert "the index is out of reach" in explained(status, errors)
    assert project.venv.exists() == whole_before
    (project.folder / "pip-fails").unlink()
    status, said, errors = project.make()
    assert (status, errors) == (0, [])
    assert "anew" not in said


@pytest.mark.parametrize("waits", ["venv-waits", "pip-waits"])
def test_ctrl_c_leaves_no_half_environment(project: Project, waits: str) -> None:
    project.add("python3.11", 3, 11, 7)
    (project.folder / waits).touch()
    process = project.start()
    wait_until("the step", (project.folder / "started").exists, seconds=60)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert explained(130, errors.splitlines()) == "error: interrupted."
    assert not project.venv.exists()


def test_after_ctrl_c_in_an_update_the_environment_is_made_anew(project: Project) -> None:
    project.add("python3.11", 3, 11, 7)
    project.make()
    os.utime(project.folder / "requirements" / "run.txt", (2**33, 2**33))
    (project.folder / "pip-waits").touch()
    process = project.start()
    wait_until("the step", (project.folder / "started").exists, seconds=60)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    (project.folder / "pip-waits").unlink()
    assert "cut short" in project.make()[1]


@pytest.fixture
def installing(project: Project) -> Iterator[subprocess.Popen[str]]:
    """A first installation, whose pip waits for `let_go`."""
    project.add("python3.11", 3, 11, 7)
    os.mkfifo(project.folder / "pip-gate")
    process = project.start()
    wait_until("the step", (project.folder / "started").exists, seconds=60)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)


def let_go(project: Project) -> None:
    gate = project.folder / "pip-gate"
    with gate.open("wb"):
        gate.unlink()


@pytest.mark.parametrize("group", ["run", "dev"])
def test_a_second_installation_waits_for_the_first(
    project: Project, installing: subprocess.Popen[str], group: str
) -> None:
    second = project.start(group)
    assert second.stdout is not None
    assert second.stdout.readline() == "Another installation in this folder is running; waiting for it…\n"
    let_go(project)
    assert installing.communicate(timeout=60)[1] == ""
    out, errors = second.communicate(timeout=60)
    assert (installing.returncode, second.returncode, errors) == (0, 0, "")
    assert "anew" not in out
    assert (out == "") == (group == "run")


@pytest.mark.parametrize("send", [os.killpg, os.kill], ids=["ctrl-c", "as-make-does"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_waits_can_be_interrupted_and_leaves_the_other_alone(
    project: Project, installing: subprocess.Popen[str], send: Callable[[int, int], None], number: int
) -> None:
    second = project.start()
    assert second.stdout is not None
    assert second.stdout.readline().startswith("Another installation")
    send(second.pid, number)
    _, errors = second.communicate(timeout=30)
    assert explained(second.returncode, errors.splitlines()) == "error: interrupted."
    assert second.returncode == 130
    let_go(project)
    installing.communicate(timeout=60)
    assert installing.returncode == 0
    assert project.make() == (0, "", [])


def test_a_killed_installation_keeps_none_waiting(project: Project, installing: subprocess.Popen[str]) -> None:
    os.killpg(installing.pid, signal.SIGKILL)
    installing.wait(timeout=60)
    (project.folder / "pip-gate").unlink()
    status, said, errors = project.make()
    assert (status, errors) == (0, [])
    assert "cut short" in said
    assert "Another" not in said


def test_a_look_for_another_python_waits_for_no_installation(
    project: Project, installing: subprocess.Popen[str]
) -> None:
    (project.folder / ".venv-install.log").write_text("of the installation\n")
    process = subprocess.run(
        ["sh", "tools/environment.sh", "python", "python3.11"],
        cwd=project.folder, env={"PATH": str(project.path)}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert process.stdout == "python3.11\n"
    assert (project.folder / ".venv-install.log").read_text() == "of the installation\n"
    assert installing.poll() is None


def test_without_flock_it_is_installed_as_well(project: Project) -> None:
    (project.path / "flock").unlink()
    project.add("python3.11", 3, 11, 7)
    status, _, errors = project.make()
    assert (status, errors) == (0, [])


@pytest.mark.skipif(ordinary_user.unavailable() is not None, reason=str(ordinary_user.unavailable()))
@pytest.mark.parametrize("place", [".", ".venv"])
def test_a_folder_that_cannot_be_written_to_is_one_line(project: Project, place: str) -> None:
    project.add("python3.11", 3, 11, 7)
    if place == ".venv":
        project.make()
        os.utime(project.folder / "requirements" / "run.txt", (2**33, 2**33))
    for folder in (project.folder, *project.folder.parents):
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(folder.stat().st_mode & 0o7777 | 0o005)
    if place == ".venv":
        project.folder.chmod(0o777)
    program = "import os; os.execv('/bin/sh', ['sh', 'tools/environment.sh', 'run'])"
    done = subprocess.run(
        ordinary_user.command("-c", program),
        cwd=project.folder, env={"PATH": str(project.path)}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "cannot be written to" in explained(done.returncode, done.stderr.splitlines())


def test_a_group_for_development_brings_the_other(project: Project) -> None:
    project.add("python3.11", 3, 11, 7)
    assert project.make("dev")[0] == 0
    assert project.make() == (0, "", [])
