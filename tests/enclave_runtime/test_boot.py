"""Compiled files that nothing measures are not loaded; those that the runtime makes itself are."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import marshal
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from enclave_runtime import boot
from enclave_runtime.bytecode import MODULES, Bytecode
from tests.support.models import write_colour_model

REPOSITORY = Path(__file__).parents[2]
EVIL = "import os\nopen(os.environ['MARKER'], 'a').write(__name__ + '\\n')\n"


class Installation:
    """A copy of the runtime, and an environment with packages of its own, whose compiled files are poisoned."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "tree"
        for package in ("enclave_runtime", "blindsight"):
            shutil.copytree(
                REPOSITORY / package, self.tree / package, ignore=shutil.ignore_patterns("__pycache__", "*.png", "*.js")
            )
        self.marker = folder / "marker"
        environment = folder / "env"
        name = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.packages = environment / "lib" / name / "site-packages"
        self.packages.mkdir(parents=True)
        (environment / "bin").mkdir()
        self.python = environment / "bin" / "python"
        self.python.symlink_to(Path(sys.base_prefix) / "bin" / name)
        (environment / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix) / 'bin'}\n")
        others = [path for path in sys.path if Path(path).name == "site-packages"]
        (self.packages / "others.pth").write_text("\n".join(others) + "\n")

    def poison(self, file: Path, *, where: Path | None = None) -> None:
        """Put a compiled file beside the source that Python takes for it: it leaves its name, then does the same."""
        source = file.read_bytes()
        code = compile(EVIL + f"exec(compile({source!r}, __file__, 'exec'))", str(file), "exec")
        status = file.stat()
        head = importlib.util.MAGIC_NUMBER + bytes(4) + int(status.st_mtime).to_bytes(4, "little")
        target = where or Path(importlib.util.cache_from_source(str(file)))
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(head + len(source).to_bytes(4, "little") + marshal.dumps(code))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Without what keeps this test's own Python from compiled files.
        variables = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        return subprocess.run(
            [self.python, *arguments],
            capture_output=True, text=True, check=False, timeout=120, cwd=self.tree,
            env={**variables, "MARKER": str(self.marker), "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip

    def boot(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("-I", "-S", "-B", str(self.tree / "enclave_runtime" / "boot.py"), *arguments)

    def loaded(self) -> set[str]:
        """The poisoned files that ran since the last time."""
        names = set(self.marker.read_text().split()) if self.marker.exists() else set()
        self.marker.unlink(missing_ok=True)
        return names


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    made = Installation(tmp_path_factory.mktemp("installation"))
    for package in ("enclave_runtime", "blindsight"):
        for file in (made.tree / package).rglob("*.py"):
            made.poison(file)
    # A wheel, and what an installed path file imports before anything else.
    for name in ("wheel_of_ours", "imported_by_site"):
        (made.packages / name).mkdir()
        (made.packages / name / "__init__.py").write_text("VALUE = 'measured'\n")
        made.poison(made.packages / name / "__init__.py")
    (made.packages / "first.pth").write_text("import imported_by_site\n")
    (made.packages / "sitecustomize.py").write_text("CUSTOM = True\n")
    made.poison(made.packages / "sitecustomize.py")
    trying = "def main():\n    import sys\n    import wheel_of_ours\n    print(wheel_of_ours.VALUE)\n    return 0\n"
    (made.tree / "enclave_runtime" / "trying.py").write_text(trying)
    return made


def test_the_poison_works(installation: Installation):
    """As Python loads packages usually; else the tests below would prove nothing."""
    done = installation.run("-c", "import enclave_runtime.boot, blindsight.interrupt, wheel_of_ours")
    assert done.returncode == 0, done.stderr
    assert installation.loaded() == {
        "enclave_runtime", "enclave_runtime.boot", "blindsight", "blindsight.interrupt", "wheel_of_ours",
        "imported_by_site", "sitecustomize",
    }  # fmt: skip


@pytest.mark.parametrize("command", ["confinement", "measure"])
def test_no_compiled_file_of_the_tree_or_of_a_wheel_is_loaded(installation: Installation, command: str, tmp_path: Path):
    bundle = tmp_path / "none.zip"
    arguments = ["confinement"] if command == "confinement" else ["measure", "--bundle", str(bundle)]
    done = installation.boot("enclave_runtime.commands", *arguments)
    assert done.returncode == (0 if command == "confinement" else 1), done.stderr
    assert "layers" in done.stdout or "bundle build" in done.stderr
    assert installation.loaded() == set()


def test_nor_of_what_the_worker_and_the_site_import(installation: Installation):
    done = installation.boot("enclave_runtime.trying")
    assert (done.stdout, done.returncode) == ("measured\n", 0), done.stderr
    assert installation.loaded() == set()


def test_the_module_form_goes_on_from_sources_after_its_first_two_files(installation: Installation):
    """Python has read these before anything of ours could run: what starts a runtime starts `boot.py` itself."""
    done = installation.run("-m", "enclave_runtime", "confinement")
    assert "layers" in done.stdout
    assert installation.loaded() <= {"enclave_runtime", "__main__", "imported_by_site", "sitecustomize"}


def test_code_of_the_site_does_not_run(installation: Installation):
    """Lines of .pth files that begin with `import`, and modules that Python imports by their names."""
    files = {
        "evil.pth": "import os; open(os.environ['MARKER'], 'a').write('pth\\n')\n",
        "sitecustomize.py": EVIL,
        "usercustomize.py": EVIL,
    }
    there = (installation.packages / "sitecustomize.py").read_text()
    for name, content in files.items():
        (installation.packages / name).write_text(content)
    try:
        assert installation.run("-c", "pass").returncode == 0
        assert installation.loaded() >= {"pth", "sitecustomize"}  # In any other program they do.
        done = installation.boot("enclave_runtime.commands", "--help")
        assert done.returncode == 0, done.stderr
        assert installation.loaded() == set()
    finally:
        for name in files:
            (installation.packages / name).unlink()
        (installation.packages / "sitecustomize.py").write_text(there)


def test_a_compiled_file_without_a_source_is_no_module(installation: Installation, tmp_path: Path):
    for folder in (installation.tree / "enclave_runtime", installation.packages):
        source = tmp_path / "ghost.py"
        source.write_text("def main():\n    print('it runs')\n    return 0\n")
        installation.poison(source, where=folder / "ghost.pyc")
    for name in ("enclave_runtime.ghost", "ghost"):
        assert "it runs" in installation.run("-c", f"import {name} as g; g.main()").stdout
        assert installation.loaded() >= {name}
        done = installation.boot(name)
        assert f"No module named '{name}'" in done.stderr
        assert installation.loaded() == set()


def test_a_folder_that_imports_are_shadowed_from_does_not_count(installation: Installation):
    """The working folder, and what an operator's variables add."""
    (installation.tree / "json.py").write_text(EVIL)
    try:
        assert installation.boot("enclave_runtime.trying").returncode == 0
        assert installation.loaded() == set()
    finally:
        (installation.tree / "json.py").unlink()


def test_what_the_runtime_compiled_is_used_for_that_very_source_only(tmp_path: Path):
    tree, kept = tmp_path / "tree", tmp_path / "kept"
    kept.mkdir()
    (tree / "enclave_runtime").mkdir(parents=True)
    shutil.copy(boot.__file__, tree / "enclave_runtime" / "boot.py")
    module = tree / "enclave_runtime" / "trying.py"
    (tree / "enclave_runtime" / "__init__.py").touch()

    def run(*arguments: str) -> str:
        command = [sys.executable, "-I", "-S", "-B", str(tree / "enclave_runtime" / "boot.py"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def key() -> Path:
        return kept / hashlib.sha256(os.fsencode(str(module)) + b"\0" + module.read_bytes()).hexdigest()

    module.write_text("def main():\n    print('first')\n    return 0\n")
    assert run("--bytecode", str(kept), "enclave_runtime.trying") == "first\n"
    assert list(kept.iterdir()) == []  # Only the one that is told to keeps anything.
    assert run("--compile", str(kept), "enclave_runtime.trying") == ""
    assert key().exists()
    code = compile("def main():\n    print('kept')\n    return 0\n", "kept", "exec")
    key().write_bytes(marshal.dumps(code))
    assert run("--bytecode", str(kept), "enclave_runtime.trying") == "kept\n"
    before = module.stat()
    module.write_text("def main():\n    print('other')\n    return 0\n")
    os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run("--bytecode", str(kept), "enclave_runtime.trying") == "other\n"
    assert run("enclave_runtime.trying") == "other\n"


LOADING = """
import os, sys
sys.path.insert(0, {folder!r})
def main():
    import enclave_runtime.workers.worker, enclave_runtime.cape.handler
    import app, json
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    print(json.dumps([file for file in files if file and file.endswith(".py")]))
    return 0
"""


def test_what_a_worker_imports_is_among_what_is_compiled_for_it(tmp_path: Path):
    """Else each would compile it itself, which takes tenths of a second."""
    function = tmp_path / "function"
    shutil.copytree(REPOSITORY / "enclave_function", function, ignore=shutil.ignore_patterns("__pycache__", "bundle"))
    write_colour_model(function)
    (function / "loading.py").write_text(LOADING.format(folder=str(function)))
    with Bytecode("cape") as kept:
        assert kept._process.wait(120) == 0
        run = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from enclave_runtime import boot; boot.install()\n"
        run += f"sys.path.insert(0, {str(function)!r}); import loading; loading.main()"
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-c", run], capture_output=True, text=True, check=True, timeout=60
        )
        files = [file for file in json.loads(done.stdout) if "site-packages" in file or "/enclave_runtime/" in file]
        files.remove(boot.__file__)  # It runs by its path.
        assert len(files) > 100
        names = [hashlib.sha256(os.fsencode(file) + b"\0" + Path(file).read_bytes()).hexdigest() for file in files]
        missing = [file for file, name in zip(files, names, strict=True) if not (kept.folder / name).exists()]
        assert missing == []
        assert kept.folder.stat().st_mode & 0o777 == 0o755
        place = kept.place
    assert not place.exists()
    assert "numpy" in MODULES


def test_a_process_that_is_closed_early_leaves_nothing():
    with Bytecode("cape") as kept:
        place, pid = kept.place, kept._process.pid
        until = time.monotonic() + 60
        while not list(kept.folder.iterdir()) and time.monotonic() < until:
            os.sched_yield()
    assert not place.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
