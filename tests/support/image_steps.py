"""The steps of an image, without Docker: copies into a clean folder, and an environment with the locked packages alone.

The packages are links to those of this environment, which has the same versions (tests/tools/test_requirements.py).
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_CONTEXT = [
    line.removeprefix("!") for line in (REPOSITORY / ".dockerignore").read_text().split() if line.startswith("!")
]
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "web")
"""What .dockerignore leaves out of these folders."""


def instructions(target: str) -> list[tuple[str, str]]:
    """The instructions of the stage `target`, after those of the stage that it is made from."""
    text = re.sub(r"^#.*\n", "", (REPOSITORY / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    for part in re.split(r"^(?=FROM )", text.replace("\\\n", " "), flags=re.MULTILINE):
        first, *rest = [line for line in part.splitlines() if line.strip()] or [""]
        if first.endswith(f" AS {target}"):
            base = first.split()[1]
            own = [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in rest]
            return [*(instructions(base) if f" AS {base}\n" in text else []), *own]
    raise KeyError(target)


@dataclass
class Image:
    """What an image of the stage has, in `folder`: `app`, its environment, and how it starts."""

    target: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.app.mkdir(parents=True)
        for name, rest in instructions(self.target):
            getattr(self, f"_{name.lower()}", self._ignored)(rest)
        venv.create(self.folder / "venv", symlinks=True, with_pip=False)
        (site,) = self.folder.glob("venv/lib/python*/site-packages")
        for package in self.packages:
            _link(package, site)

    @property
    def app(self) -> Path:
        return self.folder / "app"

    def argv(self, command: list[str]) -> list[str]:
        """`command` with this image's interpreter and files."""
        python = str(self.folder / "venv" / "bin" / "python")
        return [python if each == "python" else each.replace("/app/", f"{self.app}/") for each in command]

    def variables(self, more: dict[str, str] | None = None) -> dict[str, str]:
        path = f"{self.folder / 'venv' / 'bin'}:/usr/bin:/bin"
        return {"PATH": path, "HOME": "/nonexistent", **self.environment, **(more or {})}

    def run(self, command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(command), cwd=self.app, env=self.variables(more), capture_output=True, text=True, check=False,
            timeout=120,
        )  # fmt: skip

    def _ignored(self, rest: str) -> None:
        """Labels, ports, users: nothing of the file system."""

    def _env(self, rest: str) -> None:
        self.environment.update(word.split("=", 1) for word in shlex.split(rest.replace("=/app", f"={self.app}")))

    def _copy(self, rest: str) -> None:
        *sources, place = rest.split()
        for source in sources:
            assert source.split("/")[0] in _CONTEXT, f"{source} is not in the context of builds: .dockerignore"
            found = sorted(REPOSITORY.glob(source))
            assert found, f"{source} is missing"
            for path in found:
                _copy(path, self.app / place, into=place.endswith("/") or len(sources) > 1)

    def _run(self, rest: str) -> None:
        for command in rest.split("&&"):
            words = shlex.split(command)
            if words[:2] == ["pip", "install"]:
                assert "--require-hashes" in words
                self.packages += _locked(self.app / words[words.index("--requirement") + 1])
            elif words[0] == "rm":
                subprocess.run(words, cwd=self.app, check=True)
            else:
                assert words[0] in {"groupadd", "useradd", "install"}, command

    def _entrypoint(self, rest: str) -> None:
        self.entrypoint = json.loads(rest)

    def _cmd(self, rest: str) -> None:
        self.command = json.loads(rest)

    def _healthcheck(self, rest: str) -> None:
        self.healthcheck = json.loads(rest.partition("CMD ")[2])


def _copy(source: Path, place: Path, *, into: bool) -> None:
    if source.is_dir():
        shutil.copytree(source, place, ignore=_LEFT_OUT, dirs_exist_ok=True)
    else:
        target = place / source.name if into else place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _locked(file: Path) -> list[str]:
    """The packages of a lock that are installed here; a lock has those of other systems, too."""
    installed = {_normal(distribution.metadata["Name"]) for distribution in importlib.metadata.distributions()}
    names = re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[a-z,]+\])?==", file.read_text("utf-8"), re.MULTILINE)
    return [name for name in names if _normal(name) in installed]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _link(package: str, site: Path) -> None:
    distribution = importlib.metadata.distribution(package)
    for name in {file.parts[0] for file in distribution.files or [] if file.parts[0] not in {"..", "__pycache__"}}:
        source = Path(str(distribution.locate_file(name)))
        for path, aim in _entries(source, site / name):
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(aim)


def _entries(source: Path, place: Path) -> list[tuple[Path, Path]]:
    """One link, or for packages that several distributions share, such as `google`, one for each part."""
    if source.is_dir() and not (source / "__init__.py").exists() and not source.name.endswith((".dist-info", ".libs")):
        return [entry for each in source.iterdir() for entry in _entries(each, place / each.name)]
    return [(place, source)]


assert sys.prefix != sys.base_prefix, "the tests run in an environment of their own"
